"""What the world does between a kill and the restart. Each move is a function of the world; points rotate over them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.crash.sweep import SweptWorld

DAY_SECONDS = 86_400

Move = Callable[[SweptWorld], None]


def nothing(_world: SweptWorld) -> None:
    """Start again at once."""


def dropped_again(world: SweptWorld) -> None:
    """Clients upload names again, with equal sizes and forged times, and a new one."""
    world.drop("a/one", _never_dropped(world) * 500)
    world.drop("a/two", _never_dropped(world) * 500, mtime=1_000_000_000)
    world.drop("b/new", _never_dropped(world))


def _never_dropped(world: SweptWorld) -> bytes:
    """Return three bytes that are another time's: dropped twice, equal bytes would rightly be archived twice."""
    return b"%03d" % len(world.ever)


def rights_changed(world: SweptWorld) -> None:
    """A job gives every file other rights, which sets every ctime."""
    for path in world.lying_files():
        path.chmod(0o640)


def folder_renamed(world: SweptWorld) -> None:
    """A client renames a folder, and makes the old one anew."""
    folder = world.zone / "bucket" / "a"
    if not folder.exists():
        return
    for path in folder.iterdir():
        world.moved(f"a/{path.name}", f"moved/{path.name}", path.read_bytes())
    folder.rename(world.zone / "bucket" / "moved")
    world.drop("a/one", _never_dropped(world) * 500)


def midnight_passed(world: SweptWorld) -> None:
    """The agent comes up on another day."""
    world.environment["CRASH_CLOCK_SECONDS"] = str(DAY_SECONDS)


def upgraded(world: SweptWorld) -> None:
    """Another version of the agent comes up."""
    world.environment["CRASH_VERSION"] = "99.0"


def spool_damaged(world: SweptWorld) -> None:
    """A bit flips in each of the spool's files."""
    for path in world.spool_files():
        content = bytearray(path.read_bytes())
        if content:
            content[len(content) // 2] ^= 1
            path.write_bytes(content)


def archives_gone(world: SweptWorld) -> None:
    """The archives in the spool are gone, their lists are not."""
    for path in world.spool_files():
        if path.suffix == ".tar":
            path.unlink()


def spool_gone(world: SweptWorld) -> None:
    """The spool is on a disk that did not come back."""
    shutil.rmtree(world.base / "state" / "spool", ignore_errors=True)


def journal_gone(world: SweptWorld) -> None:
    """Somebody removed the journal; uploads it alone knew of are left to the bucket's lifecycle rule."""
    for path in (world.base / "state").glob("journal.db*"):
        path.unlink()
    world.forget_uploads = True


MOVES: tuple[Move, ...] = (
    dropped_again,
    nothing,
    rights_changed,
    folder_renamed,
    midnight_passed,
    upgraded,
    spool_damaged,
    archives_gone,
    spool_gone,
    journal_gone,
)
"""For a pass of packing."""


def delivered_changed(world: SweptWorld) -> None:
    """Somebody takes the write rights from what was delivered."""
    for folder, _, names in os.walk(world.destination):
        for name in names:
            Path(folder, name).chmod(0o400)


def delivered_removed(world: SweptWorld) -> None:
    """Somebody removes the folders that are still empty."""
    for folder, _, _ in os.walk(world.destination, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)


RESTORE_MOVES: tuple[Move, ...] = (nothing, midnight_passed, delivered_changed, upgraded, delivered_removed)
REBUILD_MOVES: tuple[Move, ...] = (nothing, upgraded, dropped_again, midnight_passed)
