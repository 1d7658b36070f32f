"""Stretches of a life that are struck by faults: what was before, what one pass does, when it is done, what must hold then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from s3batch.restore.destination import Destination, Folder, Prefix
from s3batch.restore.requests import State
from tests.doubles.network_faults import EVERY, Fault
from tests.faults.lives import LARGE, SMALL, Life
from tests.faults.requests import BACK, BUCKET, Kind

IN_PARTS = {"b/large": LARGE}
ONE = {"a/one": SMALL["a/one"]}
TO_S3 = Prefix(BACK, "back/")
THAWED = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One stretch."""

    requests: list[Kind]
    """All that it asks of S3 when nothing goes wrong, in order."""
    begin: Callable[[Life], None]
    step: Callable[[Life], bool]
    """Do one pass, and tell whether all is done."""
    judge: Callable[[Life], None]
    """Hold what must be true in the end, whatever went wrong."""
    struck_already: bool = False
    """It is about what follows from another fault, which it brings with it."""


# A batch.


def _dropped(files: Mapping[str, bytes]) -> Callable[[Life], None]:
    return lambda life: life.drop(files)


def _packed(life: Life) -> bool:
    life.run_pass()
    return not life.app.journal.unfinished() and not life.lying()


def _at_rest(life: Life) -> None:
    life.assert_at_rest()
    assert 0 == life.spare_archives(), "an archive was stored, and paid for, in vain"
    life.restart()
    tally = life.run_pass()
    assert (0, [], {}) == (tally.files, tally.errors, dict(tally.left))


def _broken_off(life: Life) -> None:
    """An earlier pass sent the first part of two."""
    life.drop(IN_PARTS)
    life.front.faults.on("UploadPart", lambda call: call.part == 2).strike(Fault.RESET, times=EVERY)
    life.run_pass()
    life.front.heal()


def _about_to_conflict(life: Life) -> None:
    """The parts cannot be joined at once, so that the upload is given up."""
    life.drop(IN_PARTS)
    life.front.faults.on("CompleteMultipartUpload").strike(Fault.CONFLICT)


def _about_to_begin_twice(life: Life) -> None:
    """The reply to the beginning of an upload is lost, so that another is begun."""
    life.drop(IN_PARTS)
    life.front.faults.on("CreateMultipartUpload").strike(Fault.LOST_REPLY)


# A restore.


def _archived(files: Mapping[str, bytes], destination: Callable[[Life], Destination]) -> Callable[[Life], None]:
    def begin(life: Life) -> None:
        life.drop(files)
        assert _packed(life)
        life.ask_back(destination(life))

    return begin


def _thawed(files: Mapping[str, bytes], destination: Callable[[Life], Destination]) -> Callable[[Life], None]:
    def begin(life: Life) -> None:
        _archived(files, destination)(life)
        assert _asked(life)
        life.front.clock.advance(THAWED)

    return begin


def _to_s3(_life: Life) -> Destination:
    return TO_S3


def _to_folder(life: Life) -> Destination:
    return Folder(bytes(life.base.resolve() / "restored"))


def _asked(life: Life) -> bool:
    return life.advance().state is State.THAWING and life.thaws_begun() == 1


def _delivered(life: Life) -> bool:
    return life.advance().finished


def _is_back(life: Life) -> None:
    if not life.engine.requests.get("r1").finished:
        life.front.clock.advance(THAWED)
        assert _delivered(life)
    request = life.engine.requests.get("r1")
    errors = [part.error for part in life.engine.requests.parts("r1") if part.error]
    assert (State.DELIVERED, []) == (request.state, errors)
    assert 1 == life.thaws_begun(), "the archive was thawed, and paid for, more than once"
    life.assert_tidy()


def _is_back_in_s3(life: Life) -> None:
    _is_back(life)
    expected = {f"back/{BUCKET}/{key}": content for key, content in life.dropped.items()}
    assert expected == {key: life.object(BACK, key) for key in life.keys(BACK)}


def _is_back_in_folder(life: Life) -> None:
    _is_back(life)
    root = life.base / "restored"
    assert {f"{BUCKET}/{key}": content for key, content in life.dropped.items()} == {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


PROVE = [Kind("HeadObject", "archive"), Kind("PutObject", "manifest"), Kind("HeadObject", "manifest")]
PARTS = [Kind("CreateMultipartUpload"), Kind("UploadPart", "1"), Kind("UploadPart", "2"), Kind("CompleteMultipartUpload")]
LOOK_AND_READ = [Kind("HeadObject", "archive"), Kind("HeadObject", "archive", 2), Kind("GetObject", "archive")]

STORIES: Mapping[str, Story] = {
    "batch": Story(
        requests=[Kind("PutObject", "archive"), *PROVE],
        begin=_dropped(SMALL),
        step=_packed,
        judge=_at_rest,
    ),
    "batch in parts": Story(requests=[*PARTS, *PROVE], begin=_dropped(IN_PARTS), step=_packed, judge=_at_rest),
    "upload resumed": Story(
        requests=[
            Kind("ListMultipartUploads"),
            Kind("HeadObject", "archive"),
            Kind("HeadObject", "archive", 2),
            Kind("ListParts"),
            Kind("UploadPart", "2"),
            Kind("CompleteMultipartUpload"),
            Kind("HeadObject", "archive", 3),
            *PROVE[1:],
        ],
        begin=_broken_off,
        step=_packed,
        judge=_at_rest,
    ),
    "upload given up": Story(
        requests=[Kind("AbortMultipartUpload")],
        begin=_about_to_conflict,
        step=_packed,
        judge=_at_rest,
        struck_already=True,
    ),
    "upload begun twice": Story(
        requests=[Kind("ListMultipartUploads"), Kind("AbortMultipartUpload")],
        begin=_about_to_begin_twice,
        step=_packed,
        judge=_at_rest,
        struck_already=True,
    ),
    "thaw": Story(
        requests=[Kind("HeadObject", "archive"), Kind("RestoreObject")],
        begin=_archived(ONE, _to_s3),
        step=_asked,
        judge=_is_back_in_s3,
    ),
    "delivery to S3": Story(
        requests=[*LOOK_AND_READ, Kind("PutObject", "member"), Kind("HeadObject", "member")],
        begin=_thawed(ONE, _to_s3),
        step=_delivered,
        judge=_is_back_in_s3,
    ),
    "delivery in parts": Story(
        requests=[*LOOK_AND_READ, Kind("ListMultipartUploads"), *PARTS, Kind("HeadObject", "member")],
        begin=_thawed(IN_PARTS, _to_s3),
        step=_delivered,
        judge=_is_back_in_s3,
    ),
    "delivery to a folder": Story(
        requests=LOOK_AND_READ,
        begin=_thawed(IN_PARTS, _to_folder),
        step=_delivered,
        judge=_is_back_in_folder,
    ),
}
