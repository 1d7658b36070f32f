"""A clock that only moves when told: wall time and monotonic time, apart where a test wants them apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)


class FakeClock:
    """Hand `clock.now`, `clock.monotonic` and `clock.sleep` to what asks for a clock."""

    def __init__(self, start: datetime = START) -> None:
        """Begin at `start` (aware UTC), with the monotonic clock at 1000 seconds."""
        self._wall = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """Return the wall time, aware UTC."""
        return self._wall

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Let `by` pass on both."""
        self._wall += by
        self._monotonic += by.total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once: the double of `time.sleep`."""
        self.advance(timedelta(seconds=seconds))

    def step(self, by: timedelta) -> None:
        """Set the wall clock forward or back by `by`, as NTP at boot does; the monotonic clock knows nothing of it."""
        self._wall += by
