"""When a file has been quiet long enough, by its ctime alone.

The kernel sets ctime at every write, chmod and rename, and no user can set it back, so one look is enough and nothing is
remembered per waiting file. Two things make that arithmetic lie, and both are met here. A *step* of the wall clock (NTP at
boot) is seen by comparing it with the monotonic clock between passes: the quiet period then begins anew for everybody. A ctime
far in the *future* (the clock was wrong when the file came) would never grow old: such a file counts from when it was first
seen, by the monotonic clock. That memory is bounded; what does not fit waits until an earlier one is gone, so all of them pass
in turn.

Where no lease can tell that nobody writes, quiet has to say more and takes `DEGRADED_FACTOR` times as long.
"""

from __future__ import annotations

from datetime import timedelta

from s3sync.dropzone.candidate import FileId

DEGRADED_FACTOR = 4
STEP_NS = 5_000_000_000
"""A change of the offset between wall clock and monotonic clock above this is a step; slewing stays far below it."""

MAX_REMEMBERED = 10_000


class QuietClock:
    """Tells how long a file still has to rest. One for the life of an agent; `begin_pass` before each scan."""

    def __init__(self, period: timedelta, *, max_remembered: int = MAX_REMEMBERED) -> None:
        """`period` is how long nothing may have happened to a file."""
        self.period_ns = round(period.total_seconds() * 1e9)
        self._wall_ns = 0
        self._monotonic_ns = 0
        self._offset_ns: int | None = None
        self._stepped_ns: int | None = None
        """When, by the monotonic clock, the last step was noticed."""
        self._first_seen: dict[tuple[FileId, int], int] = {}
        self._seen_before: dict[tuple[FileId, int], int] = {}
        self._max_remembered = max_remembered
        self._soonest_ns: int | None = None
        self.surely_quiet_ns = 0
        """A file with an earlier ctime has rested enough in any case; saves a scan most of its arithmetic."""
        self.surely_young_ns = (0, 0)
        """A file with a later ctime than the first, and none later than the second, has to rest in any case."""

    def begin_pass(self, *, wall_ns: int, monotonic_ns: int) -> bool:
        """Take the time all of this pass is judged by; tell whether the wall clock has stepped since the last one."""
        offset_ns = wall_ns - monotonic_ns
        stepped = self._offset_ns is not None and abs(offset_ns - self._offset_ns) > STEP_NS
        if stepped:
            self._stepped_ns = monotonic_ns
        self._wall_ns, self._monotonic_ns, self._offset_ns = wall_ns, monotonic_ns, offset_ns
        self._seen_before, self._first_seen = self._first_seen, {}
        self._soonest_ns = None
        long_ns = self.period_ns * DEGRADED_FACTOR
        since_step_ns = long_ns if self._stepped_ns is None else monotonic_ns - self._stepped_ns
        self.surely_quiet_ns = wall_ns - long_ns if since_step_ns >= long_ns else 0
        self.surely_young_ns = (wall_ns - self.period_ns, wall_ns + self.period_ns)
        return stepped

    def remaining_ns(self, file_id: FileId, ctime_ns: int, *, leased: bool) -> int:
        """Return how long the file still has to rest, 0 for none; `leased`: a lease can tell whether anybody writes it."""
        period_ns = self.period_ns if leased else self.period_ns * DEGRADED_FACTOR
        rested_ns = self._wall_ns - ctime_ns
        if rested_ns < -period_ns:
            rested_ns = self._rested_since_first_seen(file_id, ctime_ns)
        elif self._stepped_ns is not None:
            rested_ns = min(rested_ns, self._monotonic_ns - self._stepped_ns)
        if rested_ns >= period_ns:
            return 0
        remaining_ns = period_ns - rested_ns
        if self._soonest_ns is None or remaining_ns < self._soonest_ns:
            self._soonest_ns = remaining_ns
        return remaining_ns

    @property
    def soonest_seconds(self) -> float | None:
        """After how many seconds the first of those asked about in this pass will have rested; None where all have."""
        return None if self._soonest_ns is None else self._soonest_ns / 1e9

    def _rested_since_first_seen(self, file_id: FileId, ctime_ns: int) -> int:
        state = (file_id, ctime_ns)
        first_ns = self._seen_before.get(state)
        if first_ns is None:
            first_ns = self._monotonic_ns
        if len(self._first_seen) < self._max_remembered:
            self._first_seen[state] = first_ns
        return self._monotonic_ns - first_ns
