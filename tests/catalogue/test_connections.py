"""How a cluster is reached: whom we trust, how we show who we are, and several hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from s3batch.catalogue.cluster import Refused
from s3batch.catalogue.opensearch import OpenSearchCluster, Reach, Sign
from s3batch.catalogue.reach import reach_of
from s3batch.settings import Settings
from s3sync.errors import Transient, Usage
from s3sync.store.aws import signing
from tests.doubles.certificates import answering_by_tls, certificate
from tests.doubles.http_server import Asked, Reply, answering
from tests.doubles.opensearch_server import error, opensearch
from tests.doubles.sigv4 import wrong
from tests.front.test_settings import read

SECRETS = {"testing": "testing"}


def version(_asked: Asked) -> Reply:
    """Answer as a cluster would that is asked for its name."""
    body = json.dumps({"version": {"distribution": "opensearch", "number": "2.19.6"}}).encode()
    return Reply(body=body, headers={"content-type": "application/json"})


def server(reach: Reach) -> str:
    """Ask who is there."""
    cluster = OpenSearchCluster(reach)
    try:
        return cluster.server().number
    finally:
        cluster.close()


def test_an_authority_or_a_fingerprint_is_trusted(tmp_path: Path) -> None:
    """A certificate is trusted for its authority's sake, or for its own; nobody's is not."""
    shown, other = certificate(tmp_path / "shown"), certificate(tmp_path / "other")
    with answering_by_tls(shown, version) as https:
        trusted = [
            server(Reach(urls=(https.endpoint,), ca=shown.file)),
            server(Reach(urls=(https.endpoint,), fingerprint=shown.fingerprint)),
        ]
        for reach in (
            Reach(urls=(https.endpoint,)),
            Reach(urls=(https.endpoint,), ca=other.file),
            Reach(urls=(https.endpoint,), fingerprint=other.fingerprint),
        ):
            with pytest.raises(Transient, match="cannot be trusted"):
                server(reach)

    assert ["2.19.6"] * 2 == trusted


def test_an_expired_certificate_is_not_trusted(tmp_path: Path) -> None:
    """It is said to be expired; what waits, waits."""
    shown = certificate(tmp_path / "shown", days=0)

    with answering_by_tls(shown, version) as https, pytest.raises(Transient, match="expired"):
        server(Reach(urls=(https.endpoint,), ca=shown.file))


@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_a_file_of_authorities_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """Is named, with the setting."""
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)

    with pytest.raises(Usage, match="S3BATCH_OPENSEARCH_CA"):
        server(Reach(urls=("https://127.0.0.1:1",), ca=tmp_path / "ca.pem"))


def test_plain_http_where_tls_was_expected() -> None:
    """Is no matter of certificates: it is said what to write."""
    with answering(version) as plain, pytest.raises(Transient, match="does not speak TLS") as failed:
        server(Reach(urls=(plain.endpoint.replace("http:", "https:"),)))

    assert "http://" in failed.value.hint


@pytest.mark.parametrize(
    "said",
    [
        {"message": "The security token included in the request is expired"},
        {"Message": "User: arn:aws:iam::1:role/agent is not authorized to perform: es:ESHttpGet"},
    ],
)
def test_what_the_service_says_before_the_cluster_is_asked(said: dict[str, str]) -> None:
    """Amazon's own refusals have their words in another place; they are shown."""
    body = json.dumps(said).encode()
    reply = Reply(status=403, body=body, headers={"content-type": "application/json"})
    with answering(lambda _asked: reply) as service, pytest.raises(Refused) as failed:
        server(Reach(urls=(service.endpoint,)))

    assert f"refuses us (403): {next(iter(said.values()))}" == failed.value.wrong


@pytest.mark.parametrize("kind", ["cluster_block_exception", "index_create_block_exception"])
def test_a_block_is_no_matter_of_rights(kind: str) -> None:
    """A disk that is too full makes the cluster answer 403 as well: nobody has to look at users and passwords for it."""
    reply = error(403, kind)
    with answering(lambda _asked: reply) as full, pytest.raises(Refused, match=r"cannot take it now \(403\)") as failed:
        server(Reach(urls=(full.endpoint,)))

    assert "password" not in failed.value.hint


def test_one_of_several_hosts_is_enough() -> None:
    """Which one does not matter; where none answers, all of them are named."""
    with answering(version) as up:
        assert {"2.19.6"} == {server(Reach(urls=("http://127.0.0.1:1", up.endpoint))) for _ in range(4)}

    with pytest.raises(Transient, match=r"127\.0\.0\.1:1 .*127\.0\.0\.1:2"):
        server(Reach(urls=("http://127.0.0.1:1", "http://127.0.0.1:2")))


def test_signed_requests_are_verified_as_the_service_does() -> None:
    """Every kind of request we make, with names that are odd, bodies that are packed and queries."""
    with opensearch() as search:
        told: list[str | None] = []

        def verify(asked: Asked) -> Reply | None:
            told.append(wrong(asked, service="es", region="eu-west-1", secrets=SECRETS))
            return None if told[-1] is None else Reply(status=403, body=b"{}")

        search.before = verify
        cluster = OpenSearchCluster(Reach(urls=(search.endpoint,), sign=signing("es", "eu-west-1")))
        cluster.server()
        cluster.indices("s3-batch-*,odd name é")
        cluster.put_component_template("a b", {"template": {}})
        cluster.create_index("s3-batch-2026.11", {"aliases": {}, "mappings": {}})
        cluster.bulk('{"create":{"_index":"i","_id":"1"}}\n{"é":1}\n')
        cluster.close()

    assert [None] * 5 == told


def test_the_verifying_server_refuses() -> None:
    """What is not signed, signed for another region, or by somebody else: the check above can fail."""
    with opensearch() as search:
        for sign, words in (
            (None, "not signed"),
            (signing("es", "us-east-1"), "signed for es in us-east-1"),
            (signing("es", "eu-west-1"), "unknown access key"),
        ):
            told: list[str | None] = []
            secrets = {} if words == "unknown access key" else SECRETS
            search.before = lambda asked, told=told, secrets=secrets: told.append(  # type: ignore[misc]
                wrong(asked, service="es", region="eu-west-1", secrets=secrets)
            )
            server(Reach(urls=(search.endpoint,), sign=sign))

            assert [words] == told
        changed = search.requests[-1]
        altered = Asked(changed.method, changed.target + "?pretty=", changed.headers, changed.body)
        assert "the signature is wrong" == wrong(altered, service="es", region="eu-west-1", secrets=SECRETS)
        altered = Asked(changed.method, changed.target, changed.headers, b"x")
        assert "the body is another one" == wrong(altered, service="es", region="eu-west-1", secrets=SECRETS)


def test_without_credentials_nothing_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said, and waits: a role may come back."""
    from s3sync.store import aws

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    aws._session.cache_clear()
    try:
        with pytest.raises(Transient, match="credentials for es in eu-west-1"):
            server(Reach(urls=("http://127.0.0.1:1",), sign=signing("es", "eu-west-1")))
    finally:
        aws._session.cache_clear()


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"URL": "https://search-x-abc.eu-west-1.es.amazonaws.com"}, ("es", "eu-west-1")),
        ({"URL": "https://abc.eu-west-1.aoss.amazonaws.com"}, ("aoss", "eu-west-1")),
        ({"URL": "https://search.example.org", "AWS_REGION": "eu-west-3"}, ("es", "eu-west-3")),
        ({"URL": "https://ann:secret@search-x-abc.eu-west-1.es.amazonaws.com"}, None),
        ({"URL": "https://search.example.org"}, None),
    ],
)
def test_what_is_signed(given: dict[str, str], asked: tuple[str, str] | None) -> None:
    """Requests to the service by its own names, and wherever a region is set; a name and password are used instead."""
    signed: list[tuple[str, str]] = []
    settings = read({f"S3BATCH_OPENSEARCH_{name}": value for name, value in given.items()})
    assert isinstance(settings, Settings)

    def sign(service: str, region: str) -> Sign:
        signed.append((service, region))
        return signing(service, region)

    reach_of(settings, sign)

    assert ([] if asked is None else [asked]) == signed


def test_commas_part_hosts_and_not_passwords() -> None:
    """Only a comma before another URL does."""
    settings = read({"S3BATCH_OPENSEARCH_URL": "https://a:b,c@one:9200, https://a:b,c@two:9200/"})

    assert ("https://a:b,c@one:9200", "https://a:b,c@two:9200") == settings.opensearch_url
    assert "b,c" not in repr(settings) + str(settings.shown())
