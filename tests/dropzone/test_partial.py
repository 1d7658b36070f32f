from __future__ import annotations

import pytest

from s3sync.dropzone.evidence import Renamed, Server, Transfer
from s3sync.dropzone.partial import MOST_PARTS, SLACK_NS, STALLED_NS, Broken, BrokenUploads, Key

AT = 1_800_000_000 * 10**9
HOUR = 3600 * 10**9


def _ended(
    path: bytes,
    written: int,
    *,
    complete: bool = False,
    server: Server = Server.SFTP,
    user: bytes = b"alice",
    at: int = AT,
) -> Transfer:
    return Transfer(server=server, user=user, path=path, complete=complete, written=written, at_ns=(at,))


def _renamed(*pairs: tuple[bytes, bytes], server: Server = Server.SFTP) -> Renamed:
    return Renamed(server=server, user=b"alice", pairs=pairs)


def _learnt(*events: Transfer | Renamed) -> BrokenUploads:
    broken = BrokenUploads()
    for event in events:
        broken.learn(event)
    return broken


@pytest.mark.parametrize("name", [b"x y", b"caf\xe9", b"x", b"other"])
def test_what_is_not_suspected_nothing_stands_against(name: bytes) -> None:
    """Names are compared as the least exact of the logs writes them; with nothing learnt, none is suspected."""
    learnt = _learnt(_ended(b"/bucket/x y", 5), _ended(b"/bucket/caf?", 5, server=Server.VSFTPD))

    assert learnt.suspects(name) or learnt.standing(b"bucket/" + name, 5, AT) is None
    assert (name in {b"x y", b"caf\xe9"}) is learnt.suspects(name)
    assert not _learnt().suspects(name)


def test_a_broken_off_upload_stands_against_its_file() -> None:
    """Who, when and after how much is said."""
    detail = _learnt(_ended(b"/bucket/a/x", 5)).standing(b"bucket/a/x", 5, AT)

    assert "the sftp log says that its upload by alice broke off at 2027-01-15T08:00:00Z after 5 bytes" == detail


@pytest.mark.parametrize(
    ("logged", "lies"),
    [
        (b"/x", b"bucket/x"),
        (b"x", b"bucket/x"),
        (b"/a/x", b"bucket/a/x"),
        (b"/bucket/a/x", b"bucket/a/x"),
        (b"//a/./b/../x", b"bucket/a/x"),
        (b"/srv/drop/bucket/a/x", b"bucket/a/x"),
        (b"/incoming/2026/x", b"bucket/alice/2026/x"),
        (b"/incoming/x", b"bucket/alice/x"),
    ],
)
def test_a_path_seen_from_inside_a_chroot_is_the_end_of_the_file_s_own(logged: bytes, lies: bytes) -> None:
    """Whatever the chroot is, nobody has to tell us; a mount in it may have another name."""
    assert _learnt(_ended(logged, 5)).standing(lies, 5, AT)


@pytest.mark.parametrize(
    ("logged", "lies"),
    [
        (b"/x", b"bucket/ax"),
        (b"/b/x", b"bucket/a/y"),
        (b"/deep/b/x", b"bucket/x"),
        (b"/a/b/x", b"bucket/c/b/y"),
        (b"/a/c/x", b"bucket/a/x"),
        (b"", b"bucket/x"),
        (b"/", b"bucket/x"),
    ],
)
def test_another_folder_is_another_file(logged: bytes, lies: bytes) -> None:
    """Only the first folder of a logged path may be called differently."""
    assert _learnt(_ended(logged, 5)).standing(lies, 5, AT) is None


@pytest.mark.parametrize(
    ("size", "mtime_ns"),
    [(4, AT), (6, AT), (5, AT + SLACK_NS + 1), (5, AT - STALLED_NS - 1), (5, 10**18)],
)
def test_another_size_or_time_is_another_state_of_the_file(size: int, mtime_ns: int) -> None:
    """What was written to after the upload broke off, or long before, is not what it left."""
    assert _learnt(_ended(b"/x", 5)).standing(b"bucket/x", size, mtime_ns) is None


def test_an_empty_file_is_partial_only_under_the_whole_logged_path() -> None:
    """Empty marker files of one name are common, and there is nothing to compare."""
    broken = _learnt(_ended(b"/a/done", 0))

    assert broken.standing(b"bucket/a/done", 0, AT)
    assert broken.standing(b"bucket/b/done", 0, AT) is None


def test_the_log_s_blurred_names_fit_whatever_they_may_mean() -> None:
    """A question mark stands for each odd byte, in xferlog an underscore for a space as well."""
    name = "bucket/f na me_é.txt".encode()

    assert _learnt(_ended(b"/f na me_??.txt", 5, server=Server.VSFTPD)).standing(name, 5, AT)
    assert _learnt(_ended(b"/f_na_me_??.txt", 5, server=Server.XFERLOG)).standing(name, 5, AT)
    assert _learnt(_ended(b"/f_na_me_??.txt", 5)).standing(name, 5, AT) is None


def test_a_resumed_upload_that_breaks_off_again_still_stands() -> None:
    """Each attempt is logged with what it wrote itself; begun anew, only the last one counts."""
    broken = _learnt(_ended(b"/x", 5), _ended(b"/x", 3, at=AT + HOUR), _ended(b"/x", 2, at=AT + 2 * HOUR))

    sizes = [size for size in range(20) if broken.standing(b"bucket/x", size, AT + 2 * HOUR)]
    assert [2, 5, 10] == sizes


def test_what_was_finished_does_not_stand_any_more() -> None:
    """Also where nothing was missing but the end of the connection, so that size and time are the same."""
    broken = _learnt(_ended(b"/x", 5), _ended(b"/x", 0, complete=True))

    assert broken.standing(b"bucket/x", 5, AT) is None
    assert 0 == len(broken)


@pytest.mark.parametrize(("user", "stands"), [(b"alice", False), (b"", False), (b"bob", True)])
def test_another_customer_s_success_says_nothing(user: bytes, stands: bool) -> None:
    """In chroots of their own two customers use one path."""
    broken = _learnt(_ended(b"/data.csv", 5), _ended(b"/data.csv", 5, complete=True, user=user))

    assert stands is bool(broken.standing(b"bucket/alice/data.csv", 5, AT))


def test_evidence_follows_a_rename() -> None:
    """A half file does not become whole by another name."""
    broken = _learnt(_ended(b"/x.filepart", 5), _renamed((b"/x.filepart", b"/x")))

    assert broken.standing(b"bucket/x", 5, AT)
    assert broken.standing(b"bucket/x.filepart", 5, AT) is None


def test_of_several_readings_of_a_rename_the_one_that_is_known_counts() -> None:
    """A log without quotes around each name leaves several open."""
    pairs = ((b"/a", b"/b /a b"), (b"/a /b", b"/a b"))
    broken = _learnt(_ended(b"/a /b", 5, server=Server.VSFTPD), _renamed(*pairs, server=Server.VSFTPD))

    assert broken.standing(b"bucket/a b", 5, AT)


def test_what_is_remembered_is_bounded() -> None:
    """The oldest goes first, of uploads and of attempts."""
    broken = BrokenUploads(most=3)
    for number in range(5):
        broken.learn(_ended(b"/%d" % number, 5))
    for _ in range(MOST_PARTS + 5):
        broken.learn(_ended(b"/4", 1))

    assert [b"/2", b"/3", b"/4"] == sorted(one.key.path for one in broken)
    assert MOST_PARTS == len(next(one for one in broken if one.key.path == b"/4").parts)


def test_changes_are_what_a_store_lacks() -> None:
    """What came and went in between is none; what a store has and is over is told once."""
    key = Key(Server.SFTP, b"alice", b"/known")
    broken = BrokenUploads([Broken(key=key, parts=(5,), at_ns=(AT,))])
    broken.learn(_ended(b"/new", 5))
    broken.learn(_ended(b"/gone", 5))
    broken.learn(_ended(b"/gone", 5, complete=True))
    broken.learn(_ended(b"/known", 5, complete=True))

    new = Key(Server.SFTP, b"alice", b"/new")
    assert {key: None, new: Broken(key=new, parts=(5,), at_ns=(AT,))} == broken.changes()
    assert {} == broken.changes()


def test_changes_stay_bounded_however_much_breaks_off() -> None:
    """A hostile log cannot make the next transaction grow."""
    broken = BrokenUploads(most=3)
    for number in range(1000):
        broken.learn(_ended(b"/%d" % number, 5))

    assert 3 == len(broken.changes())
