from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from s3sync.errors import Permanent, Transient, Usage
from s3sync.store import aws
from s3sync.store.aws import OWNER_ANY, OWNER_AUTO, asking, connect, demand_owner, is_aws, refusal
from s3sync.store.contract import ObjectRef
from s3sync.store.s3 import S3Store
from tests.doubles.http_server import HttpServer, Reply, answering

CALLER = "123456789012"
IDENTITY = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
    <Account>{CALLER}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>""".encode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """One server that is both S3, where nothing is, and STS, which knows the caller."""

    def answer(asked: Any) -> Reply:  # noqa: ANN401
        return Reply(body=IDENTITY) if asked.method == "POST" else Reply(status=404)

    with answering(answer) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened.endpoint)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", opened.endpoint)
        yield opened


def owners(server: HttpServer) -> list[str | None]:
    """Return the expected owner that each request to S3 named."""
    return [asked.headers.get("x-amz-expected-bucket-owner") for asked in server.asked if asked.method != "POST"]


def test_the_endpoint_comes_from_awss_own_variable(server: HttpServer) -> None:
    """And from nowhere else."""
    client = connect(connections=1)

    assert server.endpoint == client.meta.endpoint_url
    client.close()


def test_what_the_promises_rest_on_is_set_explicitly(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts, timeouts and checksums do not depend on the machine's settings."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    client = connect(connections=7)
    config: Any = client.meta.config

    assert {"mode": "standard", "total_max_attempts": 5} == config.retries
    assert (5, 60, 7) == (config.connect_timeout, config.read_timeout, config.max_pool_connections)
    assert "when_required" == config.request_checksum_calculation == config.response_checksum_validation
    assert config.s3 is None
    client.close()


def test_bodies_are_not_hashed_again_where_tls_guards_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They carry a checksum; the signature covers that."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:1")
    client = connect(connections=1)
    config: Any = client.meta.config

    assert config.s3["payload_signing_enabled"] is False
    client.close()


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://s3.amazonaws.com", True),
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://s3.cn-north-1.amazonaws.com.cn", True),
        ("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com", True),
        ("https://s3.eu-west-1.api.aws", True),
        ("http://127.0.0.1:9000", False),
        ("https://s3.example.org", False),
        ("https://s3.amazonaws.com.example.org", False),
        ("https://notamazonaws.com", False),
    ],
)
def test_what_is_aws(endpoint: str, *, expected: bool) -> None:
    """By the host's name, at its end."""
    assert expected == is_aws(endpoint)


@pytest.mark.parametrize(("policy", "expected"), [(OWNER_AUTO, None), (OWNER_ANY, None), ("210987654321", "210987654321")])
def test_an_owner_is_demanded_of_every_bucket(server: HttpServer, policy: str, expected: str | None) -> None:
    """Where the endpoint is not AWS only an account that was given is asked for."""
    store = S3Store(bucket_owner=policy)

    store.head(ObjectRef("bucket", "key"))
    store.abort(ObjectRef("bucket", "key"), "upload")

    assert [expected, expected] == owners(server)
    store.close()


def test_on_aws_the_owner_is_the_callers_own_account(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up once, at the first request."""
    monkeypatch.setattr(aws, "is_aws", lambda _endpoint: True)
    store = S3Store()

    assert [] == server.asked
    store.head(ObjectRef("bucket", "key"))
    store.head(ObjectRef("bucket", "other"))

    assert [CALLER, CALLER] == owners(server)
    assert 1 == len([asked for asked in server.asked if asked.method == "POST"])
    store.close()


def test_without_an_answer_from_sts_nothing_is_asked_of_s3(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket is never spoken to unchecked; the next request asks again."""
    monkeypatch.setattr(aws, "is_aws", lambda _endpoint: True)
    answer = server.answer
    server.answer = lambda _asked: Reply(status=500)
    store = S3Store()

    with pytest.raises(Transient, match="the caller's account"):
        store.head(ObjectRef("bucket", "key"))
    assert [] == owners(server)

    server.answer = answer
    assert store.head(ObjectRef("bucket", "key")) is None
    store.close()


@pytest.mark.parametrize("policy", ["", "me", "12345678901", "1234567890123", "12345678901x"])
def test_an_owner_that_is_no_account_is_refused(server: HttpServer, policy: str) -> None:
    """Twelve digits, auto or any."""
    client = connect(connections=1)
    with pytest.raises(Usage, match="12 digits"):
        demand_owner(client, policy)
    client.close()


def test_missing_credentials_are_transient(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role's credentials may come back; the failure says what is missing."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    aws._session.cache_clear()
    store = S3Store()

    with pytest.raises(Transient, match="Give credentials"):
        store.head(ObjectRef("bucket", "key"))

    aws._session.cache_clear()
    store.close()


def test_settings_of_aws_that_contradict_each_other_are_a_usage_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before anything is done."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not a url")
    with pytest.raises(Usage, match="AWS settings"):
        connect(connections=1)


def test_what_cannot_be_sent_is_permanent(server: HttpServer) -> None:
    """The client library refuses it before S3 could."""
    client = connect(connections=1)

    with pytest.raises(Permanent), asking("s3://b/k", "look at it"):
        client.head_object(Bucket="bucket", Key="")

    client.close()


def test_a_failure_without_a_reply_has_no_code() -> None:
    """Only what S3 said is a refusal."""
    assert ("", 0) == refusal(ValueError("no reply"))
