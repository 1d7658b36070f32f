"""One file into one object: read it while nobody writes, journal what it is, store exactly that, and come back with the proof.

The bytes are read twice: once under a lease to know them, once to send them. What changes in between S3 refuses, because the
checksum it must confirm is the one of the first reading; so nobody has to wait for our lease while a slow line is busy.

A key that is taken is decided in `occupied`; no object is ever replaced where its old bytes would not stay reachable.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from s3sync.dropzone.candidate import Candidate, Identity
from s3sync.dropzone.folders import READ, FolderCache
from s3sync.dropzone.writers import Lease, Writing, is_written, snapshot
from s3sync.dropzone.writers import Refused as LeaseRefused
from s3sync.errors import Permanent
from s3sync.keys import display, printable
from s3sync.store.checksum import Crc64Nvme
from s3sync.store.contract import AlreadyThere, Denied, Frozen, Missing, ObjectInfo, Payload, Rejected, Stopped, StorageClass
from s3sync.store.proof import BATCH_MARK, Proof
from s3sync.store.stored import Stores, store_and_prove
from s3sync.transfer.digest import Changed, Digest, digest_of
from s3sync.transfer.drops import Drop, Phase
from s3sync.transfer.guard import Guard, Refused
from s3sync.transfer.journal import DropUploadLog, Journal
from s3sync.transfer.occupied import SHA256_MARK, Content, WayOut, compare, proof_of, way_out, worth_reading

LOOK_FIRST_BYTES = 16 << 20
"""From this size on the key is looked at before the upload: one request against sending all the bytes in vain."""

ATTEMPTS = 3
"""How often a key is decided anew when others store under it at the same time."""


_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE}
"""What opening says of a name that something else, or nothing, has taken."""


class Unreadable(Permanent):
    """The file cannot be opened or read; somebody must look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a drop asks of the store and of whoever starts it."""

    storage_class: StorageClass
    new_id: Callable[[], str]
    stopping: Callable[[], bool]


class Taken(NamedTuple):
    """A file in hand: open, read, and known."""

    fd: int
    drop: Drop
    resuming: bool
    """Whether it is journalled already, and an earlier attempt may have got somewhere."""


class Storing:
    """Stores candidates. May be used from several threads, for different paths."""

    def __init__(self, store: Stores, journal: Journal, guard: Guard, wanted: Wanted) -> None:
        """Begin without knowing anything of any bucket."""
        self._store = store
        self._journal = journal
        self._guard = guard
        self._wanted = wanted
        self._versioned: dict[str, bool] = {}

    def begin_pass(self) -> None:
        """Ask the buckets anew whether they keep versions."""
        self._versioned.clear()

    def open(self, folders: FolderCache, candidate: Candidate) -> int:
        """Return a descriptor of the file, which the caller closes. Raises `Changed` where it is gone, `Unreadable`."""
        try:
            parent_fd, name = folders.parent(candidate.path)
            return os.open(name, READ, dir_fd=parent_fd)
        except PermissionError as error:
            wrong = f"cannot be opened: {error.strerror}"
            raise Unreadable(_shown(candidate), wrong, "Give the agent the right to read it") from error
        except OSError as error:
            if error.errno in _GONE:
                raise Changed(_shown(candidate), f"is not there any more: {error.strerror}") from error
            raise Unreadable(_shown(candidate), f"cannot be opened: {error.strerror}", "Look at the disk") from error

    def take_up(self, fd: int, candidate: Candidate, known: Iterable[Drop]) -> Taken:
        """Read the open file, and find the drop it is, perhaps one of those `known` before.

        Raises `Changed` (it is not what was judged any more), `Unreadable`, `Stopped`, `Refused` (what was begun of an earlier
        state of it cannot be given up), and `Transient` from the journal.
        """
        digest = self._read(fd, candidate)
        for earlier in known:
            if earlier.candidate.path != candidate.path or earlier.phase is Phase.STORED:
                continue
            if _is_same(earlier, candidate, digest):
                return Taken(fd, self._take_up_again(earlier), resuming=True)
            self.abandon(earlier)
        drop = Drop(
            id=self._wanted.new_id(),
            candidate=candidate,
            crc64nvme=digest.crc64nvme,
            sha256=digest.sha256,
            storage_class=self._wanted.storage_class,
        )
        return Taken(fd, drop, resuming=False)

    def store(self, taken: Taken) -> Proof | None:
        """Store a drop that is journalled, and return the proof; None where it is held, another content being under its key.

        Raises `Changed` (the bytes are not those that were read), `Refused` (the store would not), `Stopped`, and `Transient`
        from the journal.
        """
        try:
            return self._put(taken)
        except Rejected as rejected:
            self._abandon_if_changed(taken.fd, taken.drop)
            raise Refused(rejected.subject, rejected.wrong, rejected.hint) from rejected

    def confirm(self, drop: Drop) -> Proof | None:
        """Return the proof that the object a stored drop became still has its bytes, or None. Raises `Refused`."""
        with self._guard.asking(drop.ref.bucket):
            for ref in (drop.ref, replace(drop.ref, version_id=drop.version_id)):
                info = self._store.head(ref)
                if info is not None and self._same(info, drop):
                    return proof_of(info, drop.crc64nvme)
                if drop.version_id is None:
                    break
        return None

    def still_occupied(self, drop: Drop) -> bool:
        """Tell whether the object that held `drop` is still in its way. Raises `Refused`."""
        with self._guard.asking(drop.ref.bucket):
            info = self._store.head(drop.ref)
            return info is not None and info.etag == drop.etag and not self._keeps_versions(drop.ref.bucket)

    def abandon(self, drop: Drop) -> None:
        """Forget a drop whose file is not what it was, and what was begun of its upload. Raises `Refused`."""
        if drop.upload_id is not None:
            with self._guard.asking(drop.ref.bucket):
                self._store.abort(drop.ref, drop.upload_id)
        self._journal.forgotten(drop.id)

    def _read(self, fd: int, candidate: Candidate) -> Digest:
        """Return the digest of the file as it was judged, with nobody writing from before the first byte to after the last."""
        _demand_unchanged(fd, candidate)
        try:
            with Lease(fd) as lease:

                def go_on() -> None:
                    self._stop_if_asked(candidate)
                    if lease.broken():
                        raise Changed(_shown(candidate), "somebody opened it for writing")

                digest = self._digest(fd, candidate, go_on)
                go_on()
        except LeaseRefused as refused:
            if refused.writing is Writing.SOMEBODY:
                raise Changed(_shown(candidate), "somebody has it open for writing") from refused
            digest = self._read_without_lease(fd, candidate)
        _demand_unchanged(fd, candidate)
        return digest

    def _read_without_lease(self, fd: int, candidate: Candidate) -> Digest:
        """Read where leases do not work: what the open files of all processes and two looks at the file can tell."""
        digest = self._digest(fd, candidate, lambda: self._stop_if_asked(candidate))
        if is_written(fd, candidate.identity.file_id, snapshot) is Writing.SOMEBODY:
            raise Changed(_shown(candidate), "somebody has it open for writing")
        return digest

    def _digest(self, fd: int, candidate: Candidate, between_blocks: Callable[[], None]) -> Digest:
        try:
            return digest_of(fd, candidate.identity.size, between_blocks=between_blocks)
        except OSError as error:
            raise Unreadable(_shown(candidate), f"cannot be read: {error.strerror}", "Look at the disk") from error

    def _take_up_again(self, drop: Drop) -> Drop:
        if drop.phase is Phase.EXISTS:
            self._journal.free(drop.id)
        elif drop.phase is Phase.UNRELEASED:
            self._journal.lost(drop.id)
        return replace(drop, phase=Phase.STORING)

    def _put(self, taken: Taken) -> Proof | None:
        drop = taken.drop
        payload = _payload(taken.fd, drop)
        log = DropUploadLog(self._journal, drop)
        with self._guard.asking(drop.ref.bucket):
            if payload.size >= LOOK_FIRST_BYTES and self._is_taken(drop):
                return self._settle(drop, payload, log)
            try:
                return store_and_prove(self._store, drop.ref, payload, log, resuming=taken.resuming)
            except AlreadyThere:
                return self._settle(drop, payload, log)

    def _is_taken(self, drop: Drop) -> bool:
        return self._store.head(drop.ref) is not None

    def _settle(self, drop: Drop, payload: Payload, log: DropUploadLog) -> Proof | None:
        """Decide about a key that is taken: the proof of the object that has our bytes, or None where the file is held."""
        for _ in range(ATTEMPTS):
            info = self._store.head(drop.ref)
            if info is None:
                break
            content = Content.SAME if self._same(info, drop) else Content.OTHER
            way = way_out(content, versioned=content is not Content.SAME and self._keeps_versions(drop.ref.bucket))
            if way is WayOut.RELEASE:
                self._drop_upload(drop, log)
                return proof_of(info, drop.crc64nvme)
            if way is WayOut.HOLD:
                self._drop_upload(drop, log)
                self._journal.occupied(drop.id, etag=info.etag, detail=_difference(info, drop))
                return None
            try:
                return store_and_prove(self._store, drop.ref, payload, log, if_match=info.etag)
            except AlreadyThere:
                continue
        raise Refused(str(drop.ref), "others store under this key at the same time", "Leave it; it is tried again")

    def _drop_upload(self, drop: Drop, log: DropUploadLog) -> None:
        if log.upload_id is not None:
            self._store.abort(drop.ref, log.upload_id)
            log.note(None)

    def _same(self, info: ObjectInfo, drop: Drop) -> bool:
        content = compare(info, size=drop.candidate.identity.size, crc64nvme=drop.crc64nvme, sha256=drop.sha256)
        if content is Content.UNCLEAR and worth_reading(info):
            content = self._compare_by_reading(info, drop)
        return content is Content.SAME

    def _compare_by_reading(self, info: ObjectInfo, drop: Drop) -> Content:
        """Compare all bytes, by both checksums, of an object of which S3 shows neither."""
        crc, sha = Crc64Nvme(), hashlib.sha256()
        try:
            with self._store.read(info.ref, offset=0, length=info.size, etag=info.etag) as chunks:
                for chunk in chunks:
                    self._stop_if_asked(drop.candidate)
                    crc.update(chunk)
                    sha.update(chunk)
        except (AlreadyThere, Missing, Frozen):
            return Content.OTHER  # it is not the object that was looked at any more
        return Content.SAME if (crc.base64(), sha.hexdigest()) == (drop.crc64nvme, drop.sha256) else Content.OTHER

    def _keeps_versions(self, bucket: str) -> bool:
        """Tell whether `bucket` certainly keeps versions; where we may not ask, nothing is replaced on a guess."""
        if bucket not in self._versioned:
            try:
                self._versioned[bucket] = self._store.versioned(bucket)
            except Denied:
                self._versioned[bucket] = False
        return self._versioned[bucket]

    def _abandon_if_changed(self, fd: int, drop: Drop) -> None:
        """Raise `Changed` where S3 refused the bytes because they are not those that were read."""
        if Identity.of(os.fstat(fd)) != drop.candidate.identity:
            self.abandon(drop)
            raise Changed(_shown(drop.candidate), "it was written to while it was stored")

    def _stop_if_asked(self, candidate: Candidate) -> None:
        if self._wanted.stopping():
            raise Stopped(_shown(candidate), "reading it was interrupted", "Start again")


def _payload(fd: int, drop: Drop) -> Payload:
    return Payload(
        fd=fd,
        size=drop.candidate.identity.size,
        crc64nvme=drop.crc64nvme,
        storage_class=drop.storage_class,
        metadata={BATCH_MARK: drop.id, SHA256_MARK: drop.sha256},
    )


def _demand_unchanged(fd: int, candidate: Candidate) -> None:
    if Identity.of(os.fstat(fd)) != candidate.identity:
        raise Changed(_shown(candidate), "it is not what was judged any more")


def _is_same(drop: Drop, candidate: Candidate, digest: Digest) -> bool:
    return drop.candidate == candidate and (drop.crc64nvme, drop.sha256) == (digest.crc64nvme, digest.sha256)


def _difference(info: ObjectInfo, drop: Drop) -> str:
    size = drop.candidate.identity.size
    if info.size != size:
        return f"the object under the key has {info.size} bytes, the file {size}"
    return f"the object under the key has {info.size} bytes as the file has, and others"


def _shown(candidate: Candidate) -> str:
    return printable(display(candidate.path))
