"""The short way of the two hot requests: what it writes, and when botocore is asked after all.

A request of botocore's bears the number of its attempt, ours does not.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import create_connection, socket
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast

import pytest

from s3sync.store.aws import connect, dialling
from s3sync.store.contract import AlreadyThere, ObjectRef, Payload, Stopped
from s3sync.store.s3 import S3Store
from s3sync.store.short_way import SMALL_BYTES, Sent, Wish, learnt, wish_to_head
from s3sync.store.sigv4 import Keys
from s3sync.store.stored import NoLog, store_and_prove
from tests.doubles.certificates import answering_by_tls, certificate
from tests.doubles.http_server import LOST, Asked, HttpServer, Reply, answering
from tests.doubles.payloads import payload_of
from tests.doubles.sigv4 import wrong

DATA = b"some bytes"
REF = ObjectRef("bucket", "a folder/ü+~'.txt")
MARK = {"s3batch-id": "b-1", "s3sync-sha256": "ab" * 32}
BOTOCORE, OURS = "botocore", "ours"


class Shelf:
    """Just enough of S3: keeps what a HEAD has to tell."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}
        self.next: list[Callable[[Asked], Reply]] = []
        """What becomes of the requests to come, before all is well again."""

    def answer(self, asked: Asked) -> Reply:
        """Answer a request, by the script as long as there is one."""
        return self.next.pop(0)(asked) if self.next else self.plainly(asked)

    def plainly(self, asked: Asked) -> Reply:
        """Answer as S3 does."""
        if asked.method == "HEAD":
            told = self.kept.get(asked.path)
            return Reply(status=404) if told is None else Reply(headers=told, says_length=len(DATA))
        if asked.path in self.kept:
            return Reply(status=412, body=b"<Error><Code>PreconditionFailed</Code></Error>")
        told = {
            name.lower(): value for name, value in asked.headers.items() if name.lower().startswith(("x-amz-meta", "x-amz-ch"))
        }
        self.kept[asked.path] = {**told, "ETag": '"e"', "x-amz-checksum-type": "FULL_OBJECT"}
        return Reply(headers={"ETag": '"e"'})

    def lost(self, asked: Asked) -> Reply:
        """Do it, and lose the reply."""
        self.plainly(asked)
        return LOST


@pytest.fixture
def shelf() -> Shelf:
    """An empty one."""
    return Shelf()


@pytest.fixture
def server(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """The shelf over http."""
    with answering(shelf.answer) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened.endpoint)
        yield opened


@pytest.fixture
def store(server: HttpServer) -> Iterator[S3Store]:
    """A store that has put and looked at an object in the bucket, so that it knows the way."""
    made = S3Store(bucket_owner="123456789012")
    warmed(made, server)
    yield made
    made.close()


@pytest.fixture
def payload() -> Iterator[Payload]:
    """A small one."""
    with payload_of(DATA, metadata=MARK) as opened:
        yield opened


def warmed(store: S3Store, server: HttpServer) -> None:
    """Let the store see how botocore does it, and forget that it was asked."""
    with payload_of(DATA, metadata=MARK) as opened:
        store_and_prove(store, ObjectRef("bucket", "first"), opened, NoLog())
    server.asked.clear()


def by_whom(server: HttpServer) -> list[tuple[str, str]]:
    """Return the requests so far, and who made each."""
    return [(asked.method, BOTOCORE if "amz-sdk-request" in lowered(asked) else OURS) for asked in server.asked]


def puts_by(server: HttpServer) -> list[str]:
    """Return who made each PUT so far."""
    return [by for method, by in by_whom(server) if method == "PUT"]


def lowered(asked: Asked) -> dict[str, str]:
    """Return the headers of a request, names in lower case."""
    return {name.lower(): value for name, value in asked.headers.items()}


def test_both_requests_go_the_short_way_and_say_what_botocore_says(
    store: S3Store, server: HttpServer, payload: Payload
) -> None:
    """Signed, conditional, with checksum, class, marks and the owner demanded."""
    store_and_prove(store, REF, payload, NoLog())
    ours = list(server.asked)
    store.put(ObjectRef("bucket", "a//b"), payload, NoLog())
    theirs = server.asked[-1]

    assert [("PUT", OURS), ("HEAD", OURS), ("PUT", BOTOCORE)] == by_whom(server)
    secrets = {"testing": "testing"}
    assert [None, None] == [wrong(asked, service="s3", region="us-east-1", secrets=secrets) for asked in ours]
    assert DATA == ours[0].body
    said, would = lowered(ours[0]), lowered(theirs)
    different = {name for name in said.keys() | would.keys() if said.get(name) != would.get(name)}
    assert different <= {"authorization", "x-amz-date", "expect", "amz-sdk-invocation-id", "amz-sdk-request"}
    assert "123456789012" == lowered(ours[1])["x-amz-expected-bucket-owner"]


@pytest.mark.parametrize("key", ["a//b", "/a", "a/../b", "./a", "a/"])
def test_a_key_that_a_proxy_might_shorten_goes_by_botocore(
    store: S3Store, server: HttpServer, payload: Payload, key: str
) -> None:
    """It is stored under its own name."""
    store.put(ObjectRef("bucket", key), payload, NoLog())

    assert [("PUT", BOTOCORE)] == by_whom(server)
    assert [f"/bucket/{key}"] == [asked.path for asked in server.asked]


def test_what_is_large_goes_by_botocore(store: S3Store, server: HttpServer) -> None:
    """It is sent in pieces and can be stopped."""
    with payload_of(bytes(SMALL_BYTES + 1)) as payload:
        store.put(REF, payload, NoLog())

    assert [("PUT", BOTOCORE)] == by_whom(server)


def test_a_version_is_looked_at_by_botocore(store: S3Store, server: HttpServer, shelf: Shelf) -> None:
    """Its request has a query."""
    store.head(replace(REF, version_id="v"))

    assert [("HEAD", BOTOCORE)] == by_whom(server)


def test_an_object_in_the_way_is_heard_of_at_once(store: S3Store, server: HttpServer, payload: Payload) -> None:
    """It is not asked a second time, and the next file goes the short way too."""
    with pytest.raises(AlreadyThere):
        store.put(ObjectRef("bucket", "first"), payload, NoLog())
    store.put(REF, payload, NoLog())

    assert [OURS, OURS] == puts_by(server)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=503, body=b"<Error><Code>SlowDown</Code></Error>"),
        Reply(status=301, headers={"x-amz-bucket-region": "eu-west-1"}),
        Reply(status=204),
        Reply(body=b"<Error><Code>InternalError</Code></Error>"),
        Reply(cut_in_header=True),
        LOST,
    ],
)
def test_whatever_else_is_answered_botocore_asks_again(
    store: S3Store, server: HttpServer, shelf: Shelf, payload: Payload, reply: Reply
) -> None:
    """It succeeds, and from what it sends is learnt anew."""
    shelf.next = [lambda _asked: reply]

    store.put(REF, payload, NoLog())
    store.put(replace(REF, key="next"), payload, NoLog())

    assert [OURS, BOTOCORE, OURS] == puts_by(server)


def test_a_lost_reply_is_no_lost_object(store: S3Store, server: HttpServer, shelf: Shelf, payload: Payload) -> None:
    """The second attempt finds the first one's object in the way, and a look says that it is ours."""
    shelf.next = [shelf.lost]

    proof = store_and_prove(store, REF, payload, NoLog())

    assert [("PUT", OURS), ("PUT", BOTOCORE), ("HEAD", OURS)] == by_whom(server)
    assert payload.crc64nvme == proof.crc64nvme


def test_a_server_that_takes_one_request_at_a_time_is_asked_so(
    store: S3Store, server: HttpServer, shelf: Shelf, payload: Payload
) -> None:
    """The object is looked at again, and for a while nothing is sent in one breath.

    Whether the reply reaches us depends on how far the server's end was when it broke the connection.
    """
    shelf.next = [lambda asked: replace(shelf.plainly(asked), headers={"ETag": '"e"', "Connection": "close"})]

    store_and_prove(store, REF, payload, NoLog())
    at_once = store.put(replace(REF, key="next"), payload, NoLog())

    assert at_once is None
    first, *_, looked, last = by_whom(server)
    assert [("PUT", OURS), ("HEAD", OURS), ("PUT", OURS)] == [first, looked, last]


def told(answer: Reply, _asked: Asked) -> Reply:
    """Answer that, whatever is asked."""
    return answer


def test_what_a_look_in_the_same_breath_says_is_not_believed_against_the_object(
    store: S3Store, server: HttpServer, shelf: Shelf, payload: Payload
) -> None:
    """Whatever lies in between may answer out of turn, or from a cache: then the object is looked at again."""
    stale = Reply(headers={"ETag": '"old"', "x-amz-meta-s3batch-id": "another"}, says_length=3)
    for answer in (stale, Reply(status=404), Reply(headers={"x-amz-storage-class": "UNHEARD_OF", "ETag": '"e"'})):
        shelf.next = [shelf.plainly, partial(told, answer)]
        shelf.kept.clear()

        proof = store_and_prove(store, REF, payload, NoLog())

        assert '"e"' == proof.etag


def test_nothing_is_sent_when_the_work_is_to_stop(server: HttpServer, payload: Payload) -> None:
    """As on the long way."""
    stop = threading.Event()
    store = S3Store(bucket_owner="any", stopping=stop.is_set)
    warmed(store, server)
    stop.set()

    with pytest.raises(Stopped):
        store.put(REF, payload, NoLog())

    assert [] == server.asked
    store.close()


def test_each_request_is_signed_with_the_keys_of_the_moment(
    store: S3Store, server: HttpServer, payload: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role's keys change while the program runs."""
    monkeypatch.setattr(store._short_way, "_keys", lambda: Keys("other", "secret", "token"))

    store.put(REF, payload, NoLog())

    asked = server.asked[0]
    assert wrong(asked, service="s3", region="us-east-1", secrets={"other": "secret"}) is None
    assert "token" == lowered(asked)["x-amz-security-token"]
    assert "x-amz-security-token" in lowered(asked)["authorization"]


def test_without_keys_botocore_is_asked(store: S3Store, server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing."""
    monkeypatch.setattr(store._short_way, "_keys", lambda: None)

    store.head(REF)

    assert [("HEAD", BOTOCORE)] == by_whom(server)


def test_by_tls_the_body_is_not_hashed_again(
    shelf: Shelf, payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the certificate is judged by AWS's own setting."""
    shown = certificate(tmp_path)
    with answering_by_tls(shown, shelf.answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(shown.file))
        store = S3Store()
        warmed(store, server)

        store_and_prove(store, REF, payload, NoLog())

        assert [("PUT", OURS), ("HEAD", OURS)] == by_whom(server)
        assert ["UNSIGNED-PAYLOAD"] * 2 == [lowered(asked)["x-amz-content-sha256"] for asked in server.asked]
        store.close()


def test_a_certificate_nobody_vouches_for_gets_no_request(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is not even opened."""
    with answering_by_tls(certificate(tmp_path), shelf.answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        client = connect(connections=1)

        assert dialling(client)(server.endpoint) is None
        client.close()


def test_where_nobody_listens_there_is_no_connection() -> None:
    """The client is asked, and says so."""
    client = connect(connections=1)

    assert dialling(client)("http://127.0.0.1:1") is None
    client.close()


class Proxy(ThreadingTCPServer):
    """Leads through to whatever it is asked for; `asked` is what that was."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.asked: list[str] = []


class Tunnel(StreamRequestHandler):
    """A proxy that knows CONNECT."""

    def handle(self) -> None:
        """Lead one connection through."""
        target = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        cast(Proxy, self.server).asked.append(target)
        host, _, port = target.partition(":")
        with create_connection((host, int(port))) as onward:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, self.connection))
            back.start()
            pump(self.connection, onward)
            back.join()


def pump(source: socket, sink: socket) -> None:
    """Pass on what comes, and the end of it."""
    try:
        while some := source.recv(1 << 16):
            sink.sendall(some)
        sink.shutdown(1)
    except OSError:
        return


@pytest.fixture
def tunnel() -> Iterator[Proxy]:
    """A proxy at work."""
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_short_way_leads_through_the_proxy(
    shelf: Shelf, payload: Payload, tmp_path: Path, tunnel: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection, botocore's and ours."""
    shown = certificate(tmp_path)
    with answering_by_tls(shown, shelf.answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(shown.file))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.server_address[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        with closing(S3Store()) as store:
            warmed(store, server)
            store_and_prove(store, REF, payload, NoLog())

        assert [("PUT", OURS), ("HEAD", OURS)] == by_whom(server)
        assert [server.endpoint.removeprefix("https://")] * 2 == tunnel.asked


def test_plain_http_through_a_proxy_goes_by_botocore(
    server: HttpServer, shelf: Shelf, payload: Payload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a proxy wants requests of another form."""
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example")
    store = S3Store()
    warmed(store, server)

    store.head(REF)

    assert [("HEAD", BOTOCORE)] == by_whom(server)
    store.close()


KEYS = Keys("testing", "testing", None)
SENT = Sent(
    "HEAD",
    "https://bucket.s3.eu-west-1.amazonaws.com/a/b",
    {
        "host": "bucket.s3.eu-west-1.amazonaws.com",
        "user-agent": "Boto3",
        "x-amz-checksum-mode": "ENABLED",
        "x-amz-date": "20261128T124341Z",
        "x-amz-content-sha256": hashlib.sha256(b"").hexdigest(),
        "authorization": "AWS4-HMAC-SHA256 Credential=testing/20261128/eu-west-1/s3/aws4_request, "
        "SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date, "
        "Signature=67aa393e396134c1fa3de561f3c7fc2774c03f9e4b0c65bfd4af0ab5c19215c8",
    },
)
WISH = Wish("HEAD", "bucket", "a/b", {}, b"")


def changed(**headers: str | None) -> Sent:
    """Return what was sent with other headers."""
    both = {**SENT.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return SENT._replace(headers={name: value for name, value in both.items() if value is not None})


def test_a_bucket_in_the_host_name_is_learnt_from() -> None:
    """AWS's own buckets are asked there."""
    pattern = learnt(WISH, SENT, KEYS)

    assert pattern is not None
    assert ("https://bucket.s3.eu-west-1.amazonaws.com", "/a/b", "eu-west-1") == (
        pattern.origin,
        pattern.path("a/b"),
        pattern.scope.region,
    )


@pytest.mark.parametrize(
    "sent",
    [
        changed(x_amz_request_payer="requester"),
        changed(x_amz_trailer="x-amz-checksum-crc32"),
        changed(x_amz_content_sha256=None),
        changed(x_amz_date=None),
        changed(authorization=None),
        changed(authorization="AWS4-ECDSA-P256-SHA256 Credential=testing/20261128/s3/aws4_request, Signature=00"),
        changed(authorization="AWS testing:c2lnbmF0dXJl"),
        changed(x_amz_security_token="of other keys"),
        changed(x_amz_s3session_token="of a directory bucket"),
        SENT._replace(url=f"{SENT.url}?versionId=1"),
        SENT._replace(url="https://bucket.s3.eu-west-1.amazonaws.com/another"),
        SENT._replace(method="GET"),
    ],
)
def test_nothing_is_learnt_from_what_we_would_write_differently(sent: Sent) -> None:
    """Another way of signing, a header that may mean anything, another address."""
    assert learnt(WISH, sent, KEYS) is None


def test_nothing_is_learnt_with_other_keys() -> None:
    """They may have been renewed in between."""
    assert learnt(WISH, SENT, Keys("testing", "another", None)) is None


def test_only_the_current_version_is_wished_for() -> None:
    """Another one needs a query."""
    assert WISH == wish_to_head(ObjectRef("bucket", "a/b"))
    assert wish_to_head(ObjectRef("bucket", "a/b", "v")) is None
