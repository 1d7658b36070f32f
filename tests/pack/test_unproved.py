"""An archive that S3 holds and cannot be proved is looked at again and never stored a second time: every copy is paid for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from s3batch.pack.lifecycle import State
from s3sync.store.contract import AlreadyThere, Denied, ObjectInfo, StorageClass
from tests.pack.conftest import Bench, Make
from tests.support import files

Look = Callable[[ObjectInfo | None], ObjectInfo | None]


class Looks:
    """What HEAD of an archive is answered with, until it is `mended`."""

    def __init__(self, bench: Bench, look: Look) -> None:
        """Let every HEAD of `bench` be answered so."""
        self.mended = False
        self._look = look
        bench.faulty.on("head").change(self._seen, times=1000)

    def _seen(self, info: ObjectInfo | None) -> ObjectInfo | None:
        return info if self.mended else self._look(info)


def denied(_info: ObjectInfo | None) -> ObjectInfo | None:
    """Refuse to show it: the right to read is missing."""
    raise Denied("s3://bucket", "cannot look at it (403)")


def without(**said: object) -> Look:
    """Return a look at an object of which S3 says something else than what was asked."""
    return lambda info: None if info is None else replace(info, **said)  # type: ignore[arg-type]


LOOKS = {
    "denied": denied,
    "another class": without(storage_class=StorageClass.STANDARD),
    "no mark": without(metadata={}),
}


def archives(bench: Bench) -> list[str]:
    """Return the archive keys in the bucket."""
    return [key for key in bench.store.keys("bucket") if key.endswith(".tar")]


@pytest.mark.parametrize("restarted", [False, True], ids=["going on", "restarted"])
@pytest.mark.parametrize("look", LOOKS)
def test_what_cannot_be_proved_is_stored_once(make: Make, look: str, restarted: bool) -> None:
    """However many passes try it, the originals stay and one archive is paid for; what can be proved in the end is finished."""
    bench = make()
    bench.drop("a/1")
    looks = Looks(bench, LOOKS[look])
    bench.run()
    for _ in range(4):
        if restarted:
            bench = make()
            looks = Looks(bench, LOOKS[look])
        bench.run()

    assert 1 == len(archives(bench))
    assert {b"bucket/a/1"} == set(files(bench.root))
    assert [State.SPOOLED] == [recorded.state for recorded in bench.journal.unfinished()]

    looks.mended = True
    bench.run()

    assert ({b"a/1": 1}, 1, []) == (bench.found(), len(archives(bench)), bench.journal.unfinished())
    assert {} == files(bench.root)


def test_our_own_object_in_the_way_that_cannot_be_proved_is_stored_once(bench: Bench) -> None:
    """The reply was lost, the retry is refused with 412, and HEAD disagrees: nothing is stored under another name."""
    bench.drop("a/1")
    bench.faulty.on("put").fail(AlreadyThere("s3://bucket", "there is an object under this key"), after_effect=True)
    Looks(bench, LOOKS["another class"])

    for _ in range(3):
        bench.run()

    assert 1 == len(archives(bench))


def test_somebody_elses_object_in_the_way_is_gone_around(bench: Bench) -> None:
    """An archive of another batch under our key is not ours, and is left: the files go into a batch of another name."""
    bench.drop("a/1")
    bench.faulty.on("put").fail(AlreadyThere("s3://bucket", "there is an object under this key"), after_effect=True)
    looks = Looks(bench, without(metadata={"s3batch-id": "another"}))
    bench.run()
    looks.mended = True

    bench.run()

    assert {b"a/1": 1} == bench.found()
