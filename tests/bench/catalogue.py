"""The catalogue alone: how fast members go in with full text, how large they lie there, how fast they are found."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from s3batch.catalogue.contract import Query
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.model import Member
from tests.bench.search import WORDS
from tests.catalogue.examples import record

ARCHIVE_MEMBERS = 100_000
RUNS = 9


def measure(base: Path, members: int) -> list[tuple[str, str]]:
    """Fill a catalogue with `members` (whole archives of 100,000) and ask it; return what was found out."""
    place = base / "catalogue.db"
    catalogue = SqliteCatalogue.open(place)
    chance = random.Random(3)
    spent, made = 0.0, list[Member]()
    archives = max(1, members // ARCHIVE_MEMBERS)
    for number in range(archives):
        # In the order of their paths, as a scan finds them and a manifest lists them.
        made = sorted(_members(chance, number), key=lambda member: member.key)
        began = time.perf_counter()
        catalogue.add(record(f"20260301T{number:06}-3fa9c2d1", ARCHIVE_MEMBERS, day=number / 48), made)
        spent += time.perf_counter() - began
    total = archives * ARCHIVE_MEMBERS
    key = made[len(made) // 2].key
    asked: dict[str, Callable[[], object]] = {
        "exact key": lambda: catalogue.versions(key),
        "substring, rare": lambda: catalogue.find(Query(words=("nzibar",))).entries,
        "substring, some": lambda: catalogue.find(Query(words=("_00123",))).entries,
        "substring, common": lambda: catalogue.find(Query(words=("invoi",))).entries,
        "three words": lambda: catalogue.find(Query(words=("invoice", "signed", "ledger"))).entries,
    }
    rows = [("members", f"{total:,}"), ("put in", f"{total / spent:,.0f} a second")]
    rows += [(name, f"{_milliseconds(ask):.1f} ms") for name, ask in asked.items()]
    catalogue.close()
    return [*rows, ("size", f"{_bytes(place) / total:.0f} bytes a member")]


def _milliseconds(ask: Callable[[], object]) -> float:
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        assert ask()
        took.append((time.perf_counter() - began) * 1_000)
    return statistics.median(took)


def _bytes(place: Path) -> int:
    return sum(os.path.getsize(each) for each in place.parent.glob(f"{place.name}*"))


def _members(chance: random.Random, archive: int) -> Iterator[Member]:
    for number in range(ARCHIVE_MEMBERS):
        words = "-".join(chance.sample(WORDS, 3))
        rare = "Zanzibar-" if number == 0 and archive % 10 == 0 else ""
        key = f"customer-{archive % 40:03}/2026/{number // 5_000:02}/{rare}{words}_{chance.randrange(10**7):07}.pdf"
        yield Member(
            key=key.encode(),
            offset=512 + number * 5_120,
            size=4_096,
            sha256=f"{chance.getrandbits(256):064x}",
            mtime_ns=1_700_000_000_000_000_000 + number,
            mode=0o644,
            uid=1000,
            gid=100,
            user="alice",
            group="users",
        )
