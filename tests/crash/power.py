"""Take back what a power cut would: everything a killed program had not flushed, by the record that `shim.c` kept of it.

The model is the strict one POSIX allows, not what one filesystem does. A file's content is safe once that file was flushed
(fsync, fdatasync, syncfs); until then it is what it was at the last flush. A name (made, renamed, removed) is safe once its
folder was flushed, or either folder of a rename, since a rename is kept whole by every journalling filesystem. A disk that
lies about flushes is not covered, nor the order in which a real one writes what was not flushed: four ways of losing stand for
that, see `Cut`. Lost names are taken back last first; what lies in a folder whose own name was lost is lost with it.

Covered is what the program does below the drop zone, the state folder (journal, catalogue, spool, member lists, manifests)
and a restore's destination. Whatever was there before the run counts as flushed. Files keep their inode, as they would; their
ctime changes by being brought back, which the program has to take as a change anyway. Rights and times set on a file are not
taken back. SQLite's `-shm` goes: it is no record.
"""

from __future__ import annotations

import enum
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 4096


class Cut(enum.Enum):
    """What of the unflushed is lost."""

    ALL = "names and contents"
    CONTENTS = "contents, while names were kept"
    NAMES = "names, while contents were kept"
    BLOCKS = "every second block of the contents, while names were kept"


@dataclass(slots=True)
class _Change:
    """A change of a name, as the library wrote it down."""

    kind: str
    one: str
    two: str = ""
    buried: str = ""
    safe: bool = False

    def folders(self) -> set[str]:
        return {os.path.dirname(name) for name in (self.one, self.two if self.kind == "rename" else "") if name}


def cut_power(grave: Path, tree: Path, cut: Cut) -> int:
    """Lose what was not flushed below `tree`; return how many names and contents that were. The grave is emptied."""
    lost = 0
    if cut in {Cut.ALL, Cut.NAMES}:
        for change in reversed([change for change in _changes(grave / "log") if not change.safe]):
            _take_back(change)
            lost += 1
    if cut is not Cut.NAMES:
        lost += _lose_contents(grave, tree, torn=cut is Cut.BLOCKS)
    for index in tree.rglob("*-shm"):
        index.unlink()
    shutil.rmtree(grave)
    return lost


def _changes(log: Path) -> list[_Change]:
    """Read the record; a flush makes safe what came before it."""
    changes: list[_Change] = []
    for line in log.read_bytes().split(b"\n")[:-1]:
        kind, *names = [os.fsdecode(field) for field in line.split(b"\t")]
        match kind:
            case "syncfs":
                for change in changes:
                    change.safe = True
            case "flush":
                for change in changes:
                    change.safe |= names[0] in change.folders()
            case "rename":
                changes.append(_Change(kind, names[0], names[1], names[2]))
            case _:
                changes.append(_Change(kind, names[0], buried=names[1]))
    for at, change in reversed(list(enumerate(changes))):
        if change.kind == "rmdir" and change.safe:
            # A folder that is gone for good was empty: so is safe what made it so.
            for earlier in changes[:at]:
                earlier.safe |= change.one in earlier.folders()
    return changes


def _take_back(change: _Change) -> None:
    match change.kind:
        case "create":
            Path(change.one).unlink(missing_ok=True)
        case "mkdir":
            shutil.rmtree(change.one, ignore_errors=True)
        case "rmdir":
            Path(change.one).mkdir(0o700, parents=True, exist_ok=True)
        case "unlink":
            _dig_up(change.buried, change.one)
        case "rename":
            if os.path.lexists(change.two) and not os.path.lexists(change.one):
                os.rename(change.two, change.one)
            _dig_up(change.buried, change.two)
        case _:
            raise AssertionError(f"unknown change: {change}")


def _dig_up(buried: str, name: str) -> None:
    if buried and not os.path.lexists(name):
        os.rename(buried, name)


def _lose_contents(grave: Path, tree: Path, *, torn: bool) -> int:
    kept = {int(path.name.removeprefix("data.")): path for path in grave.glob("data.*")}
    lost = 0
    for folder, _, names in os.walk(tree):
        for path in (Path(folder, name) for name in names):
            before = kept.get(path.lstat().st_ino)
            if before is not None and grave not in path.parents:
                _overwrite(path, before.read_bytes(), torn=torn)
                lost += 1
    return lost


def _overwrite(path: Path, before: bytes, *, torn: bool) -> None:
    """Put the older content back into the very file; `torn` does so for every second block, and zeros for what was new."""
    with path.open("r+b") as file:
        if torn:
            now = file.read()
            old = before.ljust(len(now), b"\0")[: len(now)]
            starts = range(0, len(now), _BLOCK)
            before = b"".join((now if at // _BLOCK % 2 else old)[at : at + _BLOCK] for at in starts)
            file.seek(0)
        file.write(before)
        file.truncate()
