"""`restore`: ask members back, after saying what it costs and takes."""

from __future__ import annotations

import argparse
import os
import pwd
import secrets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Protocol

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.targets import Resolution, parse, resolve
from s3batch.commands import _catalogues
from s3batch.commands._catalogues import chosen, setup_catalogue
from s3batch.commands._moments import last_moment
from s3batch.commands.requests import RestoreApp, exit_of, show, wait
from s3batch.restore.cost import Estimate, Standing, dollars
from s3batch.restore.destination import Folder, is_below
from s3batch.restore.destination import parse as parse_destination
from s3batch.restore.filing import Order
from s3batch.restore.follow import one_round
from s3batch.restore.requests import Request, Requester
from s3batch.settings import Settings
from s3sync import keys
from s3sync.errors import CostLimit, Exit, Usage, gravest
from s3sync.output import Output, counted, human_size
from s3sync.store.contract import Tier

HELP = "bring members back: a key, a prefix, an archive, or a list of them"
EPILOG = """WHAT is s3://bucket/key, s3://bucket/prefix/, s3://bucket/archive.tar, s3://bucket/archive.tar#key, or any of these
without s3://bucket/ where that is unambiguous. Members are laid out as DESTINATION/bucket/key. S3 thaws whole archives, Deep
Archive within 48 hours (bulk) or 12 (standard); the request stands until it is delivered, whatever happens to this command.

examples:
  %(prog)s s3://invoices/2026/03/ --to ./back --dry-run
  %(prog)s s3://invoices/2026/03/17.pdf --to ./back --tier standard --wait"""

_NOTE_CHARACTERS = 500


class _App(RestoreApp, _catalogues.Needs, Protocol):
    @property
    def settings(self) -> Settings: ...


def setup(parser: argparse.ArgumentParser) -> None:
    """Take what is wanted, where it goes and what it may cost."""
    parser.add_argument("what", nargs="*", metavar="WHAT", help="what to bring back, see below")
    parser.add_argument("--to", required=True, metavar="DESTINATION", help="a folder, or s3://bucket/prefix")
    parser.add_argument("--from-file", metavar="LIST", help="a file with one WHAT a line, - for standard input")
    parser.add_argument("--tier", type=Tier, choices=list(Tier), default=Tier.BULK, help="bulk (default) or standard")
    parser.add_argument("--days", type=int, default=3, metavar="N", help="keep thawed copies for N days (default: 3)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--as-of", metavar="TIME", help="the versions of then: 2026-03-17, 2026-03-17T08:00:00Z, or 7d (ago)")
    which.add_argument("--all", action="store_true", help="every version, each below a folder named for its batch")
    parser.add_argument("--wait", action="store_true", help="wait until it is delivered; may be interrupted")
    parser.add_argument("--dry-run", action="store_true", help="say what it would cost and take; asks nobody, changes nothing")
    parser.add_argument("--max-cost", type=_dollars, metavar="USD", help="refuse where the estimate is above this")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument("--overwrite", action="store_true", help="replace files of the same name and other content")
    setup_catalogue(parser)


def run(args: argparse.Namespace, app: _App) -> Exit:
    """Look up, price, confirm, file, and begin. Raises `Usage`, `CostLimit` and what catalogue and engine raise."""
    order = _order(args, app)
    wanted = _resolved(args, app)
    lookup = _report_missing(wanted, app.output)
    if not wanted.entries:
        return lookup
    estimate = app.restore_engine.estimate(wanted.entries, tier=args.tier, days=args.days)
    _show_estimate(app.output, estimate, wanted)
    if args.dry_run:
        _show_archives(app, wanted.entries)
        app.output.record(_estimate_record(estimate))
        return lookup
    _check_cost(args, app, estimate.total)
    request = app.restore_engine.request(_new_id(app.now()), wanted.entries, order)
    return gravest([lookup, _begin(args, app, request)])


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What WHAT turned out to be."""

    resolutions: tuple[Resolution, ...]
    entries: tuple[Entry, ...]

    @property
    def missing(self) -> list[Resolution]:
        return [resolution for resolution in self.resolutions if not resolution.entries]

    @property
    def other_versions(self) -> int:
        return sum(resolution.other_versions for resolution in self.resolutions)


def _order(args: argparse.Namespace, app: _App) -> Order:
    destination = parse_destination(args.to)
    if isinstance(destination, Folder) and is_below(destination, str(app.settings.folder)):
        raise Usage(args.to, "lies in the drop zone, where it would be archived again", "Choose another folder")
    uid = os.getuid()
    return Order(
        destination=destination,
        tier=args.tier,
        days=args.days,
        requester=Requester(_user_name(uid), uid),
        overwrite=args.overwrite,
        versions=args.all,
        note=keys.printable(" ".join(args.what))[:_NOTE_CHARACTERS],
    )


def _resolved(args: argparse.Namespace, app: _App) -> _Wanted:
    names = [*args.what, *_listed(args.from_file)]
    if not names:
        raise Usage("restore", "names nothing", "Give WHAT, or --from-file LIST")
    targets = [parse(name) for name in names]
    as_of = None if args.as_of is None else last_moment(args.as_of, app.now())
    catalogue = chosen(args, app)
    resolutions = tuple(resolve(catalogue, target, as_of, all_versions=args.all) for target in targets)
    # Asked for twice is wanted once: the price must not count it twice either.
    entries = {
        (entry.archive.ref, entry.member.offset, entry.member.key): entry for found in resolutions for entry in found.entries
    }
    return _Wanted(resolutions, tuple(entries.values()))


def _listed(path: str | None) -> Iterator[str]:
    """Yield the lines of a list as they were typed arguments; empty ones say nothing. Raises `Usage`."""
    if path is None:
        return
    try:
        if path == "-":
            content = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                content = file.read()
    except OSError as error:
        raise Usage(path, f"cannot be read: {error.strerror}", "Name a file with one WHAT a line") from error
    for line in content.split(b"\n"):
        name = line.removesuffix(b"\r")
        if name:
            yield name.decode("utf-8", "surrogateescape")


def _report_missing(wanted: _Wanted, output: Output) -> Exit:
    """Say what was not found or fits several keys, and return what that means for the exit code."""
    for missing in wanted.missing:
        name = missing.target.text
        output.record(_missing_record(missing))
        output.text(f"{name}: {missing.why}")
        for candidate in missing.candidates:
            output.text(f"  {candidate}")
        if missing.cut:
            output.text("  and more; say more of the name")
    if not wanted.missing:
        return Exit.DONE
    if wanted.entries:
        return Exit.PARTIAL
    return Exit.USAGE if any(missing.ambiguous for missing in wanted.missing) else Exit.NOT_FOUND


def _missing_record(missing: Resolution) -> dict[str, object]:
    return {
        "request": None,
        "state": "ambiguous" if missing.ambiguous else "not_found",
        "bucket": missing.target.bucket,
        "key": keys.display(missing.target.key),
        "archive": None,
        "destination": None,
        "sha256": None,
        "error": missing.why,
        "candidates": list(missing.candidates),
    }


def _show_estimate(output: Output, estimate: Estimate, wanted: _Wanted) -> None:
    prices = estimate.prices
    members, archives = counted(estimate.members, "member"), counted(estimate.archives, "archive")
    sizes = human_size(estimate.member_bytes), human_size(estimate.archive_bytes)
    output.text(f"{members}, {sizes[0]}, from {archives} ({sizes[1]}); to be thawed: {estimate.thaws or 'none'}")
    if estimate.hours:
        output.text(f"tier {estimate.tier}: typically within {estimate.hours:g} hours; copies kept for {estimate.days} days")
    parts = f"requests {dollars(estimate.requests)}, retrieval {dollars(estimate.retrieval)}, copies {dollars(estimate.copies)}"
    listed = f"{prices.region} list prices of {prices.as_of}"
    output.text(f"about {dollars(estimate.total)}: {parts} ({listed}); {dollars(estimate.egress)} more if read outside AWS")
    if wanted.other_versions:
        output.text(f"these keys have {counted(wanted.other_versions, 'other version')}: see --all and --as-of")


def _show_archives(app: _App, entries: Iterable[Entry]) -> None:
    """Name the archives of a dry run; what S3 is doing about them is taken from the journal, so that nobody is asked."""
    output, now = app.output, app.now()
    members: dict[str, int] = {}
    archives = {str(entry.archive.ref): entry.archive for entry in entries}
    for entry in entries:
        members[str(entry.archive.ref)] = members.get(str(entry.archive.ref), 0) + 1
    rows = []
    for name, archive in archives.items():
        thaws = app.restore_engine.thaws
        storage_class = thaws.storage_class(archive)
        thaw = storage_class.needs_thaw and thaws.standing(archive.ref, now) is Standing.FROZEN
        rows.append((name, human_size(archive.size), storage_class, members[name], "yes" if thaw else "no"))
        output.record(
            {
                "bucket": archive.ref.bucket,
                "archive": archive.ref.key,
                "bytes": archive.size,
                "storage_class": storage_class,
                "members": members[name],
                "thaw": thaw,
            }
        )
    output.table(rows, ("ARCHIVE", "SIZE", "CLASS", "MEMBERS", "TO THAW"))


def _estimate_record(estimate: Estimate) -> dict[str, object]:
    return {
        "archives": estimate.archives,
        "archive_bytes": estimate.archive_bytes,
        "thaws": estimate.thaws,
        "members": estimate.members,
        "member_bytes": estimate.member_bytes,
        "tier": estimate.tier,
        "days": estimate.days,
        "hours": estimate.hours,
        "usd": float(round(estimate.total, 6)),
        "usd_requests": float(round(estimate.requests, 6)),
        "usd_retrieval": float(round(estimate.retrieval, 6)),
        "usd_copies": float(round(estimate.copies, 6)),
        "usd_egress": float(round(estimate.egress, 6)),
        "prices": f"{estimate.prices.region} {estimate.prices.as_of}",
    }


def _check_cost(args: argparse.Namespace, app: _App, total: Decimal) -> None:
    """Raise `CostLimit` unless the estimate may be spent."""
    about = f"a restore of about {dollars(total)}"
    if args.max_cost is not None:
        if total > args.max_cost:
            raise CostLimit(about, f"is above --max-cost {args.max_cost}", "Ask for less, or raise the limit")
        return
    limit = app.settings.max_cost
    if args.yes or total <= limit:
        return
    if not sys.stdin.isatty():
        raise CostLimit(about, f"is above ${limit} and nobody is there to confirm it", "Say --yes, or --max-cost USD")
    app.output.progress(f"{about} is above ${limit}. Go on? [y/N]")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CostLimit(about, "was not confirmed", "Ask for less")


def _begin(args: argparse.Namespace, app: _App, request: Request) -> Exit:
    """Do what can be done at once, and wait where that is wanted; a request that stands is no failure."""
    app.output.progress(f"request {request.id} is filed")
    if args.wait:
        return wait(app, request.id)
    try:
        one_round(app.restore_engine, request.id, os.getuid())
    except KeyboardInterrupt:
        app.output.progress(f"request {request.id} stands; `s3batch requests wait {request.id}` goes on with it")
        raise
    request = app.restore_engine.requests.get(request.id)
    show(app, request)
    return exit_of(app.restore_engine, request) if request.finished else Exit.DONE


def _new_id(now: datetime) -> str:
    return f"r{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of dollars")
    return amount
