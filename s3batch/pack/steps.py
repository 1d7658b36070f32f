"""The steps of one batch after it was built, each durable before the next: store, prove, manifest, catalogue, release.

A step takes what the last one made and returns more of it (see `s3batch.model`); each may be repeated with the same outcome, so
a restart enters at the step the journal names. Nothing is decided here about *when*: the pipeline carries batches through.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection

from s3batch.catalogue import manifest as manifest_format
from s3batch.catalogue.manifest_source import COPY
from s3batch.catalogue.sqlite import SqliteCatalogue
from s3batch.model import ArchiveRecord, CataloguedArchive, ManifestedArchive, Reservation, SpooledArchive, StoredArchive
from s3batch.pack.journal import PackJournal
from s3batch.pack.lifecycle import ManifestMark, Recorded
from s3batch.pack.members import read_member_list
from s3batch.pack.spool import Spool
from s3batch.pack.unreleased import UnreleasedFiles
from s3sync.dropzone.release import ReleaseReport
from s3sync.dropzone.slots import Original
from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.checksum import of_fd
from s3sync.store.contract import AlreadyThere, Denied, ObjectStore, Payload, StorageClass
from s3sync.store.proof import BATCH_MARK, Proof, differences, prove
from s3sync.store.stored import NoLog, looked_at, store_and_prove

MANIFEST_MARK = "s3batch-manifest"
"""The archive's metadata says where its manifest lies."""

REDELIVERY_WINDOW = timedelta(days=30)
"""How far back a file is looked for that came again: a client that mirrors comes daily, some once a month."""

Releaser = Callable[[str, Iterable[Original], Proof], ReleaseReport]
"""Removes the originals of a batch (id, originals, proof): `s3sync.dropzone.release.release` bound to the drop zone.

Raises `Transient` where the disk fails or a process that removes dies.
"""

Enqueue = Callable[[Connection, Reservation], None]
"""Puts an archive into the outbox within the journal's transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What the steps work with."""

    store: ObjectStore
    journal: PackJournal
    spool: Spool
    catalogue: SqliteCatalogue
    enqueue: Enqueue
    releaser: Releaser
    unreleased: UnreleasedFiles

    def stored(self, spooled: SpooledArchive) -> StoredArchive:
        """Upload the archive and have S3 confirm it; the tar is removed after. Raises what the store raises."""
        reservation = spooled.reservation
        try:
            with _opened(spooled.tar) as fd:
                payload = _archive_payload(fd, spooled)
                proof = store_and_prove(self.store, reservation.archive, payload, self.journal.upload_log(reservation.id))
        except AlreadyThere:
            earlier = self.stored_earlier(spooled)
            if earlier is None:
                raise
            return earlier
        return self._proved(spooled, proof)

    def stored_earlier(self, spooled: SpooledArchive) -> StoredArchive | None:
        """Return the archive if S3 holds exactly it already, stored by an attempt whose reply was lost.

        Raises `Differs` where S3 holds it in another way than was asked (storing it again would change nothing), `Unseen`.
        """
        info = looked_at(self.store, spooled.reservation.archive)
        payload = _archive_payload(-1, spooled)
        if info is None or info.metadata.get(BATCH_MARK, spooled.reservation.id) != spooled.reservation.id:
            return None
        log = self.journal.upload_log(spooled.reservation.id)
        if log.upload_id is not None:
            self.store.abort(spooled.reservation.archive, log.upload_id)
        return self._proved(spooled, prove(info, payload))

    def still_there(self, stored: StoredArchive) -> bool:
        """Tell whether S3 holds the archive as it was proved, in whatever class a lifecycle rule has put it since.

        Asked wherever work goes on that an earlier pass left: its proof may be months old, and the originals the last copy.
        Raises `Differs`, `Unseen`, `Transient`.
        """
        info = looked_at(self.store, stored.proof.ref)
        if info is None:
            return False
        payload = _archive_payload(-1, stored.spooled)
        prove(replace(info, storage_class=payload.storage_class), payload)
        return True

    def manifest_proof(self, reservation: Reservation) -> Proof | None:
        """Return the proof of a manifest that was stored earlier, by the checksum noted before; None where it is not there.

        In whatever class a lifecycle rule has put it since. Raises what the store raises.
        """
        recorded = self.journal.get(reservation.id)
        mark = recorded.manifest if recorded else None
        info = self.store.head(reservation.manifest) if mark else None
        if mark is None or info is None:
            return None
        payload = _manifest_payload(-1, mark, reservation)
        if differences(replace(info, storage_class=payload.storage_class), payload):
            return None
        return Proof(ref=info.ref, size=info.size, crc64nvme=mark.crc64nvme, etag=info.etag)

    def manifested(self, stored: StoredArchive) -> ManifestedArchive:
        """Store the manifest, and journal that S3 has it."""
        manifested = self.described(stored)
        self.journal.manifested(stored.spooled.reservation.id)
        return manifested

    def described(self, stored: StoredArchive) -> ManifestedArchive:
        """Return the archive with a manifest that S3 has now: the one stored earlier, or, where none is there, one stored now.

        It is rendered, flushed, and those bytes are stored and confirmed. Raises what the store raises.
        """
        proof = self.manifest_proof(stored.spooled.reservation) or self._store_manifest(stored)
        return ManifestedArchive(stored=stored, manifest_proof=proof)

    def catalogued(self, manifested: ManifestedArchive) -> CataloguedArchive:
        """Insert the archive into the catalogue, then into the outbox."""
        spooled = manifested.stored.spooled
        members = (entry.member for entry in read_member_list(spooled.member_list))
        self.catalogue.add(record_of(manifested.stored), members)
        self.journal.catalogued(spooled.reservation.id, lambda connection: self.enqueue(connection, spooled.reservation))
        return CataloguedArchive(manifested=manifested)

    def redelivered(self, catalogued: CataloguedArchive) -> int:
        """Return how many members are what was archived not long ago: a client uploads again what vanishes."""
        since = catalogued.spooled.reservation.created - REDELIVERY_WINDOW
        return self.catalogue.repeated(record_of(catalogued.manifested.stored), since)

    def released(self, catalogued: CataloguedArchive, *, redelivered: int) -> ReleaseReport:
        """Remove the originals that still hold the archived bytes; forget the batch's spool folder."""
        spooled = catalogued.spooled
        report = self.releaser(spooled.reservation.id, _originals(spooled), catalogued.proof)
        self._remember_kept(spooled, report)
        self.journal.released(
            spooled.reservation.id,
            released=report.released,
            vanished=report.vanished,
            kept=len(report.kept),
            redelivered=redelivered,
        )
        self.spool.discard(spooled.reservation.id)
        return report

    def _remember_kept(self, spooled: SpooledArchive, report: ReleaseReport) -> None:
        """Remember what could not be removed before the batch is called released, or it would be archived again."""
        paths = {kept.path for kept in report.kept}
        if paths:
            entries = read_member_list(spooled.member_list)
            archived = {entry.path: entry.member.sha256 for entry in entries if entry.path in paths}
            self.unreleased.settle(spooled.reservation.id, archived, report)

    def catalogue_from_manifest(self, reservation: Reservation) -> None:
        """Insert the archive into the catalogue from its manifest in S3. Raises what reading and believing it raises."""
        info = self.store.head(reservation.manifest)
        if info is None:
            raise Permanent(str(reservation.manifest), "the manifest is gone", "Bring it back from the bucket's versions")
        with self.store.read(info.ref, offset=0, length=info.size, etag=info.etag) as chunks:
            manifest = manifest_format.read(b"".join(chunks), reservation.manifest)
        self.catalogue.add(manifest.record, manifest.members())
        self.journal.catalogued(reservation.id, lambda connection: self.enqueue(connection, reservation))

    def give_up(self, reservation: Reservation, why: str) -> None:
        """Abandon a batch that is not stored, or not any more: its spool folder goes, its originals stay."""
        self.journal.abandoned(reservation.id, why)
        self.spool.discard(reservation.id)

    def abort_unnoted(self, recorded: Recorded) -> None:
        """Abort uploads of a batch's archive that were begun and whose id was never noted: we died in between.

        Who may not list uploads leaves that to the bucket's lifecycle rule. Raises what the store raises otherwise.
        """
        ref = recorded.reservation.archive
        try:
            begun = [upload for upload in self.store.uploads(ref.bucket, ref.key) if upload.ref.key == ref.key]
        except Denied:
            return
        for upload in begun:
            if upload.upload_id != recorded.upload_id:
                self.store.abort(ref, upload.upload_id)

    def abort_orphans(self) -> list[Failure]:
        """Abort the uploads that abandoned batches had begun, since their parts are billed; return what stood in the way."""
        failures: list[Failure] = []
        for recorded in self.journal.orphaned_uploads():
            try:
                self.store.abort(recorded.reservation.archive, recorded.upload_id or "")
                self.journal.note_upload(recorded.reservation.id, None)
            except Failure as failure:
                failures.append(failure)
        return failures

    def _proved(self, spooled: SpooledArchive, proof: Proof) -> StoredArchive:
        archive = StoredArchive(spooled=spooled, proof=proof)
        self.journal.stored(archive)
        self.spool.drop_tar(spooled)
        return archive

    def _store_manifest(self, stored: StoredArchive) -> Proof:
        spooled = stored.spooled
        reservation = spooled.reservation
        with _opened(self._rendered(stored)) as fd:
            size = os.fstat(fd).st_size
            mark = ManifestMark(size, of_fd(fd, size).base64())
            self.journal.manifest_rendered(reservation.id, mark)
            payload = _manifest_payload(fd, mark, reservation)
            return store_and_prove(self.store, reservation.manifest, payload, NoLog())

    def _rendered(self, stored: StoredArchive) -> Path:
        """Write the manifest into the spool, and return where. Raises `Transient` where the spool's disk fails."""
        spooled = stored.spooled
        path = spooled.folder / COPY
        members = (entry.member for entry in read_member_list(spooled.member_list))
        try:
            with path.open("wb") as file:
                manifest_format.write(file, record_of(stored), members)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # The archive is in S3, so its tar is worth no more than the room it takes, which may be what is lacking.
            spooled.tar.unlink(missing_ok=True)
            wrong = f"has a manifest that cannot be written into the spool {self.spool.root}: {error.strerror}"
            raise Transient(
                f"batch {spooled.reservation.id}", wrong, "Check the spool's disk and quota; it goes on then"
            ) from error
        return path


def record_of(stored: StoredArchive) -> ArchiveRecord:
    """Return what manifest and catalogue know of a stored archive."""
    spooled = stored.spooled
    reservation = spooled.reservation
    return ArchiveRecord(
        ref=stored.proof.ref,
        size=spooled.size,
        crc64nvme=spooled.crc64nvme,
        storage_class=reservation.storage_class,
        batch=reservation.id,
        created=reservation.created,
        host=reservation.host,
        tool=reservation.tool,
        manifest=reservation.manifest,
        members=spooled.members,
    )


def _archive_payload(fd: int, spooled: SpooledArchive) -> Payload:
    reservation = spooled.reservation
    return Payload(
        fd=fd,
        size=spooled.size,
        crc64nvme=spooled.crc64nvme,
        storage_class=reservation.storage_class,
        metadata={BATCH_MARK: reservation.id, MANIFEST_MARK: f"{reservation.manifest.bucket}/{reservation.manifest.key}"},
        content_type="application/x-tar",
    )


def _manifest_payload(fd: int, mark: ManifestMark, reservation: Reservation) -> Payload:
    return Payload(
        fd=fd,
        size=mark.size,
        crc64nvme=mark.crc64nvme,
        storage_class=StorageClass.STANDARD,
        metadata={BATCH_MARK: reservation.id},
        content_type="application/gzip",
    )


def _originals(spooled: SpooledArchive) -> Iterator[Original]:
    for ordinal, entry in enumerate(read_member_list(spooled.member_list)):
        yield Original(ordinal=ordinal, path=entry.path, identity=entry.identity, sha256=entry.member.sha256)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
