"""Folders as literals, so that a test shows what lies where before and after."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

Tree = Mapping[str | bytes, "str | bytes | Tree | None"]
"""Names to contents: text or bytes is a file, a mapping is a folder, None an empty folder. A name may hold slashes."""


def tree(root: Path | bytes, wanted: Tree) -> bytes:
    """Make the files and folders of `wanted` below `root` (made where missing) and return the root as bytes."""
    top = os.fsencode(root)
    os.makedirs(top, exist_ok=True)
    for name, content in wanted.items():
        path = os.path.join(top, os.fsencode(name))
        if content is None or isinstance(content, Mapping):
            tree(path, content or {})
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
    return top


def files(root: Path | bytes) -> dict[bytes, bytes]:
    """Return the content of every regular file below `root` by its path relative to it."""
    top = os.fsencode(root)
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                # An agent at work makes and removes probes of its own.
                with suppress(FileNotFoundError), open(path, "rb") as file:
                    found[os.path.relpath(path, top)] = file.read()
    return found


def assert_tree(root: Path | bytes, expected: Tree) -> None:
    """Hold that below `root` there are exactly the files of `expected`, with these contents; empty folders are ignored."""
    assert _flat(b"", expected) == files(root)


def _flat(prefix: bytes, wanted: Tree) -> dict[bytes, bytes]:
    flat: dict[bytes, bytes] = {}
    for name, content in wanted.items():
        path = os.path.join(prefix, os.fsencode(name))
        if isinstance(content, Mapping):
            flat |= _flat(path, content)
        elif content is not None:
            flat[path] = content.encode() if isinstance(content, str) else content
    return flat
