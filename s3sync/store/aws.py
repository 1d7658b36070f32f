"""The one file that imports boto3: makes the client, and turns what it raises into our failures.

Whatever AWS's own variables, profiles and roles say is taken, the endpoint too (`AWS_ENDPOINT_URL_S3`); only what the promises
of the store rest on is set here. Attempts and timeouts are explicit, because a retry that nobody sees can make our own success
look like somebody else's object. Checksums are only sent where we name them: the ones botocore adds by itself cost time and
break S3-compatible servers. Bodies are not hashed a second time for the signature where TLS guards them. `ExpectedBucketOwner`
is put into every request in one place, because a bucket's name here comes from a folder that a client may have made.
"""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import urllib3.exceptions
from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name for its own family
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from s3sync.errors import Failure, Permanent, Transient, Usage
from s3sync.store.s3_errors import NOWHERE, failure_of
from s3sync.store.sigv4 import Keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OWNER_AUTO = "auto"
"""The caller's own account where the endpoint is AWS; elsewhere nobody is asked for, since accounts mean nothing there."""
OWNER_ANY = "any"

ATTEMPTS = 5
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 60
"""For silence, not for the whole reply: S3 sends blanks while it completes a large upload."""

# Where awscrt is there, botocore has it sign. Over plain http that hashes the body as well, 4 KiB at a time, each fetched by a
# call into Python while all other threads wait; botocore's own signer takes a MiB, and nobody waits while it is hashed.
AUTH_TYPE_MAPS["s3v4"] = S3SigV4Auth

_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
_TRY_LATER = (ConnectionError, HTTPClientError, IncompleteReadError, urllib3.exceptions.HTTPError)
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, MetadataRetrievalError)


@cache
def _session() -> boto3.session.Session:
    """One a process: it finds credentials, renews them, and keeps the service models it has read."""
    return boto3.session.Session()


def _config(*, connections: int, sign_bodies: bool) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_pool_connections=connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3=None if sign_bodies else {"payload_signing_enabled": False},
    )


def connect(*, connections: int) -> S3Client:
    """Return a client for the endpoint and account that AWS's own variables and files name; it may be used by all threads.

    Raises `Usage` where these contradict each other or name no region.
    """
    try:
        client = _session().client("s3", config=_config(connections=connections, sign_bodies=True))
        if client.meta.endpoint_url.startswith("https:"):
            client = _session().client("s3", config=_config(connections=connections, sign_bodies=False))
    except (BotoCoreError, ValueError) as error:
        raise Usage("AWS settings", str(error), "Correct AWS's own variables, or its config file") from error
    return client


def keys_now() -> Keys | None:
    """Return the credentials that a request made now is signed with, renewed where they had to be; None where there are none.

    Raises what `asking` is there for.
    """
    credentials = _session().get_credentials()
    if credentials is None:
        return None
    frozen = credentials.get_frozen_credentials()
    return Keys(frozen.access_key or "", frozen.secret_key or "", frozen.token)


def dialling(client: S3Client) -> Callable[[str], socket.socket | None]:
    """Return what opens a connection to an origin as `client` does: by its proxy, its certificates, its timeouts.

    What it returns is None where no connection can be had, or the proxy wants requests of another form: let the client try.
    """
    # botocore offers no way to these; what they are is held by tests/store/test_short_way.py.
    session: Any = client._endpoint.http_session  # type: ignore[attr-defined]  # noqa: SLF001

    def dial(origin: str) -> socket.socket | None:
        proxy = session._proxy_config.proxy_url_for(origin)  # noqa: SLF001
        if proxy is not None and session._get_request_target(f"{origin}/", proxy) != "/":  # noqa: SLF001
            return None
        pool = session._get_connection_manager(origin, proxy).connection_from_url(origin)  # noqa: SLF001
        session._setup_ssl_cert(pool, origin, session._verify)  # noqa: SLF001
        try:
            connection = pool._new_conn()  # noqa: SLF001
            if proxy is None:
                connection.connect()
            else:
                pool._prepare_proxy(connection)  # noqa: SLF001
        except (OSError, urllib3.exceptions.HTTPError):
            return None
        return _patient(connection.sock)

    return dial


def _patient(opened: socket.socket) -> socket.socket:
    """Let the kernel watch over the time-out: Python would ask before each reading and writing whether it can be done."""
    opened.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        opened.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", *_timeval(READ_TIMEOUT_SECONDS)))
    return opened


def _timeval(seconds: float) -> tuple[int, int]:
    return (int(seconds), int(seconds % 1 * 1e6))


def is_aws(endpoint_url: str) -> bool:
    """Tell whether an endpoint is AWS itself and not something that speaks its language."""
    return (urlsplit(endpoint_url).hostname or "").endswith(_AWS_HOSTS)


def demand_owner(client: S3Client, policy: str) -> None:
    """Make every request of `client` name the account that must own the bucket.

    `policy` is `auto`, `any` or a 12-digit account id; anything else raises `Usage`. With `auto` the account is looked up once,
    at the first request; where that fails the request raises what the look-up raised.
    """
    if policy == OWNER_ANY or (policy == OWNER_AUTO and not is_aws(client.meta.endpoint_url)):
        return
    if policy != OWNER_AUTO and not re.fullmatch(r"\d{12}", policy):
        raise Usage("bucket owner", f"{policy!r} is no account", f"Give 12 digits, `{OWNER_AUTO}` or `{OWNER_ANY}`")
    owner = _once(_own_account) if policy == OWNER_AUTO else lambda: policy

    # botocore names the arguments of its hooks, and gives more of them than are needed here.
    def name_owner(params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401
        if "ExpectedBucketOwner" in model.input_shape.members:
            params.setdefault("ExpectedBucketOwner", owner())

    client.meta.events.register("before-parameter-build.s3", name_owner)


def _own_account() -> str:
    with asking("the caller's account", "ask STS for it"):
        return _session().client("sts", config=_config(connections=1, sign_bodies=True)).get_caller_identity()["Account"]


def caller() -> str:
    """Return who AWS says we are (an ARN). Raises what `asking` raises."""
    with asking("the caller's identity", "ask STS for it"):
        return _session().client("sts", config=_config(connections=1, sign_bodies=True)).get_caller_identity()["Arn"]


def signing(service: str, region: str) -> Callable[[str, str, bytes | str | None], dict[str, str]]:
    """Return what signs requests to an AWS service that has no client here: method, URL and body in, headers out.

    The URL is signed as it is written. Credentials are looked up, and renewed, at each request. What is returned raises what
    `asking` raises.
    """

    def sign(method: str, url: str, body: bytes | str | None) -> dict[str, str]:
        subject = f"credentials for {service} in {region}"
        with asking(subject, "sign a request"):
            credentials = _session().get_credentials()
            if credentials is None:
                raise NoCredentialsError
            request = AWSRequest(method=method, url=url, data=body)
            request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(_as_bytes(body)).hexdigest()
            SigV4Auth(credentials.get_frozen_credentials(), service, region).add_auth(request)
        return dict(request.headers.items())

    return sign


def publish(topic: str, subject: str, text: str) -> None:
    """Publish to an SNS topic, within seconds or not at all: who tells people of troubles must not wait for one.

    A subject is ASCII of at most 100 characters, a message of at most 256 KiB (SNS, Publish). Raises what `asking` raises.
    """
    with asking(topic, "publish to it"):
        region = topic.split(":")[3] if topic.count(":") >= 5 else None  # noqa: PLR2004 - parts of an ARN
        config = Config(retries={"total_max_attempts": 2}, connect_timeout=CONNECT_TIMEOUT_SECONDS, read_timeout=10)
        client = _session().client("sns", region_name=region, config=config)
        title = re.sub(r"[^\x20-\x7e]", "?", subject)[:100]
        with closing(client):
            client.publish(TopicArn=topic, Subject=title, Message=text[:60_000])


def _as_bytes(body: bytes | str | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _once(ask: Callable[[], str]) -> Callable[[], str]:
    """Return `ask` with its first answer kept. A failure is not kept."""
    lock = threading.Lock()
    answers: list[str] = []

    def answer() -> str:
        with lock:
            if not answers:
                answers.append(ask())
            return answers[0]

    return answer


@contextmanager
def asking(subject: str, doing: str, *, as_in: Mapping[str, type[Failure]] = NOWHERE) -> Iterator[None]:
    """Turn what boto3 raises while `doing` something with `subject` into our family of failures.

    `as_in` names codes that mean something of their own in this call.
    """
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code, message = said.get("Code", ""), said.get("Message", "")
        raise failure_of(code, status, subject=subject, doing=doing, message=message, as_in=as_in) from error
    except _NO_CREDENTIALS as error:
        hint = "Give credentials by AWS's own variables, a profile or a role"
        raise Transient(subject, f"cannot {doing}: {error}", hint) from error
    except _TRY_LATER as error:
        raise Transient(subject, f"cannot {doing}: {error}", "Look at the network and the endpoint") from error
    except ResponseParserError as error:
        raise Transient(subject, f"cannot {doing}: {error}", "Look for a proxy in between that answers for S3") from error
    except ParamValidationError as error:
        raise Permanent(subject, f"cannot {doing}: {error}") from error
    except BotoCoreError as error:
        raise Permanent(subject, f"cannot {doing}: {error}", "Look at AWS's own variables and its config file") from error


def refusal(error: BaseException | None) -> tuple[str, int]:
    """Return code and status of the reply behind a failure that `asking` raised; an empty code where there was no reply."""
    if not isinstance(error, ClientError):
        return ("", 0)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return (error.response.get("Error", {}).get("Code", ""), status)
