"""How what is not as it should be in a cluster is shown."""

from __future__ import annotations

from collections.abc import Iterable

from s3batch.catalogue.arrange import Problem
from s3sync.keys import printable
from s3sync.output import Output


def show_problems(problems: Iterable[Problem], output: Output) -> None:
    """Say each, with what to do."""
    for problem in problems:
        output.record({"problem": problem.subject, "wrong": problem.wrong, "hint": problem.hint})
        output.text(f"{printable(problem.subject)}: {printable(problem.wrong)}. {problem.hint}.")
