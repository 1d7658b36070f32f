"""Put members into a local folder as `<destination>/<bucket>/<key>`, and nowhere else.

Names come from a catalogue and thus from strangers, and whoever may write in the destination can swap folders for links while
we work. So a name is checked component by component, every folder on the way is opened by descriptor without following links
(and made where it is missing), and the file is written beside its place under a name of ours, private while it grows. `settle`
flushes those that are ready, renames each without replacing, and flushes the new names. What lies there already is left: the
same bytes count as delivered, others are refused unless the request says overwrite. A file gets plain rights (0666 less the
umask: no setuid, no execute), the archived mtime, and the owner who delivers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from types import TracebackType
from typing import Self

from s3batch.restore.destination import Folder, components
from s3batch.restore.flushing import Flushing
from s3batch.restore.local_files import compare, create, is_twin, sorted_failure, walk
from s3batch.restore.requests import Part
from s3sync import keys
from s3sync.dropzone.folders import open_listing
from s3sync.dropzone.syscalls import begin_flush, rename_no_replace
from s3sync.errors import Failure, Permanent

BEGIN_FLUSH_BYTES = 1 << 18
"""From this size on the disk begins with a file while the next ones are fetched. Of small ones it takes all together."""

_CANNOT_RENAME = {errno.EINVAL, errno.ENOSYS}


class IntoFolder:
    """Delivers the parts of one request to its folder. Not for several threads at once."""

    def __init__(self, folder: Folder, *, umask: int, overwrite: bool) -> None:
        """Deliver below `folder`, an absolute path without links; it is made where it is missing."""
        self._folder = folder
        self._rights = 0o666 & ~umask
        self._overwrite = overwrite
        self._open: tuple[bytes, int] | None = None
        self._ready: list[FileSink] = []
        """Whole files beside their places."""
        self._flushing = Flushing()
        self._folders: dict[bytes, int] = {}
        """Descriptors of the folders that what is ready lies in, for flushing the names it gets."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()
        while self._ready:
            self._ready.pop().remove()
        while self._folders:
            os.close(self._folders.popitem()[1])

    def settle(self) -> Mapping[int, Failure]:
        """Put into place, durably, what is ready; return what of it could not be, by the parts' numbers, and why.

        Raises `Permanent`, `Transient` where it is unknown whether the new names would survive a power cut.
        """
        ready, self._ready = self._ready, []
        unflushed = self._flushing.failures(sink.fd for sink in ready)
        failures = {sink.part.id: failure for sink in ready if (failure := sink.settle(unflushed.get(sink.fd))) is not None}
        self._flush_folders({sink.folder for sink in ready if sink.part.id not in failures})
        return failures

    def _flush_folders(self, renamed_in: AbstractSet[bytes]) -> None:
        """Flush every folder with new names, and let go of all; raise for the first that cannot be."""
        folders, self._folders = self._folders, {}
        try:
            failed = self._flushing.failures(fd for folder, fd in folders.items() if folder in renamed_in)
        finally:
            for fd in folders.values():
                os.close(fd)
        for folder, fd in folders.items():
            if fd in failed:
                raise sorted_failure(keys.printable(keys.display(folder)), failed[fd]) from failed[fd]

    def existing(self, part: Part) -> str | None:
        """Return the part's place where its very bytes lie there, None where nothing does, or what may be replaced.

        Raises `Permanent` for a name that cannot be one and for anything else in the way, `Transient`.
        """
        *folders, name = components(part.place)
        try:
            parent_fd = self._parent(b"/".join(folders), make=False)
            same = compare(parent_fd, name, part)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._sorted(part, error) from error
        if same:
            return self._shown(part)
        if self._overwrite and not is_twin(parent_fd, name):
            return None
        raise self._taken(part, parent_fd, name)

    def open(self, part: Part) -> FileSink:
        """Begin to write a part beside its place. Raises `Permanent`, `Transient`."""
        *folders, name = components(part.place)
        try:
            return FileSink(self, part, self._listing(b"/".join(folders)), name)
        except OSError as error:
            raise self._sorted(part, error) from error

    def take(self, sink: FileSink) -> str:
        """Take over a file that is ready, and return where it will be."""
        if sink.part.size >= BEGIN_FLUSH_BYTES:
            begin_flush(sink.fd, 0, sink.part.size)
        self._ready.append(sink)
        return self._shown(sink.part)

    def rename(self, folder_fd: int, beside: bytes, name: bytes) -> None:
        """Give a finished file its name: on behalf of its sink. Raises `FileExistsError`, `OSError`."""
        if self._overwrite:
            os.rename(beside, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            return
        try:
            rename_no_replace(folder_fd, beside, folder_fd, name)
        except OSError as error:
            if error.errno not in _CANNOT_RENAME:
                raise
            # NFS and some FUSE filesystems know no such rename; a link never replaces either, and the file is ours.
            os.link(beside, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
            os.unlink(beside, dir_fd=folder_fd)

    @property
    def rights(self) -> int:
        """The mode a delivered file gets."""
        return self._rights

    def _shown(self, part: Part) -> str:
        return keys.display(os.path.join(self._folder.path, part.place))

    def _listing(self, folder: bytes) -> int:
        """Return a descriptor of `folder` that can be flushed; it stays open while a file in it is ready."""
        if folder not in self._folders:
            wanted = {sink.folder for sink in self._ready}
            for unused in self._folders.keys() - wanted:
                os.close(self._folders.pop(unused))
            self._folders[folder] = open_listing(self._parent(folder, make=True))
        return self._folders[folder]

    def _parent(self, relative: bytes, *, make: bool) -> int:
        """Return a descriptor of the folder `relative` below the destination, kept open until another is asked for."""
        if self._open is not None and self._open[0] == relative:
            return self._open[1]
        self._close()
        path = self._folder.path.strip(b"/") + b"/" + relative
        self._open = (relative, walk([name for name in path.split(b"/") if name], make=make))
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _taken(self, part: Part, parent_fd: int, name: bytes) -> Permanent:
        if is_twin(parent_fd, name):
            wrong = "this filesystem takes its name for another's that differs in case or Unicode form only"
            return Permanent(self._printable(part), wrong, "Deliver it to another folder")
        return Permanent(self._printable(part), "a file with other content is there", "Move it away, or say --overwrite")

    def _sorted(self, part: Part, error: OSError) -> Failure:
        return sorted_failure(self._printable(part), error)

    def _printable(self, part: Part) -> str:
        return keys.printable(self._shown(part))


class FileSink:
    """One member on its way into a folder: a private file beside its place, locked until it has its name."""

    def __init__(self, into: IntoFolder, part: Part, folder_fd: int, name: bytes) -> None:
        """Create the file in the open folder `folder_fd`, which stays the caller's. Raises `OSError`, `Transient`."""
        self._into = into
        self.part = part
        self._folder_fd = folder_fd
        self._name = name
        self._ready = False
        self._beside = b".s3batch-%s-%d.part" % (part.request.encode(), part.id)
        self.fd = create(folder_fd, self._beside)

    @property
    def folder(self) -> bytes:
        """Where it will lie below the destination."""
        return self.part.place.rpartition(b"/")[0]

    def write(self, block: memoryview, /) -> None:
        """Append `block`."""
        try:
            while block:
                block = block[os.write(self.fd, block) :]
        except OSError as error:
            raise self._sorted(error) from error

    def finish(self) -> str:
        """Set its rights and time, and leave the rest to `IntoFolder.settle`; return where it will be."""
        part = self.part
        try:
            os.fchmod(self.fd, self._into.rights)
            os.utime(self.fd, ns=(part.mtime_ns, part.mtime_ns))
        except OSError as error:
            raise self._sorted(error) from error
        self._ready = True
        return self._into.take(self)

    def discard(self) -> None:
        """Remove it where it is not ready."""
        if not self._ready:
            self.remove()

    def remove(self) -> None:
        """Remove it, wherever it has got to short of its place."""
        with suppress(OSError):  # another attempt removes it
            os.unlink(self._beside, dir_fd=self._folder_fd)
        os.close(self.fd)

    def settle(self, unflushed: OSError | None) -> Failure | None:
        """Give the flushed file its name, which a flush of its folder makes durable; return why it cannot have it.

        `unflushed` is why it is not on the disk.
        """
        try:
            if unflushed is not None:
                raise unflushed
            self._put_in_place()
        except Failure as failure:
            self.remove()
            return failure
        except OSError as error:
            self.remove()
            return self._sorted(error)
        os.close(self.fd)
        return None

    def _put_in_place(self) -> None:
        try:
            self._into.rename(self._folder_fd, self._beside, self._name)
        except FileExistsError:
            # It appeared since we looked; what it is decides, as it would have then.
            if self._into.existing(self.part) is None:
                raise
            os.unlink(self._beside, dir_fd=self._folder_fd)

    def _sorted(self, error: OSError) -> Failure:
        return sorted_failure(keys.printable(keys.display(self.part.place)), error)
