"""What path of a drop zone somebody means by what they typed."""

from __future__ import annotations

import os

from s3sync.dropzone.zone import DropZone


def in_zone(zone: DropZone, typed: bytes, here: bytes) -> bytes | None:
    """Return a path as somebody typed it, as a path of the zone; empty for its root, None for one outside.

    An absolute path is taken as it is, any other relative to the folder `here` where that leads into the zone, and else to the
    zone's root. Links on the way to the drop zone are followed, the name itself and what lies in the zone never.
    """
    if typed.startswith(b"/"):
        return _below(zone, typed)
    from_here = _below(zone, os.path.join(here, typed))
    return _below(zone, os.path.join(os.fsencode(zone.path), typed)) if from_here is None else from_here


def _below(zone: DropZone, absolute: bytes) -> bytes | None:
    root = os.fsencode(zone.path)
    path = os.path.normpath(absolute)
    for place in (path, _with_links_followed(path, root)):
        if place == root:
            return b""
        if place.startswith(root + b"/"):
            return place[len(root) + 1 :]
    # A quarantine may lie outside; its path is absolute.
    outside = zone.explicit is not None and zone.explicit.startswith(b"/") and path.startswith(zone.explicit)
    return path if outside else None


def _with_links_followed(path: bytes, root: bytes) -> bytes:
    """Follow links from the outside in, and no further than to the root."""
    names = path.split(b"/")
    for depth in range(1, len(names) + 1):
        if os.path.realpath(b"/".join(names[:depth]) or b"/") == root:
            return b"/".join([root, *names[depth:]])
    return path
