"""`requests`: what was asked back, how far it is, wait for it, call it off."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from s3batch.commands._counts import read_count
from s3batch.restore.engine import RestoreEngine
from s3batch.restore.follow import follow
from s3batch.restore.requests import Deliverer, Part, Request, State
from s3batch.restore.thaw import State as ThawState
from s3batch.restore.thaw import Thaw, window
from s3sync import keys
from s3sync.errors import Exit, Usage
from s3sync.output import Output, counted, human_size, human_time
from s3sync.quantities import read_duration
from s3sync.times import rfc3339

HELP = "list restore requests, show one, wait for it, or cancel it"
EPILOG = """examples:
  %(prog)s list
  %(prog)s wait r20261121T101112-3fa9c2 --timeout 2h"""

ACTIONS = ("list", "show", "wait", "cancel")
_PARTS_SHOWN = 20


class RestoreApp(Protocol):
    """What the commands of this room need of the program."""

    @property
    def output(self) -> Output:
        """Where answers go."""

    @property
    def restore_engine(self) -> RestoreEngine:
        """The engine on this host's journal."""

    def now(self) -> datetime:
        """Return the time, aware."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Take an action and the request it is about."""
    parser.add_argument("action", choices=ACTIONS, nargs="?", default="list", help="list (default), show, wait or cancel")
    parser.add_argument("id", nargs="?", help="the request; not for list")
    parser.add_argument("--timeout", type=_duration, metavar="DURATION", help="wait no longer than this, such as 90s or 2h")
    parser.add_argument("--limit", type=read_count, default=100, metavar="N", help="list no more than this many (default: 100)")


def run(args: argparse.Namespace, app: RestoreApp) -> Exit:
    """Do one of the four. Raises `NotFound`, `Usage`."""
    if args.action == "list":
        return _list(app, args.limit)
    if args.id is None:
        raise Usage(f"requests {args.action}", "names no request", "Take an id from `s3batch requests list`")
    engine = app.restore_engine
    if args.action == "wait":
        return wait(app, args.id, args.timeout)
    if args.action == "cancel":
        return _cancel(app, args.id)
    request = engine.requests.get(args.id)
    show(app, request)
    return Exit.DONE


def wait(app: RestoreApp, request_id: str, timeout: timedelta | None = None) -> Exit:
    """Follow a request to its end, or until `timeout`, and show it; broken off, say how to resume. Raises `NotFound`."""
    engine, output = app.restore_engine, app.output
    progress = _Progress(app)
    try:
        request = follow(
            engine, request_id, uid=os.getuid(), now=app.now, sleep=app.sleep, report=progress.report, timeout=timeout
        )
    except KeyboardInterrupt:
        output.progress(f"request {request_id} stands; `s3batch requests wait {request_id}` goes on with it")
        raise
    show(app, request)
    return exit_of(engine, request)


def show(app: RestoreApp, request: Request) -> None:
    """Show a request: a record for each part, and for people a summary and what went wrong."""
    engine, output = app.restore_engine, app.output
    if output.as_json:
        for part in engine.requests.parts(request.id):
            output.record(part_record(request, part))
    output.text(f"request {request.id}: {request.state}, {_counts(request)}")
    whose = f"{request.requester.user}, {human_time(request.created)}"
    size = human_size(request.bytes)
    output.text(f"  {counted(request.members, 'member')}, {size}, to {request.destination} (asked by {whose})")
    if not request.finished:
        for line in _thaw_lines(engine.thaws.of_request(request.id)):
            output.text(f"  {line}")
        if request.deliverer is Deliverer.REQUESTER:
            user = request.requester.user
            output.text(f"  delivered by a command of {user}: s3batch requests wait {request.id}")
    if request.members <= _PARTS_SHOWN:
        for part in engine.requests.parts(request.id):
            if part.delivered is not None:
                output.text(f"  {part.delivered}")
    _show_failures(output, *engine.requests.troubled(request.id, _PARTS_SHOWN))


def exit_of(engine: RestoreEngine, request: Request) -> Exit:
    """Return the exit code a request's state means."""
    if not request.finished:
        return Exit.PENDING
    if request.state is State.DELIVERED:
        return Exit.DONE
    if any(part.mismatch for part in engine.requests.parts(request.id)):
        return Exit.MISMATCH
    return Exit.PARTIAL if State.DELIVERED in request.counts else Exit.FAILED


def part_record(request: Request, part: Part) -> dict[str, object]:
    """Return the record of one part."""
    record: dict[str, object] = {
        "request": request.id,
        "state": part.state,
        "bucket": part.bucket,
        "key": keys.display(part.key),
        "archive": part.archive,
        "destination": part.delivered or str(request.destination),
        "sha256": part.sha256,
        "error": part.error,
    }
    encoded = keys.to_base64(part.key)
    return record if encoded is None else {**record, "key_base64": encoded}


def _list(app: RestoreApp, limit: int) -> Exit:
    engine, output = app.restore_engine, app.output
    requests = engine.requests.newest_first(limit)
    for request in requests:
        output.record(_request_record(engine, request))
    rows = [
        (
            request.id,
            request.state,
            request.members,
            request.counts.get(State.DELIVERED, 0),
            human_size(request.bytes),
            request.requester.user,
            str(request.destination),
        )
        for request in requests
    ]
    output.table(rows, ("REQUEST", "STATE", "MEMBERS", "DELIVERED", "SIZE", "USER", "DESTINATION"))
    return Exit.DONE


def _request_record(engine: RestoreEngine, request: Request) -> dict[str, object]:
    """Return the record of a whole request; what names a member is there where it has only one."""
    record: dict[str, object] = dict.fromkeys(
        ("request", "state", "bucket", "key", "archive", "destination", "sha256", "error")
    )
    if request.members == 1:
        record |= part_record(request, next(engine.requests.parts(request.id)))
    return record | {
        "request": request.id,
        "state": request.state,
        "destination": str(request.destination),
        "created": rfc3339(request.created),
        "user": request.requester.user,
        "tier": request.tier,
        "days": request.days,
        "members": request.members,
        "bytes": request.bytes,
        "parts": dict(request.counts),
        "note": request.note,
    }


def _cancel(app: RestoreApp, request_id: str) -> Exit:
    engine, output = app.restore_engine, app.output
    cancelled = engine.requests.cancel(request_id, os.getuid())
    begun = [thaw for thaw in engine.thaws.of_request(request_id) if thaw.asked_at is not None]
    show(app, engine.requests.get(request_id))
    if cancelled and begun:
        output.text(f"  asked for before: {counted(len(begun), 'archive')}. S3 takes no thaw back, and bills it")
    return Exit.DONE


class _Progress:
    """Says how far a request is, whenever that has changed."""

    def __init__(self, app: RestoreApp) -> None:
        self._app = app
        self._said: list[str] = []

    def report(self, request: Request) -> None:
        lines = [f"request {request.id}: {_counts(request)} of {request.members:,}"]
        if not request.finished:
            lines += _thaw_lines(self._app.restore_engine.thaws.of_request(request.id))
        if lines != self._said:
            self._said = lines
            for line in lines:
                self._app.output.progress(line)


def _counts(request: Request) -> str:
    return ", ".join(f"{request.counts[state]:,} {state}" for state in State if state in request.counts)


def _thaw_lines(thaws: Iterable[Thaw]) -> list[str]:
    """Return what is going on with the archives: one line where there are few, a summary of many."""
    every = list(thaws)
    if len(every) > _PARTS_SHOWN:
        counted = Counter(thaw.state for thaw in every)
        return ["archives: " + ", ".join(f"{count:,} {state}" for state, count in counted.items())]
    return [f"{thaw.ref}: {_thaw_state(thaw)}" for thaw in every]


def _thaw_state(thaw: Thaw) -> str:
    trouble = f" ({thaw.error})" if thaw.error else ""
    if thaw.state is ThawState.THAWING and thaw.asked_at is not None and thaw.tier is not None:
        by = thaw.asked_at + window(thaw.storage_class, thaw.tier).within
        return f"thawing, {thaw.tier}, asked {human_time(thaw.asked_at)}, typically done by {human_time(by)}{trouble}"
    if thaw.state is ThawState.THAWED and thaw.until is not None:
        return f"thawed until {human_time(thaw.until)}{trouble}"
    return f"{thaw.state}{trouble}"


def _show_failures(output: Output, first: Iterable[Part], count: int) -> None:
    for part in first:
        output.text(f"  {part.state}: {part.bucket}/{keys.display(part.key)}: {part.error}")
    if count > _PARTS_SHOWN:
        output.text(f"  and {count - _PARTS_SHOWN:,} more; --json shows every one")


def _duration(text: str) -> timedelta:
    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 15m, 2h or 1d") from error
