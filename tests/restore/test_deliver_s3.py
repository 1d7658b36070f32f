from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s3batch.restore import destination
from s3batch.restore.deliver_s3 import IntoPrefix
from s3batch.restore.destination import Folder, Prefix, is_below, object_key, place
from s3batch.restore.requests import Part
from s3sync.errors import Permanent, Transient, Usage
from s3sync.store.checksum import Crc64Nvme
from s3sync.store.contract import Denied, ObjectRef, ObjectStore, Payload, Rejected, StorageClass
from s3sync.store.stored import NoLog
from tests.doubles.faulty import Faulty
from tests.restore.house import House
from tests.restore.test_deliver import part_at
from tests.restore.test_fetch import thaw_of

KEY = "restored/bucket/a/key"
TARGET = ObjectRef("back", KEY)


def into_prefix(house: House, store: ObjectStore | None = None, *, prefix: str = "restored/") -> IntoPrefix:
    """Return a delivery into a bucket."""
    spool = house.root / "spool"
    spool.mkdir(exist_ok=True)
    entry = house.archive({b"a/key": b"content"})[0]
    logs: dict[int, NoLog] = {}

    def log_of(part: Part) -> NoLog:
        return logs.setdefault(part.id, NoLog())

    return IntoPrefix(Prefix("back", prefix), store=store or house.store, spool=spool, thaw=thaw_of(entry), log_of=log_of)


def put(into: IntoPrefix, part: Part, content: bytes = b"content") -> str:
    """Deliver a part the way the fetcher does."""
    assert into.existing(part) is None
    sink = into.open(part)
    try:
        sink.write(memoryview(content))
        return sink.finish()
    finally:
        sink.discard()


def test_member_becomes_an_object(house: House) -> None:
    """A member is put below the prefix in an instantly readable class, with its facts in the metadata, and proved."""
    shown = put(into_prefix(house), part_at(b"bucket/a/key"))

    info = house.store.head(TARGET)
    assert info is not None
    assert b"content" == house.store.data(TARGET)
    assert StorageClass.STANDARD is info.storage_class
    assert part_at(b"bucket/a/key").sha256 == info.metadata["s3batch-sha256"]
    assert f"s3://back/{KEY}" == shown


def test_spool_is_left_empty(house: House) -> None:
    """What is collected on the way has no name, so that a crash leaves nothing."""
    into = into_prefix(house)
    sink = into.open(part_at(b"bucket/a/key"))
    sink.write(memoryview(b"half"))

    assert [] == list((house.root / "spool").iterdir())
    sink.discard()


def test_same_bytes_there_are_delivered(house: House) -> None:
    """An object with the same bytes counts as delivered, however it came there."""
    house.store.seed(TARGET, b"content")

    assert f"s3://back/{KEY}" == put(into_prefix(house), part_at(b"bucket/a/key"))


def test_other_bytes_are_never_replaced(house: House) -> None:
    """Another object under the key is left, and the member refused."""
    house.store.seed(TARGET, b"theirs")

    with pytest.raises(Permanent, match="none is ever replaced"):
        put(into_prefix(house), part_at(b"bucket/a/key"))

    assert b"theirs" == house.store.data(TARGET)


def test_own_success_with_a_lost_reply_is_success(house: House) -> None:
    """A put whose reply was lost is found by HEAD."""
    with Faulty(house.store) as store:
        store.on("put").fail(Transient("back", "connection lost"), after_effect=True)

        put(into_prefix(house, store), part_at(b"bucket/a/key"))

    assert b"content" == house.store.data(TARGET)


def test_damage_on_the_way_is_worth_repeating(house: House) -> None:
    """Bytes S3 refuses, though they were right here, are fetched and sent again."""
    with Faulty(house.store) as store:
        store.on("put").fail(Rejected("back", "checksum"))

        with pytest.raises(Transient):
            put(into_prefix(house, store), part_at(b"bucket/a/key"))


def test_large_members_go_up_in_parts(house: House) -> None:
    """A large member is put in parts and its bytes arrive."""
    content = bytes(range(256)) * 40_000

    put(into_prefix(house), part_at(b"bucket/a/key", content), content)

    assert content == house.store.data(TARGET)
    assert 2 <= house.store.calls["part"]


def test_upload_that_was_begun_and_never_noted_is_cleared_away(house: House) -> None:
    """A crash between S3's reply and our note leaves parts that are billed; the next attempt ends them, and nobody else's."""
    content = bytes(range(256)) * 40_000
    part = part_at(b"bucket/a/key", content)

    class Crash(NoLog):
        def note(self, upload_id: str | None, /) -> None:
            raise KeyboardInterrupt

    other = ObjectRef("back", f"{KEY}.other")
    for ref in (TARGET, other):
        with payload_of(house, content) as payload, pytest.raises(KeyboardInterrupt):
            house.store.put(ref, payload, Crash())

    put(into_prefix(house), part, content)

    assert [other] == [upload.ref for upload in house.store.uploads("back", "")]
    assert content == house.store.data(TARGET)


def test_who_may_not_list_uploads_delivers_all_the_same(house: House) -> None:
    """The bucket's lifecycle rule clears away what is left."""
    content = bytes(range(256)) * 40_000
    with Faulty(house.store) as store:
        store.on("uploads").fail(Denied("back", "no"))

        put(into_prefix(house, store), part_at(b"bucket/a/key", content), content)

    assert content == house.store.data(TARGET)


@contextmanager
def payload_of(house: House, content: bytes) -> Iterator[Payload]:
    """Lend what is put for `content`."""
    path = house.root / "payload"
    path.write_bytes(content)
    crc = Crc64Nvme()
    crc.update(content)
    with path.open("rb") as file:
        yield Payload(
            fd=file.fileno(), size=len(content), crc64nvme=crc.base64(), storage_class=StorageClass.STANDARD, metadata={}
        )


@pytest.mark.parametrize("where", [b"bucket/\xff", b"bucket/" + b"x" * 1020])
def test_keys_s3_cannot_have_are_refused(house: House, where: bytes) -> None:
    """A key that is not UTF-8, or too long below the prefix, is refused before anything is fetched."""
    with pytest.raises(Permanent):
        into_prefix(house).existing(part_at(where))


def test_nothing_is_delivered_below_the_reserved_prefix() -> None:
    """No request can forge a manifest: neither by its destination nor by a bucket's name."""
    with pytest.raises(Usage, match="reserved"):
        destination.parse("s3://back/s3-batch/manifests")
    with pytest.raises(Usage, match="reserved"):
        destination.parse("s3://back/s3-batch")
    with pytest.raises(Permanent, match="reserved"):
        object_key(Prefix("back", ""), place("s3-batch", b"manifests/x"))


@pytest.mark.parametrize("text", ["s3://", "s3:///prefix", "", "s3://back/\udcff"])
def test_destinations_that_name_nothing(text: str) -> None:
    """A destination without a bucket, a folder or readable text is corrected by whoever typed it."""
    with pytest.raises(Usage):
        destination.parse(text)


def test_prefix_ends_in_a_slash() -> None:
    """`s3://b/p` and `s3://b/p/` are the same destination, `s3://b` is the bucket itself."""
    assert destination.parse("s3://back/p") == destination.parse("s3://back/p/")
    assert Prefix("back", "") == destination.parse("s3://back") == destination.parse("s3://back/")


def test_folder_is_absolute_and_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is made absolute and its links are followed once, when it is named."""
    real = tmp_path.resolve() / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    monkeypatch.chdir(tmp_path)

    folder = destination.parse("link/below")

    assert Folder(bytes(real / "below")) == folder
    assert folder == destination.from_stored(folder.stored())
    assert isinstance(folder, Folder)
    assert is_below(folder, str(tmp_path / "link"))
    assert not is_below(Folder(bytes(real) + b"ish"), str(real))


def test_a_file_is_no_destination(tmp_path: Path) -> None:
    """A file where the folder should be is refused when it is named."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(Usage, match="not a folder"):
        destination.parse(str(tmp_path / "file"))
