"""The cold front is as strict as S3: classes, thaws, refusals, expiry, prices, and faults that are what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tests.doubles.billing import What
from tests.doubles.clock import FakeClock
from tests.doubles.cold_front import ColdFront, S3Server, running
from tests.doubles.network_faults import Fault

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SERVERS = ["moto", pytest.param("versitygw", marks=pytest.mark.live("versitygw"))]
START = datetime(2026, 10, 14, 22, 30, tzinfo=UTC)
GLACIER_STANDARD = timedelta(hours=5)
BODY = b"0123456789"


@pytest.fixture(params=SERVERS)
def front(request: pytest.FixtureRequest) -> Iterator[ColdFront]:
    """The front before each server in turn, with a plain bucket and one that keeps versions."""
    behind: S3Server = request.getfixturevalue(request.param)
    client = behind.client()
    client.create_bucket(Bucket="plain")
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    client.close()
    with running(behind, FakeClock(START)) as opened:
        yield opened


@pytest.fixture
def s3(front: ColdFront) -> Iterator[S3Client]:
    """A client that tries everything once."""
    client = a_client(front)
    yield client
    client.close()


def a_client(front: ColdFront, *, key: str = "testing", read_timeout: float = 60) -> S3Client:
    """Return a client without retries; `key` is the secret one."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout, request_checksum_calculation="when_required")
    return boto3.client(
        "s3", endpoint_url=front.endpoint, config=config, aws_access_key_id="testing", aws_secret_access_key=key
    )


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:  # noqa: ANN401 - whatever boto3 takes
    """Return status and code of the error that a call is answered with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    reply = caught.value.response
    return reply["ResponseMetadata"]["HTTPStatusCode"], reply["Error"]["Code"]


def thaw(s3: S3Client, key: str = "key", *, days: int = 3, tier: str = "Standard", bucket: str = "plain") -> int:
    """Ask for a thaw and return the status."""
    request: Any = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
    reply = s3.restore_object(Bucket=bucket, Key=key, RestoreRequest=request)
    return reply["ResponseMetadata"]["HTTPStatusCode"]


def put(s3: S3Client, storage_class: Any = "GLACIER", key: str = "key", bucket: str = "plain") -> None:  # noqa: ANN401
    """Store the body."""
    s3.put_object(Bucket=bucket, Key=key, Body=BODY, StorageClass=storage_class)


# Classes


def test_the_class_is_shown_wherever_an_object_is(s3: S3Client) -> None:
    """HEAD, and both listings; STANDARD is not said by HEAD."""
    put(s3, "DEEP_ARCHIVE", "cold + é")
    put(s3, "STANDARD", "warm")

    assert "DEEP_ARCHIVE" == s3.head_object(Bucket="plain", Key="cold + é")["StorageClass"]
    assert "StorageClass" not in s3.head_object(Bucket="plain", Key="warm")
    for listed in (s3.list_objects_v2(Bucket="plain"), s3.list_objects(Bucket="plain")):
        assert {"cold + é": "DEEP_ARCHIVE", "warm": "STANDARD"} == {
            found["Key"]: found["StorageClass"] for found in listed["Contents"]
        }


def test_every_version_has_its_own_class(s3: S3Client) -> None:
    """A new version neither changes nor thaws the old one."""
    put(s3, "GLACIER", bucket="versioned")
    put(s3, "STANDARD", bucket="versioned")

    versions = s3.list_object_versions(Bucket="versioned")["Versions"]

    assert {True: "STANDARD", False: "GLACIER"} == {version["IsLatest"]: version["StorageClass"] for version in versions}
    old = next(version["VersionId"] for version in versions if not version["IsLatest"])
    assert (403, "InvalidObjectState") == refused(s3.get_object, Bucket="versioned", Key="key", VersionId=old)
    assert BODY == s3.get_object(Bucket="versioned", Key="key")["Body"].read()


def test_an_upload_in_parts_has_the_class_it_was_begun_in(s3: S3Client) -> None:
    """While it is under way, and as an object."""
    begun = s3.create_multipart_upload(Bucket="plain", Key="key", StorageClass="DEEP_ARCHIVE")["UploadId"]
    part = s3.upload_part(Bucket="plain", Key="key", UploadId=begun, PartNumber=1, Body=BODY)
    assert ["DEEP_ARCHIVE"] == [one["StorageClass"] for one in s3.list_multipart_uploads(Bucket="plain")["Uploads"]]
    assert "DEEP_ARCHIVE" == s3.list_parts(Bucket="plain", Key="key", UploadId=begun)["StorageClass"]

    parts: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket="plain", Key="key", UploadId=begun, MultipartUpload=parts)

    assert "DEEP_ARCHIVE" == s3.head_object(Bucket="plain", Key="key")["StorageClass"]


def test_an_object_put_over_a_cold_one_is_not_cold(s3: S3Client) -> None:
    """Class and thaw are the object's, not the key's."""
    put(s3, "GLACIER")
    put(s3, "STANDARD")

    assert BODY == s3.get_object(Bucket="plain", Key="key")["Body"].read()


# Thaws


def test_a_thaw_takes_the_hours_of_its_tier_and_lapses_at_a_midnight(s3: S3Client, front: ColdFront) -> None:
    """Asked 14 October 22:30, done at 3:30, 3 days: until 19 October 0:00; frozen again from that second on."""
    put(s3)
    assert "Restore" not in s3.head_object(Bucket="plain", Key="key")
    assert 202 == thaw(s3)

    assert 'ongoing-request="true"' == s3.head_object(Bucket="plain", Key="key")["Restore"]
    front.clock.advance(GLACIER_STANDARD - timedelta(seconds=1))
    assert (403, "InvalidObjectState") == refused(s3.get_object, Bucket="plain", Key="key")
    front.clock.advance(timedelta(seconds=1))

    shown = 'ongoing-request="false", expiry-date="Mon, 19 Oct 2026 00:00:00 GMT"'
    seen = s3.head_object(Bucket="plain", Key="key")
    assert (shown, "GLACIER") == (seen["Restore"], seen["StorageClass"])
    assert b"345" == s3.get_object(Bucket="plain", Key="key", Range="bytes=3-5")["Body"].read()
    front.clock.advance(datetime(2026, 10, 19, tzinfo=UTC) - front.clock.now())
    assert "Restore" not in s3.head_object(Bucket="plain", Key="key")
    assert (403, "InvalidObjectState") == refused(s3.get_object, Bucket="plain", Key="key")


def test_asking_again(s3: S3Client, front: ColdFront) -> None:
    """409 while it is under way, unless faster for the same days; 200 once it is done, the days counting from then."""
    put(s3, "DEEP_ARCHIVE")
    assert 202 == thaw(s3, tier="Bulk")

    assert (409, "RestoreAlreadyInProgress") == refused(lambda: thaw(s3, tier="Bulk"))
    assert (409, "RestoreAlreadyInProgress") == refused(lambda: thaw(s3, tier="Standard", days=4))
    assert 202 == thaw(s3, tier="Standard")
    front.clock.advance(timedelta(hours=12))
    assert 200 == thaw(s3, days=30)

    assert "Sun, 15 Nov 2026" in s3.head_object(Bucket="plain", Key="key")["Restore"]


def test_what_is_refused(s3: S3Client, front: ColdFront) -> None:
    """With the status and the code S3 gives."""
    put(s3, "DEEP_ARCHIVE")
    put(s3, "STANDARD", "warm")
    front.cold.expedited_capacity = False
    put(s3, "GLACIER", "flexible")

    assert (403, "InvalidTier") == refused(lambda: thaw(s3, tier="Expedited"))
    assert (403, "InvalidObjectState") == refused(lambda: thaw(s3, "warm"))
    assert (404, "NoSuchKey") == refused(lambda: thaw(s3, "none"))
    assert (400, "InvalidArgument") == refused(lambda: thaw(s3, days=0))
    assert (503, "GlacierExpeditedRetrievalNotAvailable") == refused(lambda: thaw(s3, "flexible", tier="Expedited"))
    copy: Any = {"Bucket": "plain", "Key": "key"}
    denied = refused(s3.copy_object, Bucket="plain", Key="copy", CopySource=copy)
    assert (403, "ObjectNotInActiveTierError") == denied


def test_the_account_may_ask_only_so_often_a_second(s3: S3Client, front: ColdFront) -> None:
    """Whatever the objects; a second later it may again."""
    front.cold.restores_a_second = 2
    for key in "abc":
        put(s3, key=key)
    thaw(s3, "a")
    thaw(s3, "b")

    assert (503, "SlowDown") == refused(lambda: thaw(s3, "c"))
    front.clock.advance(timedelta(seconds=1))

    assert 202 == thaw(s3, "c")


def test_a_listing_shows_thaws_where_it_is_asked_to(s3: S3Client, front: ColdFront) -> None:
    """A thousand states for one request."""
    for key in ("frozen", "thawing", "thawed"):
        put(s3, key=key)
    thaw(s3, "thawed")
    front.clock.advance(GLACIER_STANDARD)
    thaw(s3, "thawing")

    listed = s3.list_objects_v2(Bucket="plain", OptionalObjectAttributes=["RestoreStatus"])["Contents"]

    assert {
        "frozen": None,
        "thawing": {"IsRestoreInProgress": True},
        "thawed": {"IsRestoreInProgress": False, "RestoreExpiryDate": datetime(2026, 10, 19, tzinfo=UTC)},
    } == {found["Key"]: found.get("RestoreStatus") for found in listed}


@pytest.mark.live("versitygw")
@pytest.mark.parametrize("front", ["versitygw"], indirect=True)
def test_signatures_are_verified_by_the_server_behind(front: ColdFront, s3: S3Client) -> None:
    """Of what is forwarded and of what the front does itself."""
    put(s3)
    stranger = a_client(front, key="another")

    assert (403, "403") == refused(stranger.head_object, Bucket="plain", Key="key")
    assert (403, "SignatureDoesNotMatch") == refused(lambda: thaw(stranger))
    assert 0 == front.ledger.total(What.RETRIEVAL)
    stranger.close()


# Money


def test_a_scenario_has_its_price(s3: S3Client, front: ColdFront) -> None:
    """1,000 looks, an archive kept for 180 days, one thaw in bulk with its copy for 3 days; the second question is free."""
    put(s3, "DEEP_ARCHIVE")
    put_once = front.ledger.total(What.REQUEST)
    thaw(s3, tier="Bulk")
    refused(lambda: thaw(s3, tier="Bulk"))

    gib = Decimal(len(BODY)) / 1024**3
    overhead = (Decimal(32) * Decimal("0.00099") + Decimal(8) * Decimal("0.023")) / 1024**2
    assert Decimal("0.00005") == put_once
    assert (gib * Decimal("0.00099") + overhead) * 6 == front.ledger.total(What.STORAGE)
    assert gib * Decimal("0.0025") == front.ledger.total(What.RETRIEVAL)
    assert gib * Decimal("0.023") / 10 == front.ledger.total(What.COPY)
    assert put_once + Decimal("0.000025") == front.ledger.total(What.REQUEST)
    assert {"PutObject": 1, "RestoreObject": 2} == dict(front.ledger.calls)


# Faults


FAULTS: dict[Fault, tuple[type[Exception], bool]] = {
    Fault.REFUSED: (ConnectionClosedError, False),
    Fault.RESET: (ConnectionClosedError, False),
    Fault.CUT_REQUEST: (ConnectionClosedError, False),
    Fault.LOST_REPLY: (ConnectionClosedError, True),
    Fault.STALL: (ReadTimeoutError, True),
    Fault.INTERNAL: (ClientError, False),
    Fault.INTERNAL_AFTER: (ClientError, True),
    Fault.SLOW_DOWN: (ClientError, False),
    Fault.FORBIDDEN: (ClientError, False),
    Fault.EXPIRED: (ClientError, False),
    Fault.SKEWED: (ClientError, False),
    Fault.PRECONDITION: (ClientError, False),
    Fault.CONFLICT: (ClientError, False),
    Fault.BAD_GATEWAY: (ClientError, False),
}
"""What a client sees of a PutObject, and whether the object is there."""


@pytest.mark.parametrize("front", ["moto"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_what_it_is_called(front: ColdFront, fault: Fault) -> None:
    """The client sees it, the server did or did not do it, the next request is well."""
    seen, applied = FAULTS[fault]
    s3 = a_client(front, read_timeout=0.3)
    front.stall_seconds = 0.6
    front.faults.on("PutObject").at(2).strike(fault)
    put(s3, key="first")

    with pytest.raises(seen):
        put(s3, key="second")

    assert 1 == front.faults.struck
    front.heal()
    put(s3, key="third")
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="plain")["Contents"]]
    assert ["first", *(["second"] if applied else []), "third"] == keys
    s3.close()


@pytest.mark.parametrize("front", ["moto"], indirect=True)
def test_replies_are_cut_or_come_slowly(front: ColdFront, s3: S3Client) -> None:
    """Half of a body is an error, a slow one is whole."""
    put(s3, "STANDARD")
    front.faults.on("GetObject").strike(Fault.TRUNCATED)
    front.faults.on("GetObject").strike(Fault.TRICKLE)

    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        s3.get_object(Bucket="plain", Key="key")["Body"].read()
    assert BODY == s3.get_object(Bucket="plain", Key="key")["Body"].read()


@pytest.mark.parametrize("front", ["moto"], indirect=True)
def test_who_is_refused_stays_refused_until_it_is_healed(front: ColdFront, s3: S3Client) -> None:
    """The server is gone, for every request and every client."""
    front.faults.on("PutObject").strike(Fault.REFUSED)
    with pytest.raises(ConnectionClosedError):
        put(s3)

    with pytest.raises(EndpointConnectionError):
        s3.list_objects_v2(Bucket="plain")
    front.heal()

    assert 0 == s3.list_objects_v2(Bucket="plain")["KeyCount"]
