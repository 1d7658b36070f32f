"""The worlds a sweep kills the program in: a pass of packing, a restore to a folder and to S3, a rebuild.

Each scenario prepares its world, names the command that is killed, and says how an operator goes on afterwards and what must be
true in the end. What is judged is judged from outside, see `tests.crash.world`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from s3batch.restore.flushing import AT_ONCE
from tests.crash.counter import Counter, Job
from tests.crash.power import Cut, cut_power
from tests.crash.world import BUCKET, World
from tests.doubles.moto_server import MotoServer

LARGE = bytes(range(256)) * (21 * 1024)
"""Above five MiB: travels alone, in two parts."""
SMALL = {"a/one": b"one" * 500, "a/two": b"two" * 500, "a/empty": b"", "b/three": b"three" * 100}
MORE = {f"a/more {number}": b"%d" % number * 300 for number in range(AT_ONCE - 3)}
"""With those of `SMALL`, as many in one archive as a restore flushes together; the other archive's are flushed one by one."""
POOR = "no-bucket/poor"
"""A file whose bucket does not exist: it fails at every pass, and stays."""
HELD = "bucket/half.filepart"
"""A file that is not finished."""
FAILING = (1, 3)
"""Exit codes of a pass in which something failed."""
TO_S3 = "delivered/"


class SweptWorld(World):
    """A world whose program runs under the counter."""

    command: ClassVar[tuple[str, ...]]
    """What is killed."""

    def __init__(self, base: Path, moto: MotoServer, counter: Counter) -> None:
        """Make a drop zone with small files in two folders, an empty one, a large one, a failing one and a held one."""
        super().__init__(base, moto)
        self._counter = counter
        self.destination = base / "destination"
        self.grave = base / "grave"
        self.forget_uploads = False
        self.stays: dict[str, bytes] = {}
        for folder in (base / "state", self.destination):
            folder.mkdir(0o700)
        for key, content in SMALL.items():
            self.drop(key, content, mtime=1_000_000_000 if key == "a/two" else None)
        self.drop("b/large", LARGE)
        self.prepare()

    def prepare(self) -> None:
        """Bring the world to where the command is run."""

    def finish(self) -> None:
        """Do what an operator does after a crash, and hold what must be true then."""
        raise NotImplementedError

    def run(self, *words: str, die_at: int = 0, program: str = "s3batch") -> tuple[int, str]:
        """Run the program without being counted on to die."""
        assert (program, die_at) == ("s3batch", 0), "only `die` kills here"
        return self._run(words)

    def points(self) -> Path:
        """Run the command to its end, and return the list of its points."""
        self._run(self.command)
        return self.base / "points"

    def next_command(self) -> tuple[str, ...]:
        """Return what is typed after a crash that another crash ends: the same once more."""
        return self.command

    def die(self, point: int, *, torn: bool = False, power: Cut | None = None) -> bool:
        """Kill the command before its n-th point, with all the machine where `power` is given; tell whether it got there."""
        words = self.next_command()
        if power is not None:
            self.grave.mkdir()
        code, _ = self._run(words, die_at=point, torn=torn, grave=str(self.grave) if power else "")
        if power is not None:
            cut_power(self.grave, self.base, power)
        return code == -9

    def _run(self, words: tuple[str, ...], *, die_at: int = 0, torn: bool = False, grave: str = "") -> tuple[int, str]:
        output = self.base / "output"
        job = Job(
            words=words,
            environment=self.environment,
            output=str(output),
            below=[str(self.zone), str(self.base / "state"), str(self.destination)],
            points=str(self.base / "points"),
            die_at=die_at,
            torn=torn,
            grave=grave,
        )
        code = self._counter.run(job)
        return code, output.read_text()

    def add_failing(self) -> None:
        """Drop what can never be archived."""
        self.stays = {POOR: b"poor", HELD: b"half"}
        for path, content in self.stays.items():
            (self.zone / path).parent.mkdir(exist_ok=True)
            (self.zone / path).write_bytes(content)

    def moved(self, old: str, new: str, content: bytes) -> None:
        """Note that a client renamed what it had dropped."""
        if (old, content) in self.drops:
            self.drops.remove((old, content))
        self.drops.append((new, content))
        self.ever.append((new, content))

    def lying_files(self) -> Iterator[Path]:
        """Yield the files in the drop zone that clients see."""
        return (path for path in self.zone.rglob("*") if path.is_file() and ".s3batch-quarantine" not in path.parts)

    def spool_files(self) -> Iterator[Path]:
        """Yield the files in the spool."""
        return (path for path in (self.base / "state").glob("spool/*/*") if path.is_file())

    def passes(self) -> None:
        """Run passes until nothing is archived any more; what fails is the failing bucket alone."""
        summary = {}
        for _ in range(5):
            code, output = self._run(("run", "--once", "--json"))
            assert code in ({0, *FAILING} if self.stays else {0}), output
            summary = json.loads(output.splitlines()[-1])
            foreign = [failure for failure in summary["failures"] if "no-bucket" not in failure]
            assert [] == foreign, f"failed: {foreign}"
            if not summary["files"] and summary["left"] == summary["held"].get("temporary_name", 0):
                return
        raise AssertionError(f"still something to do after five passes: {summary}")

    def judge(self) -> None:
        """Hold the promise against what is there now, also for what cannot be archived."""
        if self.forget_uploads:
            for upload in self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
                self.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
        super().judge()
        for path, content in self.stays.items():
            assert content == (self.zone / path).read_bytes(), f"lost: {path}"

    def judge_at_rest(self) -> None:
        """Hold also that nothing of ours is left in the folders of customers."""
        super().judge_at_rest()
        assert not list(self.zone.rglob(".s3batch-probe-*")), "a probe was left"


class Packing(SweptWorld):
    """A pass over a small but complete drop zone."""

    command = ("run", "--once")

    def prepare(self) -> None:
        """Drop also what fails."""
        self.add_failing()

    def finish(self) -> None:
        """Let the agent run until nothing is left to do."""
        self.passes()
        self.judge_at_rest()


class _Archived(SweptWorld):
    """A world where everything is archived before the command."""

    def prepare(self) -> None:
        """Archive everything."""
        self.passes()
        self.dropped = dict(self.drops)


class RestoringToFolder(_Archived):
    """A restore to a local folder."""

    more: ClassVar[Mapping[str, bytes]] = MORE

    @property
    def command(self) -> tuple[str, ...]:  # type: ignore[override]  # where it goes is known with the world
        """The restore."""
        return ("restore", f"s3://{BUCKET}/b/", f"s3://{BUCKET}/a/", "--to", self.target, "--yes", "--wait")

    @property
    def target(self) -> str:
        """Where members are delivered to."""
        return str(self.destination)

    def prepare(self) -> None:
        """Archive everything, and let thaws be looked at quickly."""
        for key, content in self.more.items():
            self.drop(key, content)
        super().prepare()
        self.environment["S3BATCH_THAW_POLL"] = "1s"

    def next_command(self) -> tuple[str, ...]:
        """Wait for the request; where it had not been filed, ask once more."""
        requests = self._filed()
        assert len(requests) <= 1, f"doubled: {requests}"
        return ("requests", "wait", *requests) if requests else self.command

    def finish(self) -> None:
        """Do that to its end. What arrived is judged."""
        code, output = self._run(self.next_command())
        assert code == 0, output
        self.judge_delivered()

    def _filed(self) -> list[str]:
        code, output = self._run(("requests", "list", "--json"))
        assert code == 0, output
        rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [row["request"] for row in rows if row.get("request")]

    def judge_delivered(self) -> None:
        """Hold that exactly the members are there, byte for byte, and nothing beside them."""
        assert self.dropped == self.delivered(), "lost: what was delivered differs"

    def delivered(self) -> dict[str, bytes]:
        """Return what lies at the destination."""
        root = self.destination / BUCKET
        return {os.path.relpath(path, root): path.read_bytes() for path in self.destination.rglob("*") if path.is_file()}


class RestoringToS3(RestoringToFolder):
    """A restore to a prefix in S3."""

    more: ClassVar[Mapping[str, bytes]] = {}

    @property
    def target(self) -> str:
        """A prefix of the same bucket."""
        return f"s3://{BUCKET}/{TO_S3}"

    def delivered(self) -> dict[str, bytes]:
        """Return the objects below the prefix; an unfinished upload is one object too many."""
        assert not self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads"), "an upload was left unfinished"
        assert [] == list(self.spool_files())
        prefix = f"{TO_S3}{BUCKET}/"
        return {key.removeprefix(prefix): self.object(key) for key in self.keys() if key.startswith(TO_S3)}


class Rebuilding(_Archived):
    """A rebuild of a catalogue that was lost."""

    command = ("rebuild", "--bucket", BUCKET)

    def prepare(self) -> None:
        """Archive everything, and lose the catalogue."""
        super().prepare()
        for path in (self.base / "state").glob("catalogue.db*"):
            path.unlink()

    def finish(self) -> None:
        """Rebuild again, let the agent work, and hold that the catalogue is what the manifests say."""
        code, output = self._run(self.command)
        assert code == 0, output
        self.passes()
        self.judge_at_rest()


SCENARIOS: dict[str, type[SweptWorld]] = {
    "pack": Packing,
    "restore to a folder": RestoringToFolder,
    "restore to S3": RestoringToS3,
    "rebuild": Rebuilding,
}


def clear(base: Path) -> None:
    """Remove a world that was judged, so that a long sweep fills no disk."""
    shutil.rmtree(base)
