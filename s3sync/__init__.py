"""One file, one object: judge files in a drop zone, store them in S3, prove it, release the originals.

The rooms: `dropzone` (files on disk), `store` (objects in S3), `transfer` (one file on its way from the one to the other),
`observe` (who is told). `s3batch` builds on this package and is never imported by it.
"""

__version__ = "0.1.0"
"""The version of both programs, the same as in pyproject.toml."""
