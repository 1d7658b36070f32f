from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from s3batch.catalogue.contract import Entry
from s3batch.catalogue.documents import index_of
from s3batch.catalogue.drain import (
    ArchiveIndexed,
    DocumentSetAside,
    Drain,
    DrainReport,
    IndexAway,
    IndexReplayed,
)
from s3batch.catalogue.fleet import FleetIndex
from s3batch.catalogue.manifest import render
from s3batch.catalogue.manifest_source import ManifestSource
from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3batch.catalogue.outbox import Outbox, enqueue
from s3batch.model import ArchiveRecord, Reservation
from s3sync.errors import Transient
from s3sync.events import Event
from s3sync.statedb import StateDb
from s3sync.store.contract import ObjectRef
from tests.catalogue.examples import BEGIN, documents_of, members, record, reserved, stored
from tests.doubles.clock import FakeClock
from tests.doubles.http_server import LOST, Asked, Reply
from tests.doubles.memory_store import MemoryStore
from tests.doubles.opensearch_server import OpenSearchServer, error, opensearch


@dataclass
class Room:
    """An outbox between a store and a server."""

    db: StateDb
    store: MemoryStore
    spool: Path
    server: OpenSearchServer
    cluster: OpenSearchCluster
    told: list[Event] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    known: list[Reservation] = field(default_factory=list)
    """What the pack journal knows."""
    stop_after: int | None = None
    now: datetime = BEGIN + timedelta(days=30)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin again, as a new process would."""
        self.outbox = Outbox(self.db)
        self.sender = Drain(
            self.outbox,
            ManifestSource(self.store, self.spool),
            FleetIndex(self.cluster),
            archives_of=lambda index: [one for one in self.known if index_of(one.created) == index],
            listener=self.told.append,
            jitter=self._longest,
            stopping=self._stopping,
        )

    def enqueue(self, archive: ArchiveRecord) -> None:
        """Put an archive in, as the pack journal does."""
        reservation = reserved(archive)
        self.known.append(reservation)
        with self.db.write() as connection:
            enqueue(connection, reservation)

    def put(self, batch: str, *keys: str, day: float = 0) -> ArchiveRecord:
        """Store an archive with its manifest and put it in."""
        archive = stored(self.store, batch, members(*keys), day=day)
        self.enqueue(archive)
        return archive

    def drain(self, after: float = 0) -> DrainReport:
        """Drain, so many seconds later."""
        self.now += timedelta(seconds=after)
        return self.sender.drain(self.now)

    def keys(self) -> list[str]:
        """Return the keys of the documents in the order they arrived."""
        return [source["key"] for source in self.server.documents.values()]

    def _longest(self, longest: float) -> float:
        self.waits.append(longest)
        return longest

    def _stopping(self) -> bool:
        return self.stop_after is not None and len(self.server.bulks) >= self.stop_after


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """Return an outbox that sends to a server on loopback."""
    with opensearch() as server, StateDb.open(tmp_path / "journal.db") as db:
        cluster = OpenSearchCluster(Reach(urls=(server.endpoint,), timeout_seconds=5))
        yield Room(db, MemoryStore(FakeClock(BEGIN)), tmp_path / "spool", server, cluster)
        cluster.close()


def test_everything_is_sent_once_oldest_first(room: Room) -> None:
    """Every member becomes one document, archives in the order of their creation; then nothing is behind."""
    for day in (2, 0, 1):
        room.put(f"b{day}", f"{day}/a", f"{day}/b", day=day)

    report = room.drain()

    assert (3, 6, 0, 0, None) == (report.archives, report.documents, report.set_aside, report.behind.archives, report.failure)
    assert ["0/a", "0/b", "1/a", "1/b", "2/a", "2/b"] == room.keys()
    assert ["b0", "b1", "b2"] == [event.batch for event in room.told if isinstance(event, ArchiveIndexed)]
    assert 3 == len(room.server.bulks)


def test_documents_are_as_made(room: Room) -> None:
    """What arrives is the document, under its index and id."""
    archive = room.put("b", "in/é\n.txt")

    room.drain()

    made = documents_of(Entry(members("in/é\n.txt")[0], archive), 0)
    assert {(made.index, made.id): json.loads(made.source)} == room.server.documents


def test_putting_in_twice_is_once(room: Room) -> None:
    """An archive that is in already is not in twice, and one that was sent may be sent again without harm."""
    archive = room.put("b", "a", "b")
    room.enqueue(archive)
    assert 1 == room.outbox.behind().archives
    room.drain()
    room.enqueue(archive)

    report = room.drain()

    assert (1, 2) == (report.archives, len(room.server.documents))


def test_many_members_go_in_several_bulks(room: Room) -> None:
    """A large archive goes in bulks of at most a thousand documents."""
    room.put("b", *(f"{number:05}" for number in range(2_500)))

    report = room.drain()

    assert ([1000, 1000, 500], 2_500, 2_500) == (room.server.bulks, report.documents, len(room.server.documents))


def test_months_that_are_new_to_this_host(room: Room) -> None:
    """Each is begun while what goes into the others is on its way, and nothing is sent twice for that."""
    for number, day in enumerate((0, 40, 80)):
        room.put(f"b{number}", *(f"{number}/{member:05}" for member in range(2_500)), day=day)

    report = room.drain()

    assert (3, 7_500, [1000, 1000, 500] * 3) == (report.archives, report.documents, room.server.bulks)


def test_one_of_several_months_was_made_anew(room: Room) -> None:
    """It is filled again from its first archive, and what goes into the others is sent once."""
    room.put("b0", "first")
    room.put("b1", "other", day=40)
    room.drain()
    room.server.delete("s3-batch-2026.03")
    room.put("b2", *(f"{member:05}" for member in range(2_500)), day=41)
    room.put("b3", "late", day=2)

    report = room.drain(after=1)

    arrived = room.keys()
    assert ["first", "late", "other"] == sorted(name for name in arrived if not name.isdecimal())
    assert (3, 2_502, 0) == (report.archives, report.documents, report.behind.archives)


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize(
    "reply",
    [
        LOST,
        error(429, "rejected_execution_exception"),
        error(500, "exception"),
        error(503, "unavailable"),
        error(401, "security_exception"),
        error(403, "cluster_block_exception"),
        error(404, "index_not_found_exception"),
        Reply(status=502, body=b"<html>proxy</html>", headers={"content-type": "text/html"}),
        Reply(body=b'{"items":[]}', headers={"content-type": "application/json"}),
        Reply(body=b'{"items":', headers={"content-type": "application/json"}),
        Reply(body=b"hello", headers={"content-type": "text/plain"}),
        Reply(body=b'{"items":[', says_length=500, headers={"content-type": "application/json"}),
    ],
)
def test_a_server_that_cannot(room: Room, reply: Reply, everything: bool) -> None:
    """Whatever the server as a whole cannot, nothing is lost or given up: it waits, and sends when the server can again."""
    room.put("b", "a", "b")
    room.server.before = lambda asked: reply if everything or asked.path == "/_bulk" else None

    failed = room.drain()
    room.server.before = lambda _asked: None
    report = room.drain(after=10)

    assert isinstance(failed.failure, Transient)
    assert "\n" not in str(failed.failure)
    assert (1, BEGIN) == (failed.behind.archives, failed.behind.since)
    assert (1, 2, None) == (report.archives, len(room.server.documents), report.failure)


def test_nobody_listens(tmp_path: Path) -> None:
    """A server that is not there is a reason to wait, and its password is in no message."""
    with opensearch() as server:
        gone = server.endpoint.replace("http://", "http://user:secret@")
    with StateDb.open(tmp_path / "journal.db") as db:
        cluster = OpenSearchCluster(Reach(urls=(gone,), timeout_seconds=5))
        room = Room(db, MemoryStore(FakeClock(BEGIN)), tmp_path / "spool", server, cluster)
        room.put("b", "a")

        failure = room.drain().failure
        cluster.close()

    assert failure is not None
    assert "cannot be reached" in str(failure)
    assert "secret" not in str(failure)


def test_a_file_of_authorities_that_is_none(tmp_path: Path) -> None:
    """Is a reason to wait like any other of the index: nothing else may be stopped by it."""
    with opensearch() as server, StateDb.open(tmp_path / "journal.db") as db:
        cluster = OpenSearchCluster(Reach(urls=(server.endpoint,), ca=tmp_path / "none.pem"))
        room = Room(db, MemoryStore(FakeClock(BEGIN)), tmp_path / "spool", server, cluster)
        room.put("b", "a")

        report = room.drain()

    assert "holds no certificates" in str(report.failure)
    assert (1, "holds no certificates") == (report.behind.archives, str(report.behind.why).partition(": ")[2][:21])


def test_waits_grow_and_end_with_success(room: Room) -> None:
    """Each failure doubles the longest wait, up to five minutes; nobody is asked before it is over; a success ends it."""
    room.put("b", "a")
    room.server.before = lambda _asked: error(503, "unavailable")
    for _ in range(12):
        room.drain(after=300)
    asked = len(room.server.requests)

    room.drain(after=299)

    assert asked == len(room.server.requests) == 12
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] == room.waits
    assert list(range(1, 13)) == [event.attempt for event in room.told if isinstance(event, IndexAway)]
    room.server.before = lambda _asked: None
    assert 1 == room.drain(after=300).archives


def test_answer_lost_after_the_effect(room: Room) -> None:
    """Documents that arrived although the answer was lost are not doubled by sending them again."""
    room.put("b", "a", "b")
    room.server.after = lambda _reply: LOST
    room.drain()
    room.server.after = lambda reply: reply

    report = room.drain(after=10)

    assert ([2, 2], 2, None) == (room.server.bulks, len(room.server.documents), report.failure)


def test_poisonous_document_blocks_nobody(room: Room) -> None:
    """A document the index will never take is set aside with the reason; the others, and the next archives, go through."""
    room.put("b0", "a", "poison", "c")
    room.put("b1", "d", day=1)
    room.server.judge = lambda source: (400, "mapper_parsing_exception") if source["key"] == "poison" else None

    report = room.drain()

    assert (["a", "c", "d"], 1, 0) == (room.keys(), report.set_aside, report.behind.archives)
    assert 1 == room.outbox.behind().set_aside
    (told,) = (event for event in room.told if isinstance(event, DocumentSetAside))
    assert (1, "mapper_parsing_exception: because of the test") == (told.ordinal, told.reason)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rejected_execution_exception"),
        (503, "unavailable_shards_exception"),
        (403, "cluster_block_exception"),
        (404, "index_not_found_exception"),
        (400, "validation_exception"),
        (400, "index_closed_exception"),
    ],
)
def test_document_that_has_to_wait(room: Room, status: int, kind: str) -> None:
    """Where a single document is refused for now, it goes on from there later, and nothing is set aside."""
    room.put("b", "a", "b", "c")
    room.server.judge = lambda source: (status, kind) if source["key"] == "b" else None

    failed = room.drain()
    room.server.judge = lambda _source: None
    report = room.drain(after=10)

    assert failed.failure is not None
    assert kind in failed.failure.wrong
    assert (1, 0, [3, 2]) == (failed.documents, failed.set_aside, room.server.bulks)
    assert (["a", "b", "c"], 0) == (sorted(room.keys()), report.behind.archives)


def test_whole_body_refused_is_halved(room: Room) -> None:
    """A body refused as a whole is halved until only the document at fault is set aside."""
    room.put("b", *"abcdefgh")
    room.server.before = lambda asked: error(400, "illegal_argument_exception") if _holds(asked, "f") else None

    report = room.drain()

    assert (sorted("abcdegh"), 1, 0) == (sorted(room.keys()), report.set_aside, report.behind.archives)


def test_body_too_large_is_halved(room: Room) -> None:
    """A server that takes only small bodies gets small bodies."""
    room.put("b", *(f"{number:03}" for number in range(100)))
    room.server.before = lambda asked: error(413, "too_large") if len(_unpacked(asked)) > 10_000 else None

    room.drain()

    assert 100 == len(room.server.documents)


def test_killed_in_the_middle(room: Room) -> None:
    """A process that stops between two bulks goes on where it was: what was noted is not sent again."""
    room.put("b", *(f"{number:05}" for number in range(3_000)))
    room.stop_after = 2
    first = room.drain()
    room.stop_after = None
    room.restart()

    second = room.drain()

    assert (2_000, 1_000, [1000, 1000, 1000]) == (first.documents, second.documents, room.server.bulks)
    assert 3_000 == len(room.server.documents)


def test_manifest_that_cannot_be_read(room: Room) -> None:
    """An archive whose manifest is not there, or another's, waits by itself; others pass it, and it goes when it is there."""
    lost = record("lost", 1)
    wrong = stored(room.store, "wrong", members("w"))
    room.enqueue(lost)
    room.enqueue(replace(wrong, batch="other"))
    room.put("b", "a", day=1)

    first = room.drain()
    room.store.seed(lost.manifest, render(lost, members("found")))
    second = room.drain(after=10)

    assert (1, 2, None) == (first.archives, first.behind.archives, first.failure)
    assert "it is not there" in str(first.behind.why)
    assert (["a", "found"], 1) == (room.keys(), second.behind.archives)
    assert "is of batch wrong instead of other" in str(second.behind.why)


def test_manifest_that_was_exchanged(room: Room) -> None:
    """One that bears the right batch and describes another archive, or another month, is not believed."""
    for day, changed in ((0, {"ref": ObjectRef("bucket", "in/elsewhere.tar")}), (1, {"created": BEGIN + timedelta(days=300)})):
        archive = record(f"b{day}", 1, day=day)
        room.enqueue(archive)
        room.store.seed(archive.manifest, render(replace(archive, **changed), members("a")))

    report = room.drain()

    assert (0, 2, {}) == (report.archives, report.behind.archives, room.server.documents)
    assert "describes another archive" in str(report.behind.why)


def test_store_that_is_away(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where S3 does not answer, three archives are tried and not a thousand; all go when it does."""
    for day in range(5):
        room.put(f"b{day}", f"{day}", day=day)
    asked: list[ObjectRef] = []

    def away(ref: ObjectRef) -> None:
        asked.append(ref)
        raise Transient(str(ref), "S3 does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(room.store, "head", away)
        failed = room.drain()
    report = room.drain(after=10)

    assert (3, 5) == (len(asked), failed.behind.archives)
    assert (5, 0) == (report.archives, report.behind.archives)


def test_the_spools_copy_is_enough(room: Room) -> None:
    """While a batch is on its way its manifest lies in the spool: S3 need not be asked. A damaged copy is passed over."""
    here, damaged = record("here", 1), stored(room.store, "damaged", members("d"))
    for archive, manifest in ((here, render(here, members("h"))), (damaged, b"damaged")):
        (room.spool / archive.batch).mkdir(parents=True)
        (room.spool / archive.batch / "manifest.json.gz").write_bytes(manifest)
        room.enqueue(archive)

    room.drain()

    assert ["d", "h"] == sorted(room.keys())


def test_index_that_was_deleted_is_filled_again(room: Room) -> None:
    """Everything this host sent into it is sent again, though it was forgotten; other months are left alone."""
    room.put("b0", "a", "b")
    room.put("b1", "c", day=1)
    room.put("b2", "other month", day=40)
    room.drain()
    room.server.delete("s3-batch-2026.03")

    report = room.drain(after=400)

    assert (2, 3, 0) == (report.archives, report.documents, report.behind.archives)
    assert ["a", "b", "c", "other month"] == sorted(room.keys())
    assert [("s3-batch-2026.03", 2)] == [(told.index, told.archives) for told in room.told if isinstance(told, IndexReplayed)]


def test_index_that_is_deleted_while_it_is_filled(room: Room) -> None:
    """An archive is not forgotten where the index is another one than it was begun in."""
    room.put("b", *(f"{number:05}" for number in range(1_500)))
    deleted: list[int] = []

    def delete_once(reply: Reply) -> Reply:
        if not deleted:
            deleted.append(1)
            room.server.delete("s3-batch-2026.03")
        return reply

    room.server.after = delete_once

    report = room.drain()

    assert (1_500, 0) == (len(room.server.documents), report.behind.archives)


def test_index_that_is_deleted_while_several_archives_are_on_their_way(room: Room) -> None:
    """What was answered by an index that is gone meanwhile counts for nothing, whichever archive it was of."""
    for number in range(6):
        room.put(f"b{number}", *(f"{number}/{member}" for member in range(4)), day=number)
    bulks = 0

    def delete_after_the_third(asked: Asked) -> None:
        nonlocal bulks
        bulks += asked.path == "/_bulk"
        if bulks == 3 and asked.path == "/_bulk":
            room.server.delete("s3-batch-2026.03")

    room.server.before = delete_after_the_third

    report = room.drain()

    assert (24, 0, None) == (len(room.server.documents), report.behind.archives, report.failure)


@pytest.mark.parametrize("reply", [LOST, error(503, "unavailable")])
def test_nothing_is_sent_after_a_bulk_that_failed(room: Room, reply: Reply) -> None:
    """Bulks that were made ahead stay where they are: one attempt is one request, whatever waits behind it."""
    room.put("b0", *(f"{number:05}" for number in range(6_000)))
    room.put("b1", "a", day=1)
    bulks = 0

    def fail_from_the_third(asked: Asked) -> Reply | None:
        nonlocal bulks
        bulks += asked.path == "/_bulk"
        return reply if bulks >= 3 and asked.path == "/_bulk" else None

    room.server.before = fail_from_the_third

    report = room.drain()

    waiting = room.outbox.next_due(room.now, ())
    assert (3, 2_000, 2) == (bulks, report.documents, report.behind.archives)
    assert waiting is not None
    assert ("b0", 2_000) == (waiting.batch, waiting.sent)


def test_nothing_is_sent_after_a_document_that_has_to_wait(room: Room) -> None:
    """What is made ahead for the same index waits with it; other months pass, and what was not sent is not noted."""
    room.put("b0", *(f"{number:05}" for number in range(4_000)))
    room.put("b1", "a", day=1)
    room.put("b2", "other month", day=40)
    room.server.judge = lambda source: (429, "rejected_execution_exception") if source["key"] == "01500" else None

    report = room.drain()

    waiting = room.outbox.next_due(room.now, ())
    assert (1_500 + 1, 2, [1000, 1000, 1]) == (report.documents, report.behind.archives, room.server.bulks)
    assert waiting is not None
    assert ("b0", 1_500) == (waiting.batch, waiting.sent)


def test_month_that_needs_a_person_does_not_stop_the_others(room: Room) -> None:
    """An index that was made without the template takes nothing until it is made anew; other months go on."""
    room.server.indices["s3-batch-2026.03"] = {"settings": {"index": {"uuid": "theirs"}}, "aliases": {}, "mappings": {}}
    room.put("b0", "a")
    room.put("b1", "b", day=40)

    report = room.drain()

    assert (["b"], 1) == (room.keys(), report.behind.archives)
    assert "was made without the template" in str(report.behind.why)


def test_refused_documents_are_sent_again_when_asked(room: Room) -> None:
    """What was set aside is kept with its document and reason, and goes with its archive when somebody retries."""
    room.put("b0", "a", "poison", "c")
    room.server.judge = lambda source: (400, "mapper_parsing_exception") if source["key"] == "poison" else None
    room.drain()
    (kept,) = room.outbox.set_aside(10)
    room.server.judge = lambda _source: None

    retried = room.outbox.retry()
    report = room.drain(after=1)

    assert ("b0", 1, "poison") == (kept.batch, kept.ordinal, kept.document["key"])
    assert (1, ["a", "c", "poison"], 0) == (retried, room.keys(), report.behind.set_aside)


def test_bodies_become_smaller_where_the_server_has_too_much_to_do(room: Room) -> None:
    """A 429 halves what is sent at once, each success gives some of it back."""
    room.put("b", *(f"{number:05}" for number in range(3_000)))
    room.server.before = lambda asked: error(429, "rejected") if asked.path == "/_bulk" else None
    for _ in range(5):
        room.drain(after=400)
    room.server.before = lambda _asked: None

    room.drain(after=400)

    first, last = room.server.bulks[0], room.server.bulks[-2]
    assert (3_000, True) == (len(room.server.documents), first < last)


def test_rolled_back_transaction_puts_nothing_in(room: Room) -> None:
    """An archive is in the outbox exactly if the caller's transaction was committed."""
    reservation = reserved(record("b", 1))
    with pytest.raises(ZeroDivisionError), room.db.write() as connection:
        enqueue(connection, reservation)
        1 / 0  # noqa: B018 - any error

    assert 0 == room.outbox.behind().archives


def _unpacked(asked: Asked) -> bytes:
    import gzip

    return gzip.decompress(asked.body) if asked.headers.get("content-encoding") == "gzip" else asked.body


def _holds(asked: Asked, key: str) -> bool:
    return f'"key":"{key}"' in _unpacked(asked).decode()
