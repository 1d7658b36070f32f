from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.facts import FileFacts, FolderFacts
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


class _HalfFiles:
    """Knows one file that is partial, and a whole one of its name."""

    def suspects(self, name: bytes) -> bool:
        """Both are called alike."""
        return name == b"half"

    def standing(self, file: FileFacts) -> str | None:
        """The smaller one broke off."""
        return "it broke off" if file.name == b"half" and file.stat.st_size == 5 else None


rights = st.builds(
    Rights, uid=st.sampled_from([0, US]), reads_all=st.booleans(), owns_all=st.booleans(), leases_all=st.booleans()
)
folders = st.builds(
    replace,
    st.just(FOLDER),
    rights=rights,
    owner=st.sampled_from([US, THEM]),
    sticky=st.booleans(),
    prefix=st.sampled_from([b"", b"in/", b"caf\xe9/", "café/".encode(), b"d" * 1015 + b"/"]),
    leases=st.booleans(),
)
_NAMES = [b"file", b".hidden", b"x.filepart", b"x.tmp", b"n" * 255, b"caf\xe9", "café".encode(), b"half", b"known"]
_KNOWN = {b"bucket/known": a_file().identity}


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
    unreleasable=st.sampled_from([{}, _KNOWN]),
    exists=st.sampled_from([{}, _KNOWN]),
    partial=st.sampled_from([None, _HalfFiles()]),
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
    unreleasable: dict[bytes, Identity],
    exists: dict[bytes, Identity],
    partial: _HalfFiles | None,
    nudge_ns: int,
    stepped: bool,
) -> None:
    """The scan's short cut says nothing its rules, asked one by one, would not; and of ordinary files it does say it."""
    asked = ladder_of(
        quiet=_clock(stepped=stepped),
        max_size=max_size,
        utf8_only=utf8_only,
        in_flight=in_flight,
        unreleasable=unreleasable,
        exists=exists,
        partial=partial,
    )
    readable = folder.rights.reads_all or bool(mode & stat.S_IROTH)
    ctime_ns = NOW_NS - age_s * SECOND + nudge_ns
    seen = a_file(name, folder=folder, readable=readable, mode=kind | mode, uid=uid, size=size, ctime_ns=ctime_ns)
    look = asked.glance(folder, None)

    sight = Sight.UNSURE if look is None else look(name, seen.stat)

    refusal = asked.refuses_file(seen, None)
    assert sight is not Sight.FINISHED or refusal is None
    assert sight is not Sight.YOUNG or refusal == asked.rests(seen)
    ordinary = (kind, mode, size, name) == (stat.S_IFREG, 0o644, 5, b"file") and len(folder.prefix) < 9
    if ordinary and not folder.sticky and not (utf8_only and folder.prefix == b"caf\xe9/"):
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
        ({"name": b"stuck"}, Reason.UNRELEASABLE),
        ({"name": b"taken"}, Reason.EXISTS),
        ({"name": b"caf\xe9"}, Reason.KEY_NOT_UTF8),
        ({"folder": replace(FOLDER, prefix=b"caf\xe9/")}, Reason.KEY_NOT_UTF8),
        ({"name": b"half"}, Reason.PROBABLY_PARTIAL),
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
    file = a_file(**deviation)
    asked = ladder_of(
        quiet=_clock(),
        max_size=100,
        utf8_only=True,
        in_flight={b"bucket/known"},
        unreleasable={b"bucket/stuck": file.identity},
        exists={b"bucket/taken": file.identity},
        partial=_HalfFiles(),
    )
    look = asked.glance(file.folder, None)
    refusal = asked.refuses_file(file, None)
    return refusal and refusal.reason, look(file.name, file.stat) if look else Sight.UNSURE


def test_a_file_that_is_known_is_left_to_the_rules() -> None:
    """On its way, archived and not removable, its key taken: each is enough, and whether it is still that file they look at."""
    known = {b"bucket/file": a_file().identity}
    ladders = [ladder_of(in_flight=known), ladder_of(unreleasable=known), ladder_of(exists=known)]

    looks = [asked.glance(FOLDER, None) for asked in ladders]

    assert [Sight.UNSURE] * 3 == [look(b"file", a_file().stat) for look in looks if look]
    assert [Sight.FINISHED] * 3 == [look(b"other", a_file().stat) for look in looks if look]


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


def test_nothing_is_told_at_a_glance_of_a_folder_from_which_nothing_can_be_removed() -> None:
    """What is known of a file comes before that, and only the rules ask in that order."""
    assert ladder_of().glance(FOLDER, Refusal(Reason.IMMUTABLE, "")) is None
    assert ladder_of().glance(FOLDER, None) is not None
