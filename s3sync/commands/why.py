"""`why`: every rule with its verdict on a path. Changes nothing."""

from __future__ import annotations

import argparse
import os

from s3sync.app import App
from s3sync.dropzone.explain import explain
from s3sync.dropzone.ladder import Ladder, Verdict
from s3sync.errors import Exit, NotFound, Usage
from s3sync.keys import display
from s3sync.output import Output

HELP = "say of each path which rules it passes and which hold it back"
EPILOG = """examples:
  s3sync why my-bucket/reports/may.csv
  s3sync why --json /srv/drop/sync/my-bucket/*.csv
"""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the command's own arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="in the drop zone: absolute, or relative to its folder")


def run(args: argparse.Namespace, app: App) -> Exit:
    """Explain each path; `NOT_FOUND` where one is not there, the others being explained all the same."""
    ladder = app.ladder()
    codes = [_explain(os.fsencode(path), app, ladder) for path in args.paths]
    return max(codes)


def _explain(typed: bytes, app: App, ladder: Ladder) -> Exit:
    path = _in_zone(typed, os.fsencode(app.zone.path))
    try:
        verdicts = explain(app.zone, ladder, path)
    except NotFound as failure:
        app.output.record({"path": display(path), "eligible": False, "rule": "not_found", "detail": failure.wrong})
        app.output.text(str(failure))
        return Exit.NOT_FOUND
    _show(path, verdicts, app.output)
    return Exit.DONE


def _show(path: bytes, verdicts: list[Verdict], output: Output) -> None:
    """Show a line for each rule; the path is eligible where every one of them says so."""
    shown = display(path)
    for verdict in verdicts:
        output.record({"path": shown, "eligible": verdict.ok, "rule": verdict.rule, "detail": verdict.detail})
    output.text(f"{shown}: {'eligible' if all(verdict.ok for verdict in verdicts) else 'held'}")
    rows = [(verdict.rule, "passes" if verdict.ok else "HELD", verdict.detail) for verdict in verdicts]
    output.table(rows, ("RULE", "VERDICT", "DETAIL"))


def _in_zone(typed: bytes, root: bytes) -> bytes:
    """Return a typed path relative to the drop zone. Raises `Usage` for one outside."""
    if not typed.startswith(b"/"):
        return typed
    folder, name = os.path.split(os.path.normpath(typed))
    # links on the way to the drop zone are the operator's; the name itself may be a link that is to be explained
    absolute = os.path.join(os.path.realpath(folder), name)
    if not absolute.startswith(root + b"/"):
        raise Usage(display(typed), f"is not in the drop zone {display(root)}", "Name a path below it")
    return absolute[len(root) + 1 :]
