"""`show`: everything known of one key or one archive, and how to get it back with `aws` and `tar` alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Protocol

from s3batch.catalogue import by_hand, targets
from s3batch.catalogue.contract import Entry, Lookup
from s3batch.catalogue.view import archive_object, entry_object, owner_object
from s3batch.commands import _catalogues
from s3batch.commands._catalogues import chosen, setup_catalogue
from s3batch.model import ArchiveRecord
from s3sync import keys
from s3sync.errors import Exit, NotFound
from s3sync.output import Output, human_size

HELP = "Show all that is known of a file or an archive, and the plain commands that bring it back."
EPILOG = """WHAT is s3://bucket/key, s3://bucket/archive.tar, s3://bucket/archive.tar#key, or a bare name that fits only one;
a key that is not UTF-8 is typed as base64:... A key is shown with all its versions, newest first. Exit code 4: not found.

examples:
  s3batch show s3://customer-uploads/2024/03/report.pdf
  s3batch show --members s3://customer-uploads/2024/03/20240321T104855-1f2e3d4c.tar
"""


class Needs(_catalogues.Needs, Protocol):
    """What the command takes from the application."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", metavar="WHAT", help="a key or an archive")
    parser.add_argument("--members", action="store_true", help="of an archive: list its members too")
    setup_catalogue(parser)


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """Look it up and show it."""
    catalogue = chosen(args, app)
    target = targets.parse(args.what)
    archive = targets.archive_of(catalogue, target)
    if archive is not None:
        _show_archive(archive, catalogue, app.output, with_members=args.members)
        return Exit.DONE
    if target.kind is targets.Kind.PREFIX:
        raise NotFound(keys.printable(args.what), "is a prefix, not one key", "List it with `s3batch ls`")
    found = targets.resolve(catalogue, target, all_versions=True)
    if found.ambiguous:
        return _show_candidates(found, app.output)
    if not found.entries:
        raise NotFound(keys.printable(args.what), found.why, "Look for a part of it with `s3batch find`")
    for entry in found.entries:
        _show_version(entry, app.output)
    return Exit.DONE


def _show_archive(archive: ArchiveRecord, catalogue: Lookup, output: Output, *, with_members: bool) -> None:
    lines = [by_hand.manifest_line(archive), *by_hand.archive_lines(archive)]
    facts = archive_object(archive)
    output.record({**facts, "commands": lines})
    if not output.as_json:
        _show_facts(str(archive.ref), facts, lines, output)
    if with_members:
        for entry in catalogue.members(archive.ref.bucket, archive.ref.key):
            _show_member(entry, output)


def _show_member(entry: Entry, output: Output) -> None:
    output.record(entry_object(entry))
    if not output.as_json:
        output.text(f"{human_size(entry.member.size):>10}  {keys.display(entry.member.key)}")


def _show_version(entry: Entry, output: Output) -> None:
    lines = [*by_hand.member_lines(entry), *_or_whole(entry)]
    facts = {**archive_object(entry.archive), **entry_object(entry), **owner_object(entry)}
    del facts["members"]
    output.record({**facts, "commands": lines})
    if not output.as_json:
        _show_facts(targets.member_uri(entry), facts, lines, output)


def _or_whole(entry: Entry) -> list[str]:
    whole = by_hand.archive_lines(entry.archive, entry.member.key)[-2:]
    return [f"# or, with all of the archive ({human_size(entry.archive.size)}):", *whole]


def _show_facts(title: str, facts: dict[str, object], lines: Iterable[str], output: Output) -> None:
    output.text(title)
    for name, value in facts.items():
        if value is not None:
            output.text(f"  {name:<18}  {value}")
    output.text("  without this program:")
    for line in lines:
        output.text(f"    {line}")
    output.text()


def _show_candidates(found: targets.Resolution, output: Output) -> Exit:
    output.text(f"{found.target.text}: {found.why}{', among them' if found.cut else ''}:")
    for candidate in found.candidates:
        output.text(f"  {candidate}")
    return Exit.USAGE
