"""Many files, one archive, found again and brought back one by one.

What both programs do lives in `s3sync`: judging files and releasing originals in `s3sync.dropzone`, storing objects and
proving them in `s3sync.store`, telling the world in `s3sync.observe`, settings, failures, events and the state database at
its root. Here: `pack` (candidates into archives), `catalogue` (which archive holds a member), `restore` (members brought
back), and `app`, which wires them together.
"""

from s3sync import __version__

__all__ = ["__version__"]
