"""How both programs say why a path is left alone: one JSON object a path, or every rule and a last sentence."""

from __future__ import annotations

import os
from collections.abc import Iterable

from s3sync import keys
from s3sync.dropzone.ladder import Verdict
from s3sync.dropzone.reasons import MEANINGS
from s3sync.dropzone.remedies import REMEDIES
from s3sync.dropzone.typed import in_zone
from s3sync.dropzone.why import Explained, Kind
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Exit, Usage
from s3sync.keys import display, to_base64
from s3sync.output import Output, table

SCHEME = "s3://"


def named(zone: DropZone, text: str) -> tuple[bytes, bytes]:
    """Return a path as it was typed, and the path of the zone that it means.

    It is absolute, or relative to the current folder or to the zone, or `s3://bucket/key`; a name that is not UTF-8 may be
    typed as `base64:...`. Raises `Usage` for one outside, and for the zone itself.
    """
    typed = keys.parse(text)
    if text.startswith(SCHEME):
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        path: bytes | None = os.fsencode(bucket) + b"/" + keys.parse(key)
    else:
        path = in_zone(zone, typed, os.getcwdb())
    if path is None:
        raise Usage(display(typed), f"is not in the drop zone {zone.path}", "Name a path below it")
    if not path:
        raise Usage(display(typed), "is the drop zone itself", "Name a path below it")
    return typed, path


def exit_code(explained: Explained) -> Exit:
    """Return the code for one path: eligible, held, or not there."""
    if explained.kind is Kind.MISSING:
        return Exit.NOT_FOUND
    return Exit.DONE if explained.eligible else Exit.PARTIAL


def record(typed: bytes, explained: Explained) -> dict[str, object]:
    """Return the JSON object of one path: the refusing rule (null where none refuses) and the verdicts of all of them."""
    refusal = explained.refusal
    encoded = to_base64(typed)
    return {
        "path": display(typed),
        **({} if encoded is None else {"path_base64": encoded}),
        "eligible": explained.eligible,
        "rule": None if refusal is None else refusal.rule,
        "reason": None if refusal is None or refusal.reason is None else refusal.reason.value,
        "detail": detail(explained),
        "kind": explained.kind.value,
        "rules": [{"rule": verdict.rule, "ok": verdict.ok, "detail": verdict.detail} for verdict in explained.verdicts],
    }


def detail(explained: Explained) -> str:
    """Return in a phrase how things stand."""
    if explained.kind is Kind.MISSING:
        return "it is not in the drop zone"
    if explained.kind is Kind.QUARANTINE:
        return "it lies in the quarantine, which archived originals pass through on their way out"
    if explained.refusal is not None:
        return explained.refusal.detail
    return (
        "the folder is entered; its files are judged by themselves"
        if explained.kind is Kind.FOLDER
        else "every rule is content"
    )


def show(typed: bytes, explained: Explained, output: Output, besides: Iterable[str] = ()) -> None:
    """Write for people what it comes to first, then what else is known, then every rule."""
    verdict, *sentences = conclusion(explained)
    output.text(f"{display(typed)}: {verdict}")
    for sentence in (*sentences, *besides):
        output.text(f"  {sentence}")
    if explained.kind is Kind.MISSING and explained.refusal is None:
        return
    rows = [(each.rule, "no" if each.ok else "YES", each.detail) for each in explained.verdicts]
    for line in table(rows, ("HELD BY", "", "")) if rows else ():
        output.text(f"    {line}")


def conclusion(explained: Explained) -> list[str]:
    """Return how things stand in a word or two, then sentences: why, and what would have to happen."""
    refusal = explained.refusal
    if explained.kind is Kind.MISSING:
        return ["not found", "It is not in the drop zone."]
    if explained.kind is Kind.QUARANTINE:
        return ["on its way out", f"{_sentence(detail(explained))}."]
    if refusal is None:
        if explained.kind is Kind.FOLDER:
            return ["nothing holds it", f"{_sentence(detail(explained))}."]
        place = " It waits in quarantine, because its own name was taken meanwhile." if explained.displaced else ""
        return ["eligible", f"The next pass takes it up.{place}"]
    return [f"held by {refusal.rule}", *_why_and_what_to_do(refusal)]


def _why_and_what_to_do(refusal: Verdict) -> list[str]:
    if refusal.reason is None:
        return [f"{_sentence(refusal.detail)}."]
    return [f"{_sentence(MEANINGS[refusal.reason])}: {refusal.detail}.", REMEDIES[refusal.reason].sentence]


def _sentence(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]
