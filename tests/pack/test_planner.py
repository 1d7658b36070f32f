"""Plans keep neighbours together, exceed no limit, and lose nobody."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from s3batch.model import Batch, Closed
from s3batch.pack.planner import ARCHIVE_NAME_BYTES, Limits, PackWithin, Waiting, plan, shared_folder
from s3sync.dropzone.candidate import Candidate, Candidates, Identity
from s3sync.keys import MAX_KEY_BYTES

HOUR_NS = 3600 * 10**9
NOW_NS = 1_700_000_000 * 10**9
OVERHEAD = 512 + 1024
"""The header of one member and the end of the archive."""


def candidate(key: str | bytes, size: int = 1, *, bucket: str = "bucket", age_ns: int = HOUR_NS) -> Candidate:
    """Return a finished file of `size` bytes."""
    raw = key.encode() if isinstance(key, str) else key
    return Candidate(bucket, raw, bucket.encode() + b"/" + raw, Identity(1, hash(key) & 0xFFFF, size, 0, NOW_NS - age_ns))


def limits(**changes: object) -> Limits:
    """Return limits that close nothing by themselves."""
    values = {"max_bytes": 2**30, "max_members": 10**5, "max_age_ns": 6 * HOUR_NS, "quiet_ns": 0, "close_all": True}
    return Limits(**{**values, **changes})  # type: ignore[arg-type]  # a table of keyword arguments


def batches(candidates: Iterable[Candidate], wanted: Limits) -> list[Batch]:
    """Return the batches of a plan."""
    return [item for item in plan(candidates, wanted, NOW_NS) if isinstance(item, Batch)]


def keys(batch: Batch) -> list[bytes]:
    """Return the keys of a batch."""
    return [candidate.key for candidate in batch.candidates]


def test_single_pass_closes_everything_group_by_group() -> None:
    """By default two first-level folders are never mixed, and files beside them form a group of their own."""
    found = [candidate(key) for key in ("loose", "a/1", "a/2/3", "b/1")]

    assert [[b"loose"], [b"a/1", b"a/2/3"], [b"b/1"]] == [keys(batch) for batch in batches(found, limits())]
    assert ["", "a", "b"] == [batch.folder for batch in batches(found, limits())]


def test_packing_within_a_bucket_mixes_its_folders() -> None:
    """`bucket` fills best."""
    found = [candidate("a/1"), candidate("b/1"), candidate("b/1", bucket="other")]

    assert [[b"a/1", b"b/1"], [b"b/1"]] == [keys(batch) for batch in batches(found, limits(within=PackWithin.BUCKET))]


def test_packing_within_folders_keeps_every_folder_apart() -> None:
    """`folder` is the original's way."""
    found = [candidate(key) for key in ("a/1", "a/2", "a/b/1")]

    assert [[b"a/1", b"a/2"], [b"a/b/1"]] == [keys(batch) for batch in batches(found, limits(within=PackWithin.FOLDER))]


def test_archive_of_exactly_the_limit_is_one_batch() -> None:
    """A file whose archive is exactly as large as allowed shares with nobody and is not called oversize."""
    exact = candidate("a/1", 4096)

    assert [Closed.ONCE] == [batch.reason for batch in batches([exact], limits(max_bytes=OVERHEAD + 4096))]
    assert [Closed.OVERSIZE] == [batch.reason for batch in batches([exact], limits(max_bytes=OVERHEAD + 4095))]


def test_file_larger_than_the_limit_travels_alone_between_its_neighbours() -> None:
    """It does not close the batch its neighbours are collected in."""
    found = [candidate("a/1"), candidate("a/2", 9000), candidate("a/3")]

    assert [[b"a/2"], [b"a/1", b"a/3"]] == [keys(batch) for batch in batches(found, limits(max_bytes=8000))]


def test_archive_with_enough_members_ends_with_their_folder() -> None:
    """No folder is split for it; where one folder alone has more, the limits that must not be exceeded close it."""
    found = [candidate(key) for key in ("a/1/1", "a/1/2", "a/1/3", "a/1/4", "a/2/1", "a/3/1", "a/3/2", "a/4")]

    ended = batches(found, limits(enough_members=2))
    split = batches(found, limits(enough_members=2, max_members=3))

    assert [4, 3, 1] == [len(batch.candidates) for batch in ended]
    assert [Closed.FOLDER_END, Closed.FOLDER_END, Closed.ONCE] == [batch.reason for batch in ended]
    assert ["a/1", "a", "a"] == [batch.folder for batch in ended]
    assert [3, 2, 2, 1] == [len(batch.candidates) for batch in split]
    assert Closed.FULL_MEMBERS is split[0].reason


def test_enough_for_an_archive_is_not_kept_waiting() -> None:
    """Only what does not make an archive waits for others."""
    found = [candidate("a/1/1"), candidate("a/1/2"), candidate("a/2/1")]

    ended, waiting = plan(found, limits(close_all=False, enough_members=2), NOW_NS)

    assert isinstance(ended, Batch)
    assert [b"a/1/1", b"a/1/2"] == keys(ended)
    assert isinstance(waiting, Waiting)
    assert 1 == waiting.members


def test_partial_batch_waits_until_its_oldest_file_has_waited_long_enough() -> None:
    """What is not full stays where it is; age counts from the moment the file was finished."""
    found = [candidate("a/1", age_ns=5 * HOUR_NS), candidate("a/2")]
    patient = limits(close_all=False, quiet_ns=HOUR_NS, max_age_ns=4 * HOUR_NS + 1)

    (waiting,) = plan(found, patient, NOW_NS)
    (closed,) = batches(found, limits(close_all=False, quiet_ns=HOUR_NS, max_age_ns=4 * HOUR_NS))

    assert (
        Waiting(bucket="bucket", folder="a", members=2, planned_bytes=1024 + 2 * 1024, oldest_ns=NOW_NS - 5 * HOUR_NS)
        == waiting
    )
    assert Closed.AGE is closed.reason


def folder_of(*keys: str | bytes) -> str:
    """Return the folder that the candidates of some keys share."""
    return shared_folder(Candidates.of("bucket", map(candidate, keys)))


def test_shared_folder_is_whole_components() -> None:
    """`a/b` and `a/b!x` share `a`, whatever their bytes share; odd bytes and missing room move the archive up."""
    deep = "/".join(["d" * 100] * 9)

    assert "a" == folder_of("a/b/1", "a/b!x/1", "a/b/z/1")
    assert "" == folder_of(b"caf\xe9/1")
    assert "ok" == folder_of(b"ok/caf\xe9/1")
    assert len(folder_of(deep + "/" + "d" * 99 + "/1")) + ARCHIVE_NAME_BYTES <= MAX_KEY_BYTES


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "b/c", "d/e"]), st.integers(0, 5000)), max_size=40),
    st.integers(1600, 9000),
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from(PackWithin),
)
@settings(max_examples=200)
def test_plan_loses_nobody_and_exceeds_no_limit(
    drops: list[tuple[str, int]], max_bytes: int, max_members: int, enough: int, within: PackWithin
) -> None:
    """Flattening a plan gives the candidates back, each once, in order within its group; only lone files are oversize."""
    found = [candidate(f"{folder}/{at:03}", size) for at, (folder, size) in enumerate(sorted(drops))]
    planned = batches(found, limits(max_bytes=max_bytes, max_members=max_members, enough_members=enough, within=within))

    assert sorted(found, key=lambda one: one.key) == sorted(
        (one for batch in planned for one in batch.candidates), key=lambda one: one.key
    )
    for batch in planned:
        assert 1 <= len(batch.candidates) <= max_members
        assert batch.planned_bytes <= max_bytes or (len(batch.candidates) == 1 and batch.reason is Closed.OVERSIZE)
