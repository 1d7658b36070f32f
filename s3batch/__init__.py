"""Many files, one archive, found again and brought back one by one.

Of a batch's steps these live in `s3sync`, because `s3sync` does them too: judging files and noticing writers
(`s3sync.dropzone.ladder`, `s3sync.dropzone.writers`), storing and proving (`s3sync.store.stored`, `s3sync.store.proof`), and
releasing originals (`s3sync.dropzone.release`); settings, failures, events and the state database are at its root. Here:
`pack` (candidates into archives), `catalogue` (which archive holds a member), `restore` (members brought back), `operate` (what
an operator asks), and `app`, which wires them together.
"""

from s3sync import __version__

__all__ = ["__version__"]
