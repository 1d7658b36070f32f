"""How much room there is on the disks an agent works on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from s3sync.mounts import nearest_existing
from s3sync.observe.metrics import DISK_FREE, DISK_SIZE, INODES_FREE, Sample


def disk_samples(places: Mapping[str, Path]) -> Iterator[Sample]:
    """Yield room, size and free inodes of each disk below `places`, once, labelled with all that lie on it.

    A folder not made yet counts where it would be. Raises `OSError` where a disk cannot be asked.
    """
    disks: dict[int, list[str]] = {}
    for place, path in places.items():
        disks.setdefault(os.stat(nearest_existing(path)).st_dev, []).append(place)
    for names in disks.values():
        label, found = ",".join(names), os.statvfs(nearest_existing(places[names[0]]))
        yield Sample(DISK_FREE, (label,), found.f_bavail * found.f_frsize)
        yield Sample(DISK_SIZE, (label,), found.f_blocks * found.f_frsize)
        if found.f_files:  # btrfs and others make inodes as they need them
            yield Sample(INODES_FREE, (label,), found.f_favail)
