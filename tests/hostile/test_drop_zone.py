"""Drop zones made by somebody who means it ill: whatever lies there, good files get through and nothing leaks or dies."""

from __future__ import annotations

import io
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from s3sync.keys import printable
from s3sync.observe.lines import LogFormat
from s3sync.observe.logs import LogListener
from s3sync.store.contract import ObjectRef
from tests.pack.conftest import Bench, Make
from tests.support import files

CANARY = b"root:canary:what nobody may ever archive"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Return a folder outside the drop zone with a file that must never be read into an archive or removed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(CANARY)
    return folder


def contents(bench: Bench, *, but: Collection[str] = ()) -> list[tuple[str, bytes]]:
    """Return key and bytes of every member of every archive in S3, `but` those archives."""
    found = []
    for bucket in ("bucket", "other"):
        for key in bench.store.keys(bucket):
            if key.endswith(".tar") and key not in but:
                with tarfile.open(fileobj=io.BytesIO(bench.store.data(ObjectRef(bucket, key)))) as tar:
                    found += [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]  # regular
    return found


NAMES = {
    "long": "n" * 255,
    "option": "--checkpoint-action=exec=sh",
    "dash": "-rf",
    "space": " leading and trailing ",
    "newline": "line\nbreak",
    "carriage return": "over\rwritten",
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "bell": "\x07",
    "right to left": "invoice\u202efdp.exe",
    "quote": "'\"`$(touch owned)",
    "glob": "*?[a-z]",
    "percent": "%s%n%d{0}",
    "backslash": "a\\b\\n",
    "not UTF-8": os.fsdecode(b"caf\xe9\xff"),
    "tilde": "~root",
    "tar's own": "@LongLink",
    "PAX": "PaxHeaders.0",
    "NFD": "e\u0301",
    "unicode": "\U0001f4e6 päckchen",
}


def test_odd_names_go_all_the_way_and_no_message_carries_them_raw(bench: Bench) -> None:
    """Names that mean something to a shell, a terminal, tar or printf are names: archived byte for byte, shown harmless."""
    for name in NAMES.values():
        bench.drop(f"folder/{name}", os.fsencode(name))
    log = io.StringIO()
    bench.run()
    for event in bench.events:
        LogListener(stream=log, log_format=LogFormat.TEXT)(event)

    assert {os.fsencode(f"folder/{name}"): 1 for name in NAMES.values()} == bench.found()
    assert {} == files(bench.root)
    assert log.getvalue().replace("\n", "") == printable(log.getvalue().replace("\n", ""))
    assert sorted(NAMES.values()) == sorted(name.removeprefix("folder/") for name, _ in contents(bench))


def test_what_is_no_regular_file_is_left_and_never_opened(bench: Bench, canary: Path) -> None:
    """Links, FIFOs, sockets and devices are held by name; a FIFO nobody reads hangs nobody."""
    folder = bench.drop("folder/good").parent
    (folder / "link").symlink_to(canary / "file")
    (folder / "folder-link").symlink_to(canary)
    (folder / "dangling").symlink_to("/nowhere")
    (folder / "loop").symlink_to("loop")
    (bench.root / "linked-bucket").symlink_to(canary)
    os.mkfifo(folder / "fifo")
    if os.geteuid() == 0:
        os.mknod(folder / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(folder / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    here = os.getcwd()
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        os.chdir(here)
        tally = bench.run()

    assert [("folder/good", b"content")] == contents(bench)
    assert 5 == tally.left["symlink"]
    assert (1, 1) == (tally.left["fifo"], tally.left["socket"])
    assert CANARY == (canary / "file").read_bytes()


@pytest.mark.parametrize(
    "name", ["..evil", "UPPER", "a", "x" * 64, "1.2.3.4", "under_score", "-rf", "sp ace", "\x1b[2J", "xn--a"]
)
def test_bad_bucket_names_are_held_with_everything_in_them(bench: Bench, name: str) -> None:
    """A first-level folder that cannot name a bucket is held whole; the others go on."""
    bench.drop("file", bucket=name)
    bench.drop("file", b"good")
    tally = bench.run()

    assert [("file", b"good")] == contents(bench)
    assert 1 == tally.left["bucket_name"]


def test_hard_links_across_buckets_are_archived_for_each(bench: Bench) -> None:
    """One file with a name in each of two buckets is archived for both and removed under both names."""
    place = bench.drop("file", b"shared")
    os.link(place, bench.root / "other/file")
    for _ in range(3):
        bench.run()

    assert [("file", b"shared")] * 2 == contents(bench)
    assert {} == files(bench.root)


def test_paths_longer_than_the_kernel_takes(bench: Bench, tmp_path: Path) -> None:
    """A tree deeper than PATH_MAX, in keys longer than S3 takes, holds nobody up and is told by its first folder."""
    bench.drop("good")
    depth = 0
    fd = os.open(bench.root / "bucket", os.O_RDONLY)
    while depth < 30:
        os.mkdir("d" * 200, dir_fd=fd)
        fd, outer = os.open("d" * 200, os.O_RDONLY, dir_fd=fd), fd
        os.close(outer)
        depth += 1
        with open(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
            file.write(b"deep")
    os.close(fd)
    tally = bench.run()

    assert (5, 1) == (sum(content == b"deep" for _, content in contents(bench)), tally.left["key_too_long"])
    assert (b"good", 1) in bench.found().items()


def test_folder_that_goes_while_it_is_scanned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder removed between listing and reading is passed over, and the next ones are archived."""
    for number in range(5):
        bench.drop(f"{number}/file")
    real = os.stat

    def gone(path: object, **words: object) -> os.stat_result:
        if path == b"file" and (bench.root / "bucket/2").exists():
            shutil.rmtree(bench.root / "bucket/2")
        return real(path, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", gone)
    tally = bench.run()

    assert (4, []) == (tally.files, tally.errors)
    assert {} == files(bench.root)


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(make: Make) -> None:
    """One folder with 100,000 files goes through in one pass."""
    bench = make()
    folder = bench.root / "bucket/crowded"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"{number}", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)
    tally = bench.run()

    assert (100_000, 100, 100_000) == (tally.files, tally.archives, tally.released)
    assert {} == files(bench.root)


Act = Callable[[Path, Path], object]


def _write(path: Path, content: bytes = b"new") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb", opener=_at_once) as file:
        file.write(content)


def _append(path: Path) -> None:
    with open(path, "ab", opener=_at_once) as file:
        file.write(b"more")


def _truncate(path: Path) -> None:
    with open(path, "r+b", opener=_at_once) as file:
        file.truncate(1)


def _at_once(path: str, flags: int) -> int:
    """Open a file as a client does, but fail where that would wait: for a lease of ours, or for the reader of a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _rename_over(path: Path) -> None:
    beside = path.with_name(".beside")
    _write(beside, b"renamed over")
    beside.rename(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _replace(path: Path, make_it: Callable[[], object]) -> None:
    _remove(path)
    make_it()


ACTS: dict[str, Act] = {
    "write anew": lambda path, _: _write(path),
    "rename over": lambda path, _: _rename_over(path),
    "truncate": lambda path, _: _truncate(path),
    "append": lambda path, _: _append(path),
    "chmod": lambda path, _: path.chmod(0o640),
    "forge the time": lambda path, _: os.utime(path, (1, 1)),
    "remove": lambda path, _: _remove(path),
    "replace by a link": lambda path, canary: _replace(path, lambda: path.symlink_to(canary / "file")),
    "replace by a folder": lambda path, _: _replace(path, path.mkdir),
    "replace by a FIFO": lambda path, _: _replace(path, lambda: os.mkfifo(path)),
    "link to the other bucket": lambda path, _: os.link(path, path.parents[2] / "other" / os.urandom(4).hex()),
    "folder becomes a link": lambda path, canary: _replace(path.parent, lambda: path.parent.symlink_to(canary)),
    "folder renamed": lambda path, _: path.parent.rename(path.parents[1] / os.urandom(4).hex()),
}

THROUGH_LINKS = {"write anew", "truncate", "append", "chmod", "forge the time"}
"""Acts that do to a link's target what they are to do to a file."""


def _leads_out(path: Path, root: Path, name: str) -> bool:
    """Tell whether an act would reach out of the drop zone by a link planted before: a client in a chroot cannot."""
    followed = path if name in THROUGH_LINKS else path.parent
    return not followed.resolve().is_relative_to(root.resolve())


PLANS = st.lists(
    st.tuples(
        st.sampled_from(sorted(ACTS)),
        st.sampled_from(["a/file", "a/other", "b/file", "b/c-file"]),
        st.sampled_from(["open", "pread", "readv", "unlink", "rename", "fstat", "stat", "between"]),
        st.integers(1, 40),
    ),
    max_size=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plan=PLANS)
@example(plan=[("folder becomes a link", "a/file", "open", 1), ("append", "a/file", "open", 2)])
@example(plan=[("replace by a link", "a/file", "open", 1), ("truncate", "a/file", "open", 3)])
@pytest.mark.slow
def test_whatever_a_writer_does_at_whatever_moment(
    make: Make, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: list[tuple[str, str, str, int]]
) -> None:
    """Acts of a hostile writer at chosen system calls of a pass: no torn member, nothing from outside, no batch that fails."""
    with suppress(FileNotFoundError):
        shutil.rmtree(tmp_path / "zone")
        shutil.rmtree(tmp_path / "spool")
    for leftover in tmp_path.glob("*.db*"):
        leftover.unlink()
    (tmp_path / "zone/bucket").mkdir(parents=True)
    (tmp_path / "zone/other").mkdir()
    bench = make()
    already = {key for bucket in ("bucket", "other") for key in bench.store.keys(bucket)}
    whole = {b""}
    keys = ["a/file", "a/other", "b/file", "b/c-file"]
    for key in keys:
        bench.drop(key, key.encode() * 50)
        whole.add(key.encode() * 50)
    with _acting(bench, canary, plan, monkeypatch) as seen:
        bench.run()
    for _ in range(3):
        bench.run()
    archived = contents(bench, but=already)

    assert CANARY == (canary / "file").read_bytes()
    assert CANARY not in [content for _, content in archived]
    for _, content in archived:
        assert content in whole | seen, plan
    assert not bench.told("step_failed"), plan


class _acting:  # noqa: N801 - read as a verb
    """Do what a plan says at the n-th call of a kind; `seen` collects every content a file had after an act."""

    def __init__(
        self, bench: Bench, canary: Path, plan: list[tuple[str, str, str, int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._bench, self._canary, self._plan = bench, canary, list(plan)
        self._patches = monkeypatch.context()
        self._counts: dict[str, int] = {}
        self._busy = False
        self.seen: set[bytes] = set()

    def __enter__(self) -> set[bytes]:
        patches = self._patches.__enter__()
        for call in ("open", "pread", "readv", "unlink", "rename", "fstat", "stat"):
            patches.setattr(os, call, self._counting(call, getattr(os, call)))
        return self.seen

    def __exit__(self, *error: object) -> None:
        self._patches.__exit__(None, None, None)

    def _counting(self, call: str, real: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **words: object) -> object:
            if not self._busy:
                self._counts[call] = self._counts.get(call, 0) + 1
                self._act(call)
            return real(*args, **words)

        return counted

    def _act(self, call: str) -> None:
        self._busy = True
        try:
            for step in [step for step in self._plan if step[2] == call and step[3] == self._counts[call]]:
                path = self._bench.root / "bucket" / step[1]
                with suppress(OSError):
                    if not _leads_out(path, self._bench.root, step[0]):
                        ACTS[step[0]](path, self._canary)
                self.seen.update(files(self._bench.root).values())
        finally:
            self._busy = False


@pytest.fixture
def swapper(tmp_path: Path, canary: Path) -> Iterator[Callable[[Path], None]]:
    """Swap folders for links to the canary's, and back, as fast as it goes, until the test ends."""
    stop, threads = threading.Event(), []

    def swap(folder: Path) -> None:
        aside, link = folder.with_name(f"{folder.name}.aside"), folder.with_name(f"{folder.name}.link")
        link.symlink_to(canary)
        chance = random.Random(0)
        while not stop.is_set():
            with suppress(OSError):
                folder.rename(aside)
                link.rename(folder)
                for _ in range(chance.randrange(50)):
                    pass
                folder.rename(link)
                aside.rename(folder)

    def begin(folder: Path) -> None:
        thread = threading.Thread(target=swap, args=(folder,))
        threads.append(thread)
        thread.start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_folders_swapped_for_links_all_the_time(bench: Bench, canary: Path, swapper: Callable[[Path], None]) -> None:
    """While folders are swapped for links in a loop, no byte from outside is archived, and nothing outside is removed."""
    for number in range(4):
        bench.drop(f"folder-{number}/file", f"{number}".encode())
        swapper(bench.root / f"bucket/folder-{number}")
    swapper(bench.root / "other")
    for turn in range(60):
        for number in range(4):
            with suppress(OSError):
                descriptor = os.open(bench.root / f"bucket/folder-{number}", os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
                with open(os.open(f"turn-{turn}", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor), "wb") as file:
                    file.write(f"{number}-{turn}".encode())
                os.close(descriptor)
        bench.run()

    assert {b"file": CANARY} == files(canary)
    assert CANARY not in [content for _, content in contents(bench)]
    assert [] == [str(event) for event in bench.told("step_failed") if "unexpected" in str(event)]


LEASING = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(flush=True)
sys.stdin.read()
"""


def test_client_with_a_write_lease_is_a_writer(bench: Bench) -> None:
    """An open that would wait for it does not: the file is left as one that is written, others go on, and later it goes too."""
    place = bench.drop("leased")
    bench.drop("good")
    words = [sys.executable, "-c", LEASING, str(place)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        client.stdout.readline()
        tally = bench.run()
        client.communicate("")
    taken = bench.found()
    bench.run()

    assert ({b"good": 1}, {"writer": 1}) == (taken, dict(tally.left))
    assert {b"good": 1, b"leased": 1} == bench.found()


def test_client_that_takes_a_write_lease_before_the_release(bench: Bench) -> None:
    """It may be about to write: the file stays as it is, and is released when the client has gone, not archived again."""
    place = bench.drop("leased")
    put, clients = bench.store.put, list[subprocess.Popen[str]]()

    def put_and_lease(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        if not clients:
            words = [sys.executable, "-c", LEASING, str(place)]
            clients.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            assert clients[0].stdout is not None
            clients[0].stdout.readline()

    bench.store.put = put_and_lease  # type: ignore[method-assign]
    bench.run()
    lying = place.exists()  # reading it would wait for the client
    clients[0].communicate("")
    bench.run()

    assert lying
    assert ({}, {b"leased": 1}) == (files(bench.root), bench.found())


def test_what_was_rewritten_before_a_release_that_was_refused(bench: Bench) -> None:
    """As long and as old as before, and still open when the release comes: it stays, and is not taken for what was archived."""
    place, put, clients = bench.drop("mirrored", b"the first bytes"), bench.store.put, list[BinaryIO]()
    times = place.stat()

    def put_and_rewrite(*args: object, **kwargs: object) -> None:
        put(*args, **kwargs)  # type: ignore[arg-type]
        if not clients:
            clients.append(place.open("rb+", buffering=0))
            clients[0].write(b"the other bytes")
            os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))

    bench.store.put = put_and_rewrite  # type: ignore[method-assign]
    bench.run()
    lying = files(bench.root)
    clients[0].close()
    for _ in range(3):
        bench.run()

    assert {b"bucket/mirrored": b"the other bytes"} == lying
    assert [("mirrored", b"the first bytes"), ("mirrored", b"the other bytes")] == sorted(contents(bench))
    assert {} == files(bench.root)
