r"""What a server's own log says of uploads: begun and finished, or broken off. Only the log can tell.

A client that dies leaves half a file under its final name, closed like any other. Read here: sshd's `internal-sftp -l INFO`
(`close` and `forced close`, by way of syslog), `vsftpd.log` (`OK UPLOAD`, `FAIL UPLOAD`) and `xferlog` (its last field, `c` or
`i`), and what they say of renames. One line in, at most one event out; state is kept only of who opened which sftp session.

Paths in these lines were chosen by uploaders. So a line is believed only if all of it has the shape its server gives it, the
name is taken up to the *last* place where the rest of the shape fits (a name may hold quotes, spaces and whole forged lines),
and an sftp line so long that sshd may have cut it is not believed. What is odd is no event: no evidence is neutral.

What logs cannot say: vsftpd writes `?` for every byte that is not printable ASCII, and xferlog `_` for a space besides, so
their names are patterns. Both call an upload they refused to begin broken off too, with no bytes; so without bytes they are
not believed. Some times come without a year or a zone: every instant such a time may mean is kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from s3sync.times import to_ns

MAX_LINE_BYTES = 8192
"""A longer line is none that these servers write."""

MAX_SFTP_MESSAGE_BYTES = 1000
"""sshd cuts a message at 1023 bytes; from here on the end of a message may be the middle of a name."""

MAX_SESSIONS = 10_000


class Server(StrEnum):
    """Which server's words a line is in."""

    SFTP = "sftp"
    VSFTPD = "vsftpd"
    XFERLOG = "xferlog"

    @property
    def exact(self) -> bool:
        """Whether it writes names byte by byte; otherwise they are patterns, see `blurred`."""
        return self is Server.SFTP


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One upload that ended."""

    server: Server
    user: bytes
    """Empty where the log does not say who."""
    path: bytes
    """As the client named it, seen from inside its chroot."""
    complete: bool
    written: int
    """Bytes of this transfer alone: of a resumed one only the rest."""
    at_ns: tuple[int, ...]
    """When; several where the log leaves open which zone or year it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """A file got another name, or a place over which nothing broken off lies any more."""

    server: Server
    user: bytes
    pairs: tuple[tuple[bytes, bytes], ...]
    """Old and new path; several where the log leaves open where the one ends and the other begins."""


Event = Transfer | Renamed


def blurred(path: bytes) -> bytes:
    """Return `path` as the least exact of the logs would write it: equal results mean that the names may be the same."""
    return path.translate(_BLUR)


_BLUR = bytes(ord("_") if byte == ord(" ") else byte if ord(" ") < byte <= ord("~") else ord("?") for byte in range(256))


class LineReader:
    """Reads lines of one log, in order."""

    def __init__(self, zones: Sequence[tzinfo] = (UTC,)) -> None:
        """`zones` are those a time without one may be in: vsftpd's own is UTC, syslog's the host's."""
        self._zones = tuple(dict.fromkeys(zones))
        self._users: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()
        """Who opened the sftp session of a host and process number."""

    def read(self, line: bytes, now: datetime) -> Event | None:
        """Return what a line says, without its line end; None where it says nothing of uploads or cannot be believed.

        `now` tells the year where the line does not.
        """
        if len(line) > MAX_LINE_BYTES:
            return None
        try:
            return self._sftp(line, now) or self._vsftpd(line, now) or self._xferlog(line)
        except (ValueError, OverflowError):  # a time or a number that cannot be
            return None

    def _sftp(self, line: bytes, now: datetime) -> Event | None:
        found = _SFTP.match(line)
        if found is None or len(line) - found.end() > MAX_SFTP_MESSAGE_BYTES:
            return None
        session, message = (found["host"], found["pid"]), line[found.end() :]
        if opened := _OPENED.fullmatch(message):
            self._remember(session, opened["user"])
            return None
        user = self._users.get(session, b"")
        if closed := _CLOSED.fullmatch(message):
            return Transfer(
                server=Server.SFTP,
                user=user,
                path=_unescaped(closed["path"]),
                complete=closed["forced"] is None,
                written=int(closed["written"]),
                at_ns=self._instants(found, now),
            )
        if renamed := _SFTP_RENAMED.fullmatch(message):
            pairs = tuple((_unescaped(old), _unescaped(new)) for old, new in _splits(renamed["both"], b'" new "'))
            return Renamed(server=Server.SFTP, user=user, pairs=pairs) if pairs else None
        return None

    def _vsftpd(self, line: bytes, now: datetime) -> Event | None:
        found = _VSFTPD.match(line)
        if found is None:
            return None
        message = line[found.end() :]
        if found["what"] == b"RENAME":
            both = _VSFTPD_RENAMED.fullmatch(message)
            pairs = () if both is None or found["outcome"] != b"OK" else tuple(_splits(both["both"], b" "))
            return Renamed(server=Server.VSFTPD, user=found["user"], pairs=pairs) if pairs else None
        moved = _VSFTPD_MOVED.fullmatch(message)
        if moved is None:
            return None
        return _believed(
            Transfer(
                server=Server.VSFTPD,
                user=found["user"],
                path=moved["path"],
                complete=found["outcome"] == b"OK",
                written=int(moved["written"] or 0),
                at_ns=self._instants(found, now),
            )
        )

    def _xferlog(self, line: bytes) -> Event | None:
        found = _XFERLOG.fullmatch(line)
        if found is None:
            return None
        return _believed(
            Transfer(
                server=Server.XFERLOG,
                user=found["user"],
                path=found["path"],
                complete=found["outcome"] == b"c",
                written=int(found["written"]),
                at_ns=self._in_zones(_with_year(found["dated"])),
            )
        )

    def _remember(self, session: tuple[bytes, bytes], user: bytes) -> None:
        self._users[session] = user
        self._users.move_to_end(session)
        if len(self._users) > MAX_SESSIONS:
            self._users.popitem(last=False)

    def _instants(self, found: re.Match[bytes], now: datetime) -> tuple[int, ...]:
        written = found.groupdict()
        if zoned := written["zoned"]:
            return (to_ns(datetime.fromisoformat(zoned.decode("ascii"))),)
        if dated := written.get("dated"):
            return self._in_zones(_with_year(dated))
        return self._in_zones(_without_year(written["undated"], now))

    def _in_zones(self, local: datetime) -> tuple[int, ...]:
        return tuple(sorted({to_ns(local.replace(tzinfo=zone)) for zone in self._zones}))


_DATED = rb"(?P<dated>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})"
_SYSLOG = (
    rb"(?:(?P<zoned>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?(?:Z|[+-]\d\d:\d\d))"
    rb"|(?P<undated>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)) (?P<host>\S+) "
)
_SFTP = re.compile(_SYSLOG + rb"(?:internal-sftp|sftp-server)\[(?P<pid>\d+)\]: ")
_OPENED = re.compile(rb"session opened for local user (?P<user>\S+) from \[[^\]]*\]")
_CLOSED = re.compile(rb'(?P<forced>forced )?close "(?P<path>.*)" bytes read \d+ written (?P<written>\d{1,18})')
_SFTP_RENAMED = re.compile(rb'(?:posix-)?rename old "(?P<both>.*)"')
_VSFTPD = re.compile(
    rb"(?:" + _DATED + rb" \[pid \d+\]|" + _SYSLOG + rb"vsftpd(?:\[\d+\])?:)"
    rb" \[(?P<user>[^\]]*)\] (?P<outcome>OK|FAIL) (?P<what>UPLOAD|RENAME): Client \"[0-9A-Fa-f:.]+\", "
)
_VSFTPD_MOVED = re.compile(rb'"(?P<path>.*)"(?:, (?P<written>\d{1,18}) bytes)?, [\d.]+Kbyte/sec')
_VSFTPD_RENAMED = re.compile(rb'"(?P<both>.*)"')
_XFERLOG = re.compile(
    _DATED + rb" \d+ \S+ (?P<written>\d{1,18}) (?P<path>\S+) [ab] \S+ i [agr] (?P<user>\S+) \S+ [01] \S+ (?P<outcome>[ci])"
)


def _believed(transfer: Transfer) -> Transfer | None:
    """Leave out a transfer that broke off without a byte: this server says the same of one it refused to begin."""
    return transfer if transfer.complete or transfer.written else None


def _splits(both: bytes, between: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield every way in which `both` may be two paths; beyond a few nobody can tell."""
    parts = both.split(between)
    if len(parts) <= _MOST_SPLITS:
        for at in range(1, len(parts)):
            yield between.join(parts[:at]), between.join(parts[at:])


_MOST_SPLITS = 16


def _unescaped(path: bytes) -> bytes:
    r"""Return the raw bytes of a path in sshd's `vis(3)` writing: `\\`, `\n`, `\303`."""
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1]) or bytes([int(found[1], 8) & 0xFF]), path)


_ESCAPE = re.compile(rb"\\([0-7]{3}|[\\nrbavtfs0])")
_ESCAPES = {
    b"\\": b"\\",
    b"n": b"\n",
    b"r": b"\r",
    b"b": b"\b",
    b"a": b"\a",
    b"v": b"\v",
    b"t": b"\t",
    b"f": b"\f",
    b"s": b" ",
    b"0": b"\0",
}

_MONTHS = {name: at for at, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)}


def _with_year(dated: bytes) -> datetime:
    """Read `Sat Nov 21 12:13:09 2026`. Raises `ValueError`."""
    _, month, day, clock, year = dated.split()
    return _moment(int(year), month, day, clock)


def _without_year(undated: bytes, now: datetime) -> datetime:
    """Read `Nov 21 12:13:09`: the latest such moment that is not after tomorrow. Raises `ValueError`."""
    month, day, clock = undated.split()
    tomorrow = now.replace(tzinfo=None) + timedelta(days=1)
    for year in range(tomorrow.year, tomorrow.year - 5, -1):  # the 29th of February comes every four years
        try:
            moment = _moment(year, month, day, clock)
        except ValueError:
            continue
        if moment <= tomorrow:
            return moment
    raise ValueError(undated)


def _moment(year: int, month: bytes, day: bytes, clock: bytes) -> datetime:
    hour, minute, second = (int(part) for part in clock.split(b":"))
    return datetime(year, _month(month), int(day), hour, minute, min(second, 59))  # noqa: DTZ001 - the zone is not known here


def _month(name: bytes) -> int:
    if name not in _MONTHS:
        raise ValueError(name)
    return _MONTHS[name]
