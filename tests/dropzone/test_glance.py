from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync.dropzone.facts import FolderFacts
from s3sync.dropzone.glance import Sight, Young
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import Reason, Refusal
from s3sync.dropzone.zone import Rights
from tests.dropzone.made_up import FOLDER, OURS, THEM, US, a_file
from tests.dropzone.zones import ladder as ladder_of

NOW_NS = 10**18
SECOND = 10**9


def _clock(*, stepped: bool = False) -> QuietClock:
    clock = QuietClock(timedelta(seconds=60))
    if stepped:
        clock.begin_pass(wall_ns=NOW_NS - 10**12, monotonic_ns=0)
    clock.begin_pass(wall_ns=NOW_NS, monotonic_ns=SECOND)
    return clock


rights = st.builds(
    Rights, uid=st.sampled_from([0, US]), reads_all=st.booleans(), owns_all=st.booleans(), leases_all=st.booleans()
)
folders = st.builds(
    replace,
    st.just(FOLDER),
    rights=rights,
    owner=st.sampled_from([US, THEM]),
    sticky=st.booleans(),
    prefix=st.sampled_from([b"", b"in/", b"d" * 1015 + b"/"]),
    leases=st.booleans(),
)
_NAMES = [b"file", b".hidden", b"x.filepart", b"x.tmp", b"n" * 255, b"caf\xe9", b"known"]


@given(
    folder=folders,
    name=st.sampled_from(_NAMES),
    kind=st.sampled_from([stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFDIR]),
    mode=st.sampled_from([0o644, 0o600, 0o000, 0o4755, 0o004]),
    uid=st.sampled_from([US, THEM]),
    size=st.sampled_from([0, 5, 100, 101]),
    age_s=st.sampled_from([-(10**6), -61, -60, -59, -1, 0, 59, 60, 61, 239, 240, 241, 10**6]),
    max_size=st.sampled_from([None, 100]),
    utf8_only=st.booleans(),
    in_flight=st.sampled_from([frozenset[bytes](), frozenset({b"bucket/known"})]),
    nudge_ns=st.sampled_from([-1, 0, 1]),
    stepped=st.booleans(),
)
def test_what_a_glance_says_the_rules_say_too(
    *,
    folder: FolderFacts,
    name: bytes,
    kind: int,
    mode: int,
    uid: int,
    size: int,
    age_s: int,
    max_size: int | None,
    utf8_only: bool,
    in_flight: frozenset[bytes],
    nudge_ns: int,
    stepped: bool,
) -> None:
    """The scan's short cut says nothing its rules, asked one by one, would not; and of ordinary files it does say it."""
    asked = ladder_of(quiet=_clock(stepped=stepped), max_size=max_size, utf8_only=utf8_only, in_flight=in_flight)
    readable = folder.rights.reads_all or bool(mode & stat.S_IROTH)
    ctime_ns = NOW_NS - age_s * SECOND + nudge_ns
    seen = a_file(name, folder=folder, readable=readable, mode=kind | mode, uid=uid, size=size, ctime_ns=ctime_ns)
    look = asked.glance(folder, None)

    sight = Sight.UNSURE if look is None else look(name, seen.stat)

    refusal = asked.refuses_file(seen, None)
    assert sight is not Sight.FINISHED or refusal is None
    assert sight is not Sight.YOUNG or refusal == asked.rests(seen)
    ordinary = (kind, mode, size, name) == (stat.S_IFREG, 0o644, 5, b"file") and len(folder.prefix) < 9
    if ordinary and not utf8_only and not folder.sticky:
        assert sight is Sight.FINISHED or age_s < 241 or stepped
        assert sight is Sight.YOUNG or not -60 < age_s < 60 or uid == folder.rights.uid


@pytest.mark.parametrize(
    ("deviation", "reason", "sight"),
    [
        ({}, None, Sight.FINISHED),
        ({"ctime_ns": NOW_NS}, Reason.QUIET, Sight.YOUNG),
        ({"ctime_ns": NOW_NS - 61 * SECOND, "folder": replace(FOLDER, leases=False)}, Reason.QUIET, Sight.UNSURE),
        ({"ctime_ns": NOW_NS + 60 * SECOND + 1}, Reason.QUIET, Sight.UNSURE),
    ],
)
def test_finished_and_young_files_are_told_at_a_glance(deviation: dict[str, Any], reason: Reason | None, sight: Sight) -> None:
    """What the clock has to think about, or to remember, is left to the rules."""
    assert (reason, sight) == _both(deviation)


@pytest.mark.parametrize("ctime_ns", [0, NOW_NS])
@pytest.mark.parametrize(
    ("deviation", "reason"),
    [
        ({"name": b".hidden"}, Reason.TEMPORARY_NAME),
        ({"name": b"known"}, Reason.IN_FLIGHT),
        ({"name": b"n" * 250, "folder": replace(FOLDER, prefix=b"d" * 1000)}, Reason.KEY_TOO_LONG),
        ({"mode": stat.S_IFLNK | 0o777}, Reason.SYMLINK),
        ({"mode": stat.S_IFIFO | 0o666}, Reason.FIFO),
        ({"mode": stat.S_IFREG | 0o600, "readable": False}, Reason.UNREADABLE),
        ({"size": 101}, Reason.LARGER_THAN_SPOOL),
        ({"folder": replace(FOLDER, sticky=True)}, Reason.FOLDER_STICKY),
    ],
)
def test_one_thing_amiss_is_left_to_the_rules(deviation: dict[str, Any], reason: Reason, ctime_ns: int) -> None:
    """One thing wrong with an otherwise ordinary file is enough, whichever it is, and comes before its youth."""
    assert (reason, Sight.UNSURE) == _both({"ctime_ns": ctime_ns, **deviation})


def _both(deviation: dict[str, Any]) -> tuple[Reason | None, Sight]:
    """Return what the rules and what a glance says of an ordinary file that deviates."""
    asked = ladder_of(quiet=_clock(), max_size=100, in_flight={b"bucket/known"})
    file = a_file(**deviation)
    look = asked.glance(file.folder, None)
    refusal = asked.refuses_file(file, None)
    return refusal and refusal.reason, look(file.name, file.stat) if look else Sight.UNSURE


@pytest.mark.parametrize(
    ("rights", "leases", "uid", "sight"),
    [
        (OURS, True, THEM, Sight.YOUNG),
        (OURS, True, US, Sight.UNSURE),
        (OURS, False, US, Sight.YOUNG),
        (replace(OURS, leases_all=True), True, US, Sight.YOUNG),
    ],
)
def test_young_files_that_are_told_together_rest_equally_long(rights: Rights, leases: bool, uid: int, sight: Sight) -> None:
    """Where a lease can be had of our own files alone, the few that are ours are asked about one by one."""
    folder = replace(FOLDER, rights=rights, leases=leases)
    look = ladder_of(quiet=_clock()).glance(folder, None)

    assert look is not None
    assert sight is look(b"file", a_file(folder=folder, uid=uid, ctime_ns=NOW_NS).stat)


def test_of_young_files_the_one_is_remembered_that_will_be_quiet_first() -> None:
    """How many, how large together, and one name."""
    files = [a_file(name, size=size, ctime_ns=ctime_ns) for name, size, ctime_ns in [(b"b", 1, 7), (b"c", 2, 5), (b"a", 4, 6)]]
    young = Young(files[0].name, files[0].stat)
    for file in files[1:]:
        young.add(file.name, file.stat)

    assert (3, 7, b"c", 5) == (young.files, young.bytes, young.name, young.seen.st_ctime_ns)


def test_a_key_that_must_be_unicode_is_never_told_at_a_glance() -> None:
    """Where a key becomes an object's, only the rule looks at its encoding."""
    assert ladder_of(utf8_only=True).glance(FOLDER, None) is None


def test_nothing_is_told_at_a_glance_where_only_the_rules_know() -> None:
    """A folder nothing can be removed from, files archived and not removable, keys that are taken: each file is asked."""
    refusal = Refusal(Reason.IMMUTABLE, "")
    stuck = ladder_of(unreleasable={b"bucket/file": a_file().identity})

    assert (None, None) == (ladder_of().glance(FOLDER, refusal), stuck.glance(FOLDER, None))
    assert ladder_of().glance(FOLDER, None) is not None
