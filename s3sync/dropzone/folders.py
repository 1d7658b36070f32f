"""Reach what a path names beneath a root, one component at a time, never following a link.

`O_NOFOLLOW` guards only the last component, and a path resolved by the kernel in one go may lead anywhere once an uploader has
swapped a folder for a link. So every folder on the way is opened by its own descriptor, and what is done in the last one is
done by descriptor and name. Folders are opened with `O_PATH`: that needs the right to pass through, not the right to list, and
such a descriptor serves as well for opening, renaming and removing what lies in the folder.

Paths are raw bytes relative to the root, `/`-separated; a path that begins with `/` starts at the machine's own root, which is
how a displaced file in a quarantine outside the drop zone is named. `.`, `..` and empty components are refused: nothing found
by listing a folder has them. Paths may be longer than PATH_MAX.

`openat2` with RESOLVE_BENEATH would do the same in one call, but Python cannot say it and a cache of folders needs the steps.
Worker processes import this file: the standard library only, and little of it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from itertools import takewhile
from types import TracebackType
from typing import Self

WALK = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""How a member is opened: a FIFO swapped in cannot hang us, a link cannot lead us astray."""

MAX_OPEN = 16
"""Folders one cache keeps open. Deeper trees work; their outermost folders are then opened again when they are needed."""


def open_root(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of the folder all paths are relative to; links in `path` itself are the operator's and are followed.

    Raises `OSError`.
    """
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_folder(parent_fd: int, name: bytes) -> int:
    """Return a descriptor to walk through the folder `name` of an open folder.

    Raises `OSError`: ENOTDIR for a link or anything else that is no folder, ENOENT, EACCES.
    """
    return os.open(name, WALK, dir_fd=parent_fd)


def open_listing(folder_fd: int) -> int:
    """Return a second descriptor of a folder, one that can be listed and asked for its flags. Raises `OSError`."""
    return os.open(b".", LIST, dir_fd=folder_fd)


def components(path: bytes) -> list[bytes]:
    """Return the names a path is made of, without the leading `/` of an absolute one.

    Raises `OSError` with EINVAL for a component no listing could have shown.
    """
    names = path.removeprefix(b"/").split(b"/")
    for name in names:
        _check(name, path)
    return names


def open_beneath(root_fd: int, path: bytes) -> tuple[int, bytes]:
    """Return a descriptor of the folder that holds `path` and the last name; the caller closes the descriptor.

    Raises `OSError`: ENOENT, ENOTDIR (also for a link on the way), EACCES.
    """
    with FolderCache(root_fd) as cache:
        parent_fd, name = cache.parent(path)
        return os.dup(parent_fd), name


def make_beneath(root_fd: int, path: bytes) -> tuple[int, bytes]:
    """Return what `open_beneath` returns, making the folders that are missing, each with its parent's mode and owner.

    Whoever made the folder that is gone could write into its parent, and finds the new one as open to them. Raises `OSError`.
    """
    *folders, name = components(path)
    fd = os.open(b"/" if path.startswith(b"/") else b".", WALK, dir_fd=root_fd)
    for folder in folders:
        try:
            below = _opened_or_made(fd, folder)
        finally:
            os.close(fd)
        fd = below
    return fd, name


def _opened_or_made(parent_fd: int, name: bytes) -> int:
    try:
        return open_folder(parent_fd, name)
    except FileNotFoundError:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent_fd)
            _share_like(parent_fd, name)
        return open_folder(parent_fd, name)


def _share_like(parent_fd: int, name: bytes) -> None:
    parent = os.fstat(parent_fd)
    fd = os.open(name, LIST, dir_fd=parent_fd)
    try:
        # Whatever lies here now is changed only if it is still the folder we made a moment ago.
        if os.fstat(fd).st_uid != os.geteuid():
            return
        # Without the right to give folders away, the parent's setgid bit has set the group.
        with suppress(PermissionError):
            os.fchown(fd, parent.st_uid, parent.st_gid)
        os.fchmod(fd, stat.S_IMODE(parent.st_mode))
    finally:
        os.close(fd)


class FolderCache:
    """The open folders on the way to the path asked for last.

    Made for paths in order: neighbours share their folder's descriptor, so a folder of a thousand files is opened once. A
    folder that is renamed while it is open here stays the folder it was; who must see names as they are now begins a new cache.
    Not for several threads at once. Descriptors handed out belong to the cache and hold until the next call.
    """

    def __init__(self, root_fd: int, *, max_open: int = MAX_OPEN) -> None:
        """Start at `root_fd`, which stays the caller's; keep at most `max_open` folders open."""
        self._root_fd = root_fd
        self._max_open = max(2, max_open)
        self._machine_fd: int | None = None
        self._absolute = False
        self._names: list[bytes] = []
        self._fds: list[int] = []
        """The descriptors of the last `len(_fds)` of `_names`."""
        self._folder = b""
        """The path of the last of `_fds`, empty where nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every folder; the cache may be used again."""
        self._keep(0)
        if self._machine_fd is not None:
            os.close(self._machine_fd)
            self._machine_fd = None

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """Return the descriptor of the folder that holds `path`, and its name there. Raises `OSError`."""
        folder, _, name = path.rpartition(b"/")
        _check(name, path)
        if folder and folder == self._folder:
            return self._fds[-1], name
        if path.startswith(b"/") and not folder:
            return self._start(absolute=True), name
        return self.folder(folder), name

    def folder(self, path: bytes) -> int:
        """Return the descriptor of the folder `path`; an empty path is the root. Raises `OSError`."""
        if not path:
            return self._root_fd
        if path == self._folder:
            return self._fds[-1]
        names = components(path)
        self._switch(absolute=path.startswith(b"/"))
        self._keep(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._names, names, strict=False))))
        self._open(names)
        self._folder = path
        return self._fds[-1]

    def _open(self, names: list[bytes]) -> None:
        """Open what is missing of the chain `names`, of which `_names` is a beginning."""
        if self._names and not self._fds:
            # The outermost folders were given up for deeper ones: walk to them again.
            self._keep(0)
        fd = self._fds[-1] if self._fds else self._start(absolute=self._absolute)
        for name in names[len(self._names) :]:
            fd = open_folder(fd, name)
            self._names.append(name)
            self._fds.append(fd)
            if len(self._fds) > self._max_open:
                os.close(self._fds.pop(0))

    def _keep(self, depth: int) -> None:
        """Forget every folder below `depth` components."""
        self._folder = b""
        while len(self._names) > depth:
            self._names.pop()
            if self._fds:
                os.close(self._fds.pop())

    def _switch(self, *, absolute: bool) -> None:
        if absolute != self._absolute:
            self._keep(0)
            self._absolute = absolute

    def _start(self, *, absolute: bool) -> int:
        if not absolute:
            return self._root_fd
        if self._machine_fd is None:
            self._machine_fd = os.open(b"/", WALK)
        return self._machine_fd


_NO_NAMES = frozenset({b"", b".", b".."})


def _check(name: bytes, path: bytes) -> None:
    if name in _NO_NAMES or b"\0" in name:
        raise OSError(errno.EINVAL, "not a path beneath a folder", path)
