from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3sync.store.aws import connect
from s3sync.store.check import Finding, S3Probe, clock_finding, lifecycle_findings
from s3sync.store.contract import StorageClass
from tests.doubles.http_server import Asked, HttpServer, Reply, answering, forward
from tests.doubles.moto_server import MotoServer

NOW = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
COLD = StorageClass.DEEP_ARCHIVE
ABORTS = {"ID": "abort", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}


@pytest.fixture
def server(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """Moto with a bucket and a rule that aborts uploads, behind a proxy that notes what is asked."""
    client = moto.client()
    client.create_bucket(Bucket="bucket")
    client.put_bucket_lifecycle_configuration(Bucket="bucket", LifecycleConfiguration={"Rules": [ABORTS]})  # type: ignore[list-item]
    with answering(forward(moto.endpoint)) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened.endpoint)
        yield opened


@pytest.fixture
def check(server: HttpServer) -> Iterator[Callable[..., list[Finding]]]:
    """Check a bucket with the clock of this machine."""
    client = connect(connections=1)
    probe = S3Probe(client, lambda: datetime.now(UTC))

    def run(bucket: str = "bucket", *, restore: bool = True, cold: StorageClass | None = COLD) -> list[Finding]:
        return probe.check_bucket(bucket, storage_class=cold, restore=restore)

    yield run
    client.close()


def refuse(server: HttpServer, call: str, status: int, code: str) -> None:
    """Answer `call` with an error."""
    through = server.answer
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()

    def answer(asked: Asked) -> Reply:
        is_meant = asked.call == call
        return Reply(status=status, body=b"" if asked.method == "HEAD" else body) if is_meant else through(asked)

    server.answer = answer


def test_a_bucket_in_order_has_nothing_to_complain_of(
    server: HttpServer, moto: MotoServer, check: Callable[..., list[Finding]]
) -> None:
    """Everything is asked for, and nothing is left behind."""
    findings = check()

    assert [] == [finding for finding in findings if not finding.ok]
    assert ["bucket bucket", "clock", "storing into bucket", "thawing in bucket", "lifecycle of bucket"] == [
        finding.subject for finding in findings
    ]
    assert ["HEAD", "POST uploads", "DELETE uploadId", "POST restore", "GET lifecycle"] == server.calls()
    assert "Uploads" not in moto.client().list_multipart_uploads(Bucket="bucket")
    assert "Contents" not in moto.client().list_objects_v2(Bucket="bucket")


def test_a_host_that_is_not_to_thaw_is_not_asked_whether_it_may(
    server: HttpServer, check: Callable[..., list[Finding]]
) -> None:
    """A hardened drop host has no such right."""
    check(restore=False)

    assert "POST restore" not in server.calls()


def test_a_host_that_stores_nothing_is_not_asked_whether_it_may(
    server: HttpServer, check: Callable[..., list[Finding]]
) -> None:
    """A host that only restores has no such right, and nothing to complain of."""
    findings = check(cold=None)

    assert ["HEAD", "POST restore", "GET lifecycle"] == server.calls()
    assert [] == [finding for finding in findings if not finding.ok]


def test_a_bucket_that_is_not_there_is_one_finding(check: Callable[..., list[Finding]]) -> None:
    """The other questions would only repeat it."""
    (finding,) = check("nothing-here")

    assert (False, "bucket nothing-here") == (finding.ok, finding.subject)


@pytest.mark.parametrize(
    ("call", "subject"),
    [
        ("POST uploads", "storing into bucket"),
        ("DELETE uploadId", "storing into bucket"),
        ("POST restore", "thawing in bucket"),
        ("GET lifecycle", "lifecycle of bucket"),
    ],
)
def test_a_right_that_is_missing_is_named(
    server: HttpServer, check: Callable[..., list[Finding]], call: str, subject: str
) -> None:
    """Each question is its own finding with a hint, and the others are still asked."""
    refuse(server, call, 403, "AccessDenied")

    (bad,) = [finding for finding in check() if not finding.ok]

    assert subject == bad.subject
    assert "AccessDenied" in bad.detail
    assert bad.hint


def test_no_lifecycle_rules_at_all_leave_uploads_to_be_billed(server: HttpServer, check: Callable[..., list[Finding]]) -> None:
    """Not an error, but worth a hint."""
    refuse(server, "GET lifecycle", 404, "NoSuchLifecycleConfiguration")

    lifecycle = check()[-1]

    assert lifecycle.ok
    assert "Add a rule" in lifecycle.hint


@pytest.mark.parametrize(("minutes", "ok"), [(0, True), (4, True), (-4, True), (6, False), (-20, False)])
def test_the_clock_is_compared_with_the_servers(minutes: int, *, ok: bool) -> None:
    """Five minutes are allowed; S3 itself refuses at fifteen."""
    finding = clock_finding("Tue, 10 Mar 2026 09:30:00 GMT", NOW + timedelta(minutes=minutes))

    assert ok == finding.ok
    assert (minutes > 0) == ("ahead of" in finding.detail)


def test_a_date_that_is_none_is_a_finding() -> None:
    """Whatever answers there is not S3."""
    assert not clock_finding("yesterday", NOW).ok


def rule(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an enabled rule that freezes everything, changed by `more`."""
    return {"ID": "r", "Status": "Enabled", "Filter": {}, "Transitions": [{"StorageClass": "GLACIER", "Days": 1}], **more}


@pytest.mark.parametrize(
    ("given", "harms"),
    [
        (rule(), True),
        (rule(Status="Disabled"), False),
        (rule(Filter={"Prefix": "s3-batch/"}), True),
        (rule(Filter={"Prefix": "s3-batch/manifests/bucket/2026/"}), True),
        (rule(Filter={"Prefix": "customers/"}), False),
        (rule(Filter={"And": {"Prefix": "s3-", "ObjectSizeGreaterThan": 1000}}), True),
        (rule(Filter={"And": {"Prefix": "s3-", "Tags": [{"Key": "a", "Value": "b"}]}}), False),
        (rule(Filter={"Tag": {"Key": "a", "Value": "b"}}), False),
        ({"ID": "old", "Status": "Enabled", "Prefix": "s3-batch", "Transitions": [{"StorageClass": "DEEP_ARCHIVE"}]}, True),
        (rule(Transitions=[{"StorageClass": "GLACIER_IR"}]), False),
        (rule(Transitions=[], Expiration={"Days": 365}), True),
        (rule(Transitions=[], Expiration={"ExpiredObjectDeleteMarker": True}), False),
    ],
)
def test_rules_that_would_freeze_or_delete_manifests(given: dict[str, Any], *, harms: bool) -> None:
    """By prefix, and not where tags are asked for, which manifests do not bear."""
    findings = lifecycle_findings("lifecycle of bucket", [given, ABORTS])

    assert harms == any(not finding.ok for finding in findings)


@pytest.mark.parametrize(
    ("status", "code", "ok"),
    [(403, "AccessDenied", True), (403, "InvalidAccessKeyId", False), (403, "SignatureDoesNotMatch", False)],
)
def test_credentials_are_accepted_or_not(server: HttpServer, status: int, code: str, *, ok: bool) -> None:
    """Being refused the list of buckets is a matter of rights, not of who we are."""
    client = connect(connections=1)
    probe = S3Probe(client, lambda: datetime.now(UTC))
    shown = probe.check_account()
    refuse(server, "GET", status, code)

    refused = probe.check_account()

    client.close()
    assert (True, True) == (shown.ok, "shows 1 buckets" in shown.detail)
    assert ok == refused.ok
