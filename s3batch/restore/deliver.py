"""Put members into a local folder as `<destination>/<bucket>/<key>`, and nowhere else.

Names come from a catalogue and thus from strangers, and whoever may write in the destination can swap folders for links while
we work. So a name is checked component by component, every folder on the way is opened by descriptor without following links
(and made where it is missing), and the file is written beside its place under a name of ours, private while it grows, flushed,
and renamed without replacing. What lies there already is left: the same bytes count as delivered, others are refused unless the
request says overwrite. A file gets plain rights (0666 less the umask: no setuid, no execute), the archived mtime, and the owner
who delivers.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import unicodedata
from contextlib import suppress
from types import TracebackType
from typing import Self

from s3batch.restore.destination import Folder, components
from s3batch.restore.requests import Part
from s3sync import keys
from s3sync.dropzone.folders import WALK, open_folder, open_listing
from s3sync.dropzone.syscalls import rename_no_replace
from s3sync.errors import Failure, Permanent, Transient

_WORTH_REPEATING = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EINTR,
    errno.EIO,  # also of a failed fsync: the next attempt begins with a new file
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_IN_THE_WAY = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}
_READ_BYTES = 1 << 20
_WRITING = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class IntoFolder:
    """Delivers the parts of one request to its folder. Not for several threads at once."""

    def __init__(self, folder: Folder, *, umask: int, overwrite: bool) -> None:
        """Deliver below `folder`, an absolute path without links; it is made where it is missing."""
        self._folder = folder
        self._rights = 0o666 & ~umask
        self._overwrite = overwrite
        self._open: tuple[bytes, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def existing(self, part: Part) -> str | None:
        """Return the part's place where its very bytes lie there, None where nothing does, or what may be replaced.

        Raises `Permanent` for a name that cannot be one and for anything else in the way, `Transient`.
        """
        *folders, name = components(part.place)
        try:
            parent_fd = self._parent(b"/".join(folders), make=False)
            same = _compare(parent_fd, name, part)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._sorted(part, error) from error
        if same:
            return self._shown(part)
        if self._overwrite and not _is_twin(parent_fd, name):
            return None
        raise self._taken(part, parent_fd, name)

    def open(self, part: Part) -> FileSink:
        """Begin to write a part beside its place. Raises `Permanent`, `Transient`."""
        *folders, name = components(part.place)
        try:
            parent_fd = self._parent(b"/".join(folders), make=True)
            return FileSink(self, part, open_listing(parent_fd), name)
        except OSError as error:
            raise self._sorted(part, error) from error

    def put_in_place(self, part: Part, folder_fd: int, beside: bytes, name: bytes) -> str:
        """Give a finished file its name: on behalf of its sink. Raises `FileExistsError`, `OSError`."""
        if self._overwrite:
            os.rename(beside, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            return self._shown(part)
        try:
            rename_no_replace(folder_fd, beside, folder_fd, name)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOSYS}:
                raise
            # NFS and some FUSE filesystems know no such rename; a link never replaces either, and the file is ours.
            os.link(beside, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
            os.unlink(beside, dir_fd=folder_fd)
        return self._shown(part)

    @property
    def rights(self) -> int:
        """The mode a delivered file gets."""
        return self._rights

    def _shown(self, part: Part) -> str:
        return keys.display(os.path.join(self._folder.path, part.place))

    def _parent(self, relative: bytes, *, make: bool) -> int:
        """Return a descriptor of the folder `relative` below the destination, kept open until another is asked for."""
        if self._open is not None and self._open[0] == relative:
            return self._open[1]
        self._close()
        path = self._folder.path.strip(b"/") + b"/" + relative
        self._open = (relative, _walk([name for name in path.split(b"/") if name], make=make))
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _taken(self, part: Part, parent_fd: int, name: bytes) -> Permanent:
        if _is_twin(parent_fd, name):
            wrong = "this filesystem takes its name for another's that differs in case or Unicode form only"
            return Permanent(self._printable(part), wrong, "Deliver it to another folder")
        return Permanent(self._printable(part), "a file with other content is there", "Move it away, or say --overwrite")

    def _sorted(self, part: Part, error: OSError) -> Failure:
        return sorted_failure(self._printable(part), error)

    def _printable(self, part: Part) -> str:
        return keys.printable(self._shown(part))


class FileSink:
    """One member on its way into a folder: a private file beside its place."""

    def __init__(self, into: IntoFolder, part: Part, folder_fd: int, name: bytes) -> None:
        """Take over `folder_fd` and create the file. Raises `OSError`, `Transient`."""
        self._into = into
        self._part = part
        self._folder_fd = folder_fd
        self._name = name
        self._placed = False
        self._beside = b".s3batch-%s-%d.part" % (part.request.encode(), part.id)
        try:
            self._fd = _create(folder_fd, self._beside)
        except BaseException:
            os.close(folder_fd)
            raise

    def write(self, block: memoryview, /) -> None:
        """Append `block`."""
        try:
            while block:
                block = block[os.write(self._fd, block) :]
        except OSError as error:
            raise self._sorted(error) from error

    def finish(self) -> str:
        """Flush it, set its rights and time, and give it its name, durably."""
        part = self._part
        try:
            os.fchmod(self._fd, self._into.rights)
            os.utime(self._fd, ns=(part.mtime_ns, part.mtime_ns))
            os.fsync(self._fd)
            place = self._in_place()
            os.fsync(self._folder_fd)
        except OSError as error:
            raise self._sorted(error) from error
        return place

    def discard(self) -> None:
        """Remove it where it has not become the member, and close everything."""
        if self._fd < 0:
            return
        if not self._placed:
            with suppress(FileNotFoundError):
                os.unlink(self._beside, dir_fd=self._folder_fd)
        os.close(self._fd)
        os.close(self._folder_fd)
        self._fd = -1

    def _in_place(self) -> str:
        try:
            place = self._into.put_in_place(self._part, self._folder_fd, self._beside, self._name)
        except FileExistsError:
            # It appeared since we looked; what it is decides, as it would have then.
            present = self._into.existing(self._part)
            if present is None:
                raise
            return present
        self._placed = True
        return place

    def _sorted(self, error: OSError) -> Failure:
        return sorted_failure(keys.printable(keys.display(self._part.place)), error)


def current_umask() -> int:
    """Return this process's umask without changing it, as asking by system call would for a moment."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o077


def sorted_failure(subject: str, error: OSError) -> Failure:
    """Return the failure of our family that `error` is."""
    if error.errno in _WORTH_REPEATING:
        return Transient(subject, f"cannot be written now: {error.strerror}", "Make room or mend the disk; it is tried again")
    if error.errno in _IN_THE_WAY:
        return Permanent(subject, "a link, a folder or a file is in the way", "Move it away, or restore to another folder")
    return Permanent(subject, f"cannot be written: {error.strerror}", "Check the folder and its rights")


def _walk(names: list[bytes], *, make: bool) -> int:
    """Return a descriptor of the folder that `names` lead to from the machine's root. Raises `OSError`."""
    fd = os.open(b"/", WALK)
    try:
        for name in names:
            below = _step(fd, name, make=make)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


def _step(parent_fd: int, name: bytes, *, make: bool) -> int:
    try:
        return open_folder(parent_fd, name)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, 0o777, dir_fd=parent_fd)
        _flush(parent_fd)
    return open_folder(parent_fd, name)


def _flush(folder_fd: int) -> None:
    listing = open_listing(folder_fd)
    try:
        os.fsync(listing)
    finally:
        os.close(listing)


def _create(folder_fd: int, name: bytes) -> int:
    """Return a new private file of ours, locked; one that a broken-off attempt left is removed first.

    Raises `Transient` where another command is writing it just now, `OSError`.
    """
    try:
        fd = os.open(name, _WRITING, 0o600, dir_fd=folder_fd)
    except FileExistsError:
        _remove_left_over(folder_fd, name)
        fd = os.open(name, _WRITING, 0o600, dir_fd=folder_fd)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def _remove_left_over(folder_fd: int, name: bytes) -> None:
    with suppress(FileNotFoundError):
        fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Transient(keys.display(name), "another command is writing it", "Wait for that one") from None
        finally:
            os.close(fd)
        os.unlink(name, dir_fd=folder_fd)


def _compare(folder_fd: int, name: bytes, part: Part) -> bool:
    """Tell whether the file `name` holds the part's very bytes. Raises `OSError`: ENOENT, ELOOP for a link, EISDIR."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        seen = os.fstat(fd)
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(errno.EISDIR, "not a regular file")
        return seen.st_size == part.size and _sha256(fd) == part.sha256
    finally:
        os.close(fd)


def _sha256(fd: int) -> str:
    digest = hashlib.sha256()
    while block := os.read(fd, _READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _is_twin(folder_fd: int, name: bytes) -> bool:
    """Tell whether `name` is found in the folder only because its filesystem folds case or Unicode forms.

    The folder is listed only where another spelling leads to the same file, which on most filesystems none does.
    """
    here = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    if not any(_leads_to(folder_fd, spelling, here) for spelling in _spellings(name)):
        return False
    listing = open_listing(folder_fd)
    try:
        return name not in {os.fsencode(found) for found in os.listdir(listing)}
    finally:
        os.close(listing)


def _leads_to(folder_fd: int, name: bytes, here: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=folder_fd, follow_symlinks=False), here)
    except OSError:
        return False


def _spellings(name: bytes) -> set[bytes]:
    text = name.decode("utf-8", "surrogateescape")
    forms = {text.swapcase(), unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
    return {form.encode("utf-8", "surrogateescape") for form in forms} - {name}
