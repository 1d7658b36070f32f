"""`ls`: what a listing would show if the members were still objects."""

from __future__ import annotations

import argparse
from typing import Protocol

from s3batch.catalogue import targets
from s3batch.catalogue.contract import Listed, Lookup
from s3batch.catalogue.view import entry_object
from s3batch.commands import _catalogues
from s3batch.commands._catalogues import chosen, setup_catalogue
from s3sync import keys
from s3sync.errors import Exit, NotFound, Usage
from s3sync.output import Output, human_size, human_time
from s3sync.times import from_ns

HELP = "List folders and files as if they were still objects."
EPILOG = """Shows the newest version of each file and how many there are. Without an argument it lists the buckets. A prefix
that does not end in / lists what begins with it. Exit code 4: nothing there.

examples:
  s3batch ls s3://customer-uploads/2024/
  s3batch ls --json s3://customer-uploads/2024/03/ | jq -r .key
"""


class Needs(_catalogues.Needs, Protocol):
    """What the command takes from the application."""


def setup(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("prefix", nargs="?", metavar="s3://BUCKET/PREFIX", help="where to look (default: all buckets)")
    setup_catalogue(parser)


def run(args: argparse.Namespace, app: Needs) -> Exit:
    """List."""
    catalogue = chosen(args, app)
    if args.prefix is None:
        return _list_buckets(catalogue, app.output)
    target = targets.parse(args.prefix)
    if target.bucket is None:
        raise Usage(keys.printable(args.prefix), "names no bucket", "Write s3://bucket/prefix")
    count = 0
    for listed in catalogue.ls(target.bucket, target.key):
        _show(target.bucket, listed, app.output)
        count += 1
    if not count:
        raise NotFound(
            keys.printable(args.prefix), "the catalogue has nothing there", "Look one level up, or try `s3batch find`"
        )
    return Exit.DONE


def _list_buckets(catalogue: Lookup, output: Output) -> Exit:
    for bucket in catalogue.buckets():
        output.record({"bucket": bucket})
        if not output.as_json:
            output.text(targets.uri(bucket, b""))
    return Exit.DONE


def _show(bucket: str, listed: Listed, output: Output) -> None:
    if output.as_json:
        output.record(_folder_object(bucket, listed.key) if listed.entry is None else _key_object(listed))
        return
    name = keys.display(listed.key)
    if listed.entry is None:
        output.text(f"{'folder':>23}  {'':>10}  {name}")
        return
    member = listed.entry.member
    versions = f"  ({listed.versions} versions)" if listed.versions > 1 else ""
    output.text(f"{human_time(from_ns(member.mtime_ns)):>23}  {human_size(member.size):>10}  {name}{versions}")


def _folder_object(bucket: str, key: bytes) -> dict[str, object]:
    shown: dict[str, object] = {"bucket": bucket, "key": keys.display(key), "folder": True}
    encoded = keys.to_base64(key)
    return shown if encoded is None else shown | {"key_base64": encoded}


def _key_object(listed: Listed) -> dict[str, object]:
    if listed.entry is None:
        raise TypeError(listed)
    return entry_object(listed.entry) | {"folder": False, "versions": listed.versions}
