"""Candidates cut into lots: a few small files that one worker takes together, since each costs less in company. Pure.

A lot is one bucket's, so that whatever is learnt of the bucket is learnt before the next lot. It ends before it is large: one
file's failure costs only itself, but its neighbours wait while it is tried again. Towards the end of the stream lots become
smaller, so that no worker is idle while another has a row of files before it; a single file is a lot too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from s3sync.dropzone.candidate import Candidate

LOT_FILES = 16
"""Eight share nearly as well; with more, files only wait longer for each other."""
LOT_BYTES = 1 << 20
OPEN_FILES = 256
"""How many all workers together hold open: half of what many systems allow a process is left for everything else."""


def in_lots(candidates: Iterable[Candidate], *, workers: int) -> Iterator[list[Candidate]]:
    """Yield all of `candidates` in their order, for `workers` that take one lot each at a time."""
    most = max(1, min(LOT_FILES, OPEN_FILES // workers))
    stream = iter(candidates)
    ahead: deque[Candidate] = deque()
    while True:
        ahead.extend(islice(stream, workers * most - len(ahead)))
        if not ahead:
            return
        yield _cut(ahead, -(-len(ahead) // workers))


def _cut(ahead: deque[Candidate], most: int) -> list[Candidate]:
    """Take the next lot off `ahead`, of at most so many files."""
    lot = [ahead.popleft()]
    size = lot[0].identity.size
    while ahead and len(lot) < most and ahead[0].bucket == lot[0].bucket:
        size += ahead[0].identity.size
        if size > LOT_BYTES:
            break
        lot.append(ahead.popleft())
    return lot
