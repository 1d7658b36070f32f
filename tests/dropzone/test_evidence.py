from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from s3sync.dropzone.evidence import (
    MAX_LINE_BYTES,
    MAX_SESSIONS,
    Event,
    LineReader,
    Renamed,
    Server,
    Transfer,
    blurred,
)
from s3sync.times import to_ns

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
AT = to_ns(datetime(2026, 11, 21, 12, 11, 56, tzinfo=UTC))
SYSLOG = b"2026-11-21T12:11:56.000000+00:00 vm internal-sftp[6029]: "
VSFTPD = b"Sat Nov 21 12:11:56 2026 [pid 8416] [games] "

NAMES = st.binary(min_size=1, max_size=200).filter(lambda name: b"\0" not in name and b"/" not in name)


def _read(*lines: bytes, reader: LineReader | None = None) -> Event | None:
    reading = reader or LineReader()
    event = None
    for line in lines:
        event = reading.read(line, NOW)
    return event


def _transfer(server: Server, path: bytes, written: int, *, complete: bool, user: bytes = b"games") -> Transfer:
    return Transfer(server=server, user=user, path=path, complete=complete, written=written, at_ns=(AT,))


def test_sftp_says_forced_close_of_what_broke_off() -> None:
    """The user is the one who opened the session of that process; a close that is not forced is complete."""
    opened = SYSLOG + b"session opened for local user games from [127.0.0.1]"
    broken = SYSLOG + b'forced close "/incoming/huge" bytes read 0 written 1827840'
    closed = SYSLOG + b'close "/incoming/huge" bytes read 0 written 28172160'

    assert _transfer(Server.SFTP, b"/incoming/huge", 1827840, complete=False) == _read(opened, broken)
    assert _transfer(Server.SFTP, b"/incoming/huge", 28172160, complete=True) == _read(opened, closed)
    assert _transfer(Server.SFTP, b"/incoming/huge", 1827840, complete=False, user=b"") == _read(broken)


def test_sftp_names_are_taken_back_to_their_bytes() -> None:
    """Odd bytes are written as vis(3) does."""
    event = _read(SYSLOG + rb'close "/in/na me_\303\251\\\001\n.txt" bytes read 0 written 3')

    assert _transfer(Server.SFTP, b"/in/na me_\xc3\xa9\\\x01\n.txt", 3, complete=True, user=b"") == event


def test_sftp_says_where_a_file_was_renamed_to() -> None:
    """Both of its words for it are understood."""
    renamed = Renamed(server=Server.SFTP, user=b"", pairs=((b"/a b", b"/c d"),))

    assert renamed == _read(SYSLOG + b'posix-rename old "/a b" new "/c d"')
    assert renamed == _read(SYSLOG + b'rename old "/a b" new "/c d"')


def test_vsftpd_says_fail_upload_of_what_broke_off() -> None:
    """In its own log, and where it writes to syslog instead."""
    broken = b'FAIL UPLOAD: Client "127.0.0.1", "/incoming/f2", 8697252 bytes, 2578.51Kbyte/sec'
    event = _transfer(Server.VSFTPD, b"/incoming/f2", 8697252, complete=False)

    assert event == _read(VSFTPD + broken)
    assert event == _read(b"2026-11-21T12:11:56.000000+00:00 vm vsftpd[8416]: [games] " + broken)
    assert event == _read(b"Nov 21 12:11:56 vm vsftpd: [games] " + broken)


def test_vsftpd_says_ok_upload_of_what_is_complete() -> None:
    """Its names are patterns."""
    event = _read(VSFTPD + b'OK UPLOAD: Client "127.0.0.1", "/incoming/f na me_??.txt", 3 bytes, 0.39Kbyte/sec')

    assert _transfer(Server.VSFTPD, b"/incoming/f na me_??.txt", 3, complete=True) == event
    assert blurred("/incoming/f na me_é.txt".encode()) == blurred(event.path)


def test_vsftpd_leaves_open_where_one_name_ends_and_the_next_begins() -> None:
    """Every way to read a rename is kept."""
    event = _read(VSFTPD + b'OK RENAME: Client "127.0.0.1", "/incoming/t /incoming/t 2"')

    pairs = ((b"/incoming/t", b"/incoming/t 2"), (b"/incoming/t /incoming/t", b"2"))
    assert Renamed(server=Server.VSFTPD, user=b"games", pairs=pairs) == event


def test_xferlog_says_i_of_what_broke_off_and_c_of_what_is_complete() -> None:
    """Downloads and what servers write besides are nothing to us."""
    line = b"Sat Nov 21 12:11:56 2026 3 127.0.0.1 8697252 /incoming/f_na_me_??.txt b _ i r games ftp 0 * "

    assert _transfer(Server.XFERLOG, b"/incoming/f_na_me_??.txt", 8697252, complete=False) == _read(line + b"i")
    assert _transfer(Server.XFERLOG, b"/incoming/f_na_me_??.txt", 8697252, complete=True) == _read(line + b"c")
    assert _read(line.replace(b"_ i r", b"_ o r") + b"i") is None


@pytest.mark.parametrize(
    "line",
    [
        VSFTPD + b'FAIL UPLOAD: Client "127.0.0.1", "/incoming/q", 0.00Kbyte/sec',
        b"Sat Nov 21 12:11:56 2026 1 127.0.0.1 0 /incoming/q b _ i r games ftp 0 * i",
    ],
)
def test_ftp_upload_without_a_byte_proves_nothing(line: bytes) -> None:
    """The servers write the same line of an upload they refused to begin, when whatever lies there may be whole."""
    assert _read(line) is None


@pytest.mark.parametrize(
    ("line", "path", "written"),
    [
        (SYSLOG + b'close "/q" bytes read 0 written 5" bytes read 0 written 3', b'/q" bytes read 0 written 5', 3),
        (
            VSFTPD + b'OK UPLOAD: Client "::1", "/q", 5 bytes, 0.0Kbyte/sec", 7 bytes, 1.0Kbyte/sec',
            b'/q", 5 bytes, 0.0Kbyte/sec',
            7,
        ),
        (
            SYSLOG + b'close "/q\\n' + SYSLOG + b'forced close "/victim" bytes read 0 written 9" bytes read 0 written 3',
            b"/q\n" + SYSLOG + b'forced close "/victim" bytes read 0 written 9',
            3,
        ),
    ],
)
def test_a_forged_line_in_a_name_is_part_of_the_name(line: bytes, path: bytes, written: int) -> None:
    """What the server wrote last counts; a name holds what it likes."""
    event = _read(line)

    assert isinstance(event, Transfer)
    assert (path, written, True) == (event.path, event.written, event.complete)


def test_a_line_that_may_have_been_cut_is_not_believed() -> None:
    """Long messages are cut by sshd, and then a name may end them as it likes."""
    forged = b'forced close "/victim" bytes read 0 written 9'
    padding = b"x" * 960

    assert _read(SYSLOG + b'close "/' + padding + forged) is None
    assert _read(b"y" * (MAX_LINE_BYTES + 1)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        SYSLOG,
        SYSLOG + b'close "/a" bytes read 0 written 99999999999999999999999',
        SYSLOG + b"sent status No such file",
        SYSLOG.replace(b"internal-sftp", b"evil") + b'forced close "/a" bytes read 0 written 3',
        SYSLOG.replace(b"2026-11-21", b"2026-13-45") + b'forced close "/a" bytes read 0 written 3',
        b'Feb 30 12:11:56 vm internal-sftp[1]: forced close "/a" bytes read 0 written 3',
        VSFTPD.replace(b"Nov 21", b"Nix 21") + b'FAIL UPLOAD: Client "127.0.0.1", "/a", 3 bytes, 1.0Kbyte/sec',
        VSFTPD.replace(b"12:11:56", b"99:99:99") + b'FAIL UPLOAD: Client "127.0.0.1", "/a", 3 bytes, 1.0Kbyte/sec',
        VSFTPD + b'OK DOWNLOAD: Client "127.0.0.1", "/a", 3 bytes, 1.0Kbyte/sec',
        VSFTPD + b'FAIL RENAME: Client "127.0.0.1", "/a /b"',
        SYSLOG + b'rename old "' + b'a" new "' * 40 + b'"',
    ],
)
def test_what_is_odd_is_no_event(line: bytes) -> None:
    """No evidence is neutral, and nothing raises."""
    assert _read(line) is None


def test_a_time_without_zone_means_each_zone_it_may_be_in() -> None:
    """It may be UTC or the host's time, and vsftpd does not say which."""
    berlin = timezone(timedelta(hours=1))
    event = _read(VSFTPD + b'FAIL UPLOAD: Client "::1", "/a", 3 bytes, 1.0Kbyte/sec', reader=LineReader((UTC, berlin)))

    assert isinstance(event, Transfer)
    assert (AT - 3600 * 10**9, AT) == event.at_ns


@pytest.mark.parametrize(("written", "year"), [(b"Nov 21", 2026), (b"Nov 22", 2026), (b"Nov 23", 2025), (b"Feb 29", 2024)])
def test_a_time_without_year_is_the_latest_that_is_no_later_than_tomorrow(written: bytes, year: int) -> None:
    """Around New Year a log still speaks of last year."""
    event = _read(written + b' 12:11:56 vm internal-sftp[1]: close "/a" bytes read 0 written 3')

    assert isinstance(event, Transfer)
    assert year == datetime.fromtimestamp(event.at_ns[0] / 1e9, UTC).year


def test_sessions_remembered_are_bounded() -> None:
    """Whoever opens sessions without end makes us forget, not grow."""
    reader = LineReader()
    for pid in range(MAX_SESSIONS + 10):
        line = b"2026-11-21T12:11:56.000000+00:00 vm internal-sftp[%d]: session opened for local user u from [::1]" % pid
        reader.read(line, NOW)

    assert MAX_SESSIONS == len(reader._users)


@given(NAMES)
@example(b'x" bytes read 0 written 7')
@example(b"\xff")
def test_every_name_comes_back_from_an_sftp_line(name: bytes) -> None:
    """As sshd writes it: what is not printable as octal, a backslash doubled."""
    shown = b"".join(b"\\\\" if byte == 0x5C else bytes([byte]) if 0x20 <= byte <= 0x7E else b"\\%03o" % byte for byte in name)
    event = _read(SYSLOG + b'forced close "/' + shown + b'" bytes read 0 written 3')

    assert isinstance(event, Transfer)
    assert b"/" + name == event.path


@given(st.binary(max_size=400))
@example(VSFTPD + b'OK RENAME: Client "::1", "' + b" " * 300 + b'"')
def test_no_line_whatsoever_raises(line: bytes) -> None:
    """Logs are somebody else's text."""
    reader = LineReader()
    for head in (b"", SYSLOG, VSFTPD, VSFTPD + b'FAIL UPLOAD: Client "::1", "', b"Sat Nov 21 12:11:56 2026 1 h "):
        reader.read(head + line, NOW)
