"""Where a search stopped, in text that goes on in any catalogue."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from s3sync import keys
from s3sync.errors import Usage

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last member that was read, by what no catalogue changes: so it goes on in another one, or after a rebuild."""

    created: int
    """Microseconds since 1970."""
    batch: str
    bucket: str
    ordinal: int

    def written(self) -> str:
        """Return it as a page's `next`."""
        text = json.dumps([self.created, self.batch, self.bucket, self.ordinal], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, written: str) -> Cursor:
        """Return the cursor of a page's `next`. Raises `Usage` where it is none."""
        try:
            fields = json.loads(base64.urlsafe_b64decode(written + "=" * (-len(written) % 4)))
        except (binascii.Error, ValueError):
            fields = None
        match fields:
            case [int(created), str(batch), str(bucket), int(ordinal)] if max(abs(created), abs(ordinal)) < _MOST:
                return cls(created, batch, bucket, ordinal)
        raise Usage(keys.printable(written), "is no cursor of a search", "Give the `next` of the page before, unchanged")
