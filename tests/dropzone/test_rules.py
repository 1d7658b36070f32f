from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from typing import Unpack

import pytest

from s3sync.dropzone.candidate import Identity
from s3sync.dropzone.facts import FileFacts
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.quiet import QuietClock
from s3sync.dropzone.reasons import MEANINGS, Reason, Refusal
from s3sync.dropzone.rules import TEMPORARY_NAMES, Standards, bucket_problem
from s3sync.dropzone.zone import Rights
from tests.dropzone.made_up import FOLDER, OURS, THEM, US, a_file
from tests.dropzone.zones import Demands, everything_old
from tests.dropzone.zones import ladder as ladder_of


def _reason(file: FileFacts, **standards: Unpack[Demands]) -> str | None:
    ladder = ladder_of(**standards)
    refusal = ladder.refuses_file(file, ladder.refuses_removal(file.folder))
    return None if refusal is None else refusal.reason.value


def test_a_finished_file_passes_every_rule() -> None:
    """A plain file in a folder of ours is held by nothing."""
    assert _reason(a_file()) is None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (stat.S_IFLNK, "symlink"),
        (stat.S_IFIFO, "fifo"),
        (stat.S_IFSOCK, "socket"),
        (stat.S_IFCHR, "device"),
        (stat.S_IFBLK, "device"),
    ],
)
def test_only_regular_files_pass(kind: int, reason: str) -> None:
    """Links, FIFOs, sockets and devices are held, each by its own name."""
    assert reason == _reason(a_file(mode=kind | 0o644))


@pytest.mark.parametrize(
    "name",
    [
        b".hidden",
        b"a.filepart",
        b"a.part",
        b"a.partial",
        b"a.tmp",
        b".in.a.",
        b".pureftpd-upload.5f",
        b".a.txt.Xy12ab",
        b"\xff.tmp",
    ],
)
def test_unfinished_names_are_held(name: bytes) -> None:
    """What clients and servers call a file they are not done with is left alone."""
    assert "temporary_name" == _reason(a_file(name))


@pytest.mark.parametrize(
    ("name", "reason"), [(b"a.lock", "temporary_name"), (b"a.lock2", None), (b"tmp", None), (b"a.tmp.csv", None)]
)
def test_settings_add_names(name: bytes, reason: str | None) -> None:
    """Further patterns hold further names, and only whole names."""
    assert reason == _reason(a_file(name), temporary=(*TEMPORARY_NAMES, "*.lock"))


@pytest.mark.parametrize(("length", "reason"), [(1024, None), (1025, "key_too_long")])
def test_a_key_may_have_1024_bytes(length: int, reason: str | None) -> None:
    """The limit counts bytes of the whole key, not characters of the name."""
    folder = replace(FOLDER, prefix=b"x" * 900 + b"/")

    assert reason == _reason(a_file("é".encode() * ((length - 901) // 2) + b"x" * ((length - 901) % 2), folder=folder))


def test_only_s3sync_needs_utf8() -> None:
    """A key that is an object's key has to be UTF-8; a member's need not."""
    assert [None, "key_not_utf8"] == [_reason(a_file(b"\xff"), utf8_only=only) for only in (False, True)]


def test_what_cannot_be_removed_is_held() -> None:
    """Each thing that stands in the way of removing has its own reason."""
    elsewhere = Refusal(Reason.OTHER_FILESYSTEM, "elsewhere")
    folders = [
        replace(FOLDER, writable=False),
        replace(FOLDER, pinned=True),
        replace(FOLDER, quarantine=elsewhere),
        replace(FOLDER, sticky=True),
    ]

    reasons = [_reason(a_file(folder=folder)) for folder in folders]

    assert ["folder_not_writable", "immutable", "other_filesystem", "folder_sticky"] == reasons


@pytest.mark.parametrize(
    ("owner", "uid", "rights"),
    [(US, THEM, OURS), (THEM, US, OURS), (THEM, THEM, replace(OURS, owns_all=True))],
)
def test_a_sticky_folder_is_no_obstacle_to_owners(owner: int, uid: int, rights: Rights) -> None:
    """The folder's owner, the file's owner and CAP_FOWNER may remove from a sticky folder."""
    assert _reason(a_file(folder=replace(FOLDER, sticky=True, owner=owner, rights=rights), uid=uid)) is None


def test_a_file_in_flight_is_held_before_anything_else() -> None:
    """What is known is not judged again."""
    file = a_file(b"a.tmp", folder=replace(FOLDER, writable=False))

    assert "in_flight" == _reason(file, in_flight={b"bucket/a.tmp"})


def test_a_file_that_could_not_be_removed_is_held_while_it_is_unchanged() -> None:
    """Archived and stuck: not archived again until it is another file."""
    file = a_file()
    known = {file.path: file.identity}
    changed = {file.path: file.identity._replace(ctime_ns=1)}

    assert ["unreleasable", None] == [_reason(file, unreleasable=states) for states in (known, changed)]


def test_a_younger_version_waits_for_the_older_one() -> None:
    """While a displaced file of the same key waits, the newer one is held."""
    assert "older_version_first" == _reason(a_file(older=True))


def test_an_unreadable_file_is_held() -> None:
    """What cannot be read cannot be archived."""
    assert "unreadable" == _reason(a_file(readable=False))


@pytest.mark.parametrize(("size", "reason"), [(100, None), (101, "larger_than_spool")])
def test_a_file_must_fit_into_the_spool(size: int, reason: str | None) -> None:
    """A file the spool could never hold is held instead of tried."""
    assert reason == _reason(a_file(size=size), max_size=100)


@pytest.mark.parametrize(
    ("uid", "rights", "leases", "reason"),
    [
        (US, OURS, True, None),
        (THEM, OURS, True, "quiet"),
        (THEM, replace(OURS, leases_all=True), True, None),
        (US, OURS, False, "quiet"),
    ],
)
def test_quiet_takes_longer_where_no_lease_can_be_had(uid: int, rights: Rights, leases: bool, reason: str | None) -> None:
    """Another user's file without CAP_LEASE, or a filesystem without leases: four times the period."""
    clock = QuietClock(timedelta(seconds=60))
    clock.begin_pass(wall_ns=1_000_000 * 10**9, monotonic_ns=0)
    file = a_file(folder=replace(FOLDER, rights=rights, leases=leases), uid=uid, ctime_ns=(1_000_000 - 61) * 10**9)

    assert reason == _reason(file, quiet=clock)


@pytest.mark.parametrize("name", ["abc", "my-bucket", "a.b.c", "0" * 63, "1.2.3"])
def test_bucket_names(name: str) -> None:
    """Names S3 takes."""
    assert bucket_problem(name.encode()) is None


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "A-bucket",
        "a_b_c",
        "-abc",
        "abc-",
        ".abc",
        "a..b",
        "192.168.0.1",
        "0" * 64,
        "xn--abc",
        "abc-s3alias",
        "é-bucket",
        "a b c",
        "abc\n",
    ],
)
def test_names_that_are_no_buckets(name: str) -> None:
    """Names S3 refuses."""
    assert bucket_problem(name.encode()) is not None


def test_only_listed_buckets_where_there_is_a_list() -> None:
    """An uploader cannot make a bucket theirs by making a folder."""
    ladder = Ladder(Standards(quiet=everything_old(), buckets=frozenset({"mine"})))

    refusals = [ladder.refuses_bucket(name) for name in (b"mine", b"theirs", b"NO")]

    assert [None, Reason.BUCKET_NOT_LISTED, Reason.BUCKET_NAME] == [refusal and refusal.reason for refusal in refusals]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"s3-batch", Reason.RESERVED_PREFIX),
        (b"s3-batch/manifests", Reason.RESERVED_PREFIX),
        (b"s3-batches", None),
        (b"a/.cache", Reason.TEMPORARY_NAME),
        (b"x" * 1022, None),
        (b"x" * 1023, Reason.KEY_TOO_LONG),
    ],
)
def test_folders_that_are_not_entered(key: bytes, reason: Reason | None) -> None:
    """Our own prefix, hidden folders, and folders in which every key would be too long."""
    refusal = Ladder(Standards(quiet=everything_old())).refuses_folder(key)

    assert reason == (refusal and refusal.reason)


def test_why_lists_every_rule_with_its_verdict() -> None:
    """A file refused twice shows both, among all that it passed, in the order the scan asks."""
    ladder = Ladder(Standards(quiet=everything_old()))

    verdicts = ladder.file_verdicts(a_file(b"a.tmp", folder=replace(FOLDER, writable=False)))

    assert ["folder_not_writable", "temporary_name"] == [verdict.rule for verdict in verdicts if not verdict.ok]
    assert verdicts[0].rule == "in_flight"
    assert verdicts[-1].rule == "quiet"
    assert all(verdict.ok or verdict.detail for verdict in verdicts)


def test_every_reason_says_what_it_means() -> None:
    """No reason without words."""
    assert set(Reason) == set(MEANINGS)


def test_an_identity_is_what_stat_saw() -> None:
    """The facts carry the state they were judged by."""
    assert Identity(3, 7, 5, 0, 9) == a_file(ctime_ns=9).identity
