from __future__ import annotations

import pytest

from s3sync.errors import Failure, Permanent, Transient
from s3sync.store.contract import AlreadyThere, Denied, Frozen, Missing, Rejected, ThawAnswer
from s3sync.store.s3_errors import JOINING, STORING, Raced, UnusableParts, UploadGone, failure_of, thaw_answer


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("PreconditionFailed", 412, AlreadyThere),
        ("ConditionalRequestConflict", 409, Raced),
        ("OperationAborted", 409, Transient),
        ("NoSuchKey", 404, Missing),
        ("NoSuchBucket", 404, Missing),
        ("NoSuchVersion", 404, Missing),
        ("NoSuchUpload", 404, UploadGone),
        ("MethodNotAllowed", 405, Missing),
        ("AccessDenied", 403, Denied),
        ("KMS.DisabledException", 400, Denied),
        ("ExpiredToken", 400, Transient),
        ("RequestTimeTooSkewed", 403, Transient),
        ("InvalidObjectState", 403, Frozen),
        ("BadDigest", 400, Rejected),
        ("InvalidPart", 400, UnusableParts),
        ("SlowDown", 503, Transient),
        ("InternalError", 500, Transient),
        ("RequestTimeout", 400, Transient),
        ("PermanentRedirect", 301, Permanent),
        ("NotImplemented", 501, Permanent),
        ("404", 404, Missing),
        ("403", 403, Denied),
        ("400", 400, Transient),
        ("405", 405, Missing),
        ("412", 412, AlreadyThere),
        ("503", 503, Transient),
        ("", 500, Transient),
        ("SomethingNew", 400, Permanent),
        ("SomethingNew", 500, Transient),
        ("SomethingNew", 404, Permanent),
    ],
)
def test_each_code_has_its_place_in_the_family(code: str, status: int, kind: type[Failure]) -> None:
    """A code decides before the status; what has neither a code nor a place is the server's fault from 500 on."""
    assert kind is type(failure_of(code, status, subject="s3://b/k", doing="store it"))


@pytest.mark.parametrize(
    ("code", "status", "as_in", "kind"),
    [
        ("NoSuchKey", 404, STORING, AlreadyThere),
        ("NoSuchKey", 404, JOINING, AlreadyThere),
        ("InvalidRequest", 400, JOINING, Rejected),
        ("InvalidRequest", 400, STORING, Permanent),
        ("AccessDenied", 403, JOINING, Denied),
    ],
)
def test_some_codes_mean_something_else_in_some_calls(
    code: str, status: int, as_in: dict[str, type[Failure]], kind: type[Failure]
) -> None:
    """The call's own table is asked first."""
    assert kind is type(failure_of(code, status, subject="s3://b/k", doing="store it", as_in=as_in))


def test_a_failure_reads_as_one_line() -> None:
    """Subject, what was attempted, what S3 said, what to do."""
    failure = failure_of("RequestTimeTooSkewed", 403, subject="s3://b/k", doing="store it", message="too far")

    assert str(failure) == (
        "s3://b/k: cannot store it (RequestTimeTooSkewed: too far). "
        "Set this host's clock: it differs from S3's by more than 15 minutes"
    )


def test_a_403_without_a_code_says_that_it_may_be_a_404() -> None:
    """HEAD has no body, and without s3:ListBucket S3 does not say what is not there."""
    assert "s3:ListBucket" in failure_of("403", 403, subject="s3://b/k", doing="look at it").hint


@pytest.mark.parametrize(
    ("code", "status", "answer"),
    [
        ("", 202, ThawAnswer.BEGUN),
        ("", 200, ThawAnswer.ALREADY_THAWED),
        ("RestoreAlreadyInProgress", 409, ThawAnswer.IN_PROGRESS),
        ("InvalidObjectState", 403, ThawAnswer.NOT_ARCHIVED),
        ("ObjectAlreadyInActiveTierError", 403, ThawAnswer.NOT_ARCHIVED),
        ("OperationAborted", 409, None),
        ("AccessDenied", 403, None),
        ("SlowDown", 503, None),
        ("NoSuchKey", 404, None),
        ("", 204, None),
    ],
)
def test_replies_to_a_thaw(code: str, status: int, answer: ThawAnswer | None) -> None:
    """Four answers are none of them errors; everything else is."""
    assert answer == thaw_answer(code, status)
