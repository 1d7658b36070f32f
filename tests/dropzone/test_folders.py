from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3sync.dropzone.folders import FolderCache, components, make_beneath, open_beneath, open_root
from tests.support import tree


def _inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def test_a_path_is_reached_folder_by_folder(tmp_path: Path) -> None:
    """`open_beneath` gives the folder a path lies in, and the name there."""
    tree(tmp_path, {"bucket/a/b.txt": "x"})
    root = open_root(tmp_path)

    fd, name = open_beneath(root, b"bucket/a/b.txt")

    assert (os.stat(tmp_path / "bucket/a").st_ino, b"b.txt") == (_inode(fd), name)
    os.close(fd)
    os.close(root)


@pytest.mark.parametrize("link", ["bucket", "bucket/a"])
def test_a_link_on_the_way_is_not_followed(tmp_path: Path, link: str) -> None:
    """A folder swapped for a link leads nowhere, wherever on the way it is."""
    tree(tmp_path / "elsewhere", {"a/secret": "x"})
    tree(tmp_path / "root", {"bucket/a": None})
    place = tmp_path / "root" / link
    place.rename(tmp_path / "moved")
    place.symlink_to(tmp_path / "elsewhere")
    root = open_root(tmp_path / "root")

    with pytest.raises(NotADirectoryError):
        open_beneath(root, b"bucket/a/secret")

    os.close(root)


@pytest.mark.parametrize("path", [b"", b"a//b", b"../b", b"a/../b", b"a/./b", b"a/b/", b"a/..", b"a/\0/b", b"/"])
def test_a_path_no_listing_could_show_is_refused(tmp_path: Path, path: bytes) -> None:
    """Dots, empty names and NULs are refused before anything is opened."""
    root = open_root(tmp_path)

    with FolderCache(root) as cache, pytest.raises(OSError, match="not a path beneath"):
        cache.parent(path)

    os.close(root)


def test_members_of_one_folder_share_one_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in order open each folder once."""
    tree(tmp_path, {"b/one/1": "", "b/one/2": "", "b/two/1": "", "c/1": ""})
    opened: list[bytes] = []
    real = os.open
    root = open_root(tmp_path)

    def counted(path: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        opened.append(path)
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", counted)

    with FolderCache(root) as cache:
        for path in (b"b/one/1", b"b/one/2", b"b/one/3", b"b/two/1", b"c/1"):
            cache.parent(path)

    assert [b"b", b"one", b"two", b"c"] == opened
    os.close(root)


def test_a_tree_deeper_than_the_cache_and_than_path_max_works(tmp_path: Path) -> None:
    """However deep a path is, few folders are open, and going back and forth finds the right ones."""
    root = open_root(tmp_path)
    deep = b"/".join([b"d" * 100] * 60)
    fd, name = make_beneath(root, deep + b"/file")
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    before = len(os.listdir("/proc/self/fd"))

    with FolderCache(root, max_open=4) as cache:
        inodes = [_inode(cache.folder(path)) for path in (deep, deep[:403], deep, deep[:100], deep)]
        opened = len(os.listdir("/proc/self/fd")) - before
        shallow = _inode(cache.parent(deep[:100] + b"/x")[0])

    assert _inode(fd) == inodes[0] == inodes[2] == inodes[4]
    assert inodes[3] == shallow == os.stat(tmp_path / os.fsdecode(deep[:100])).st_ino
    assert opened <= 4
    os.close(fd)
    os.close(root)


def test_an_absolute_path_starts_at_the_machines_root(tmp_path: Path) -> None:
    """A displaced file outside the drop zone is named absolutely; the cache goes there and comes back."""
    tree(tmp_path, {"root/b/1": "", "quarantine/x/1": ""})
    root = open_root(tmp_path / "root")
    outside = os.fsencode(tmp_path.resolve()) + b"/quarantine/x/1"

    with FolderCache(root) as cache:
        seen = [_inode(cache.parent(path)[0]) for path in (b"b/1", outside, b"b/1")]

    inside = os.stat(tmp_path / "root/b").st_ino
    assert [inside, os.stat(tmp_path / "quarantine/x").st_ino, inside] == seen
    os.close(root)


def test_a_missing_folder_is_made_like_its_parent(tmp_path: Path) -> None:
    """Whoever could write into the folder above can write into the new one."""
    tree(tmp_path, {"bucket": None})
    (tmp_path / "bucket").chmod(0o2775)
    root = open_root(tmp_path)

    fd, _ = make_beneath(root, b"bucket/new/newer/file")

    assert {0o2775} == {(tmp_path / "bucket" / path).stat().st_mode & 0o7777 for path in ("new", "new/newer")}
    os.close(fd)
    os.close(root)


def test_components_of_a_path() -> None:
    """An absolute path has the same names as a relative one."""
    assert [b"a", b"b"] == components(b"a/b") == components(b"/a/b")
