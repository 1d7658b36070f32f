"""The way into an installation, against a server that records what it is sent."""

from __future__ import annotations

import email
import email.policy
import json
from pathlib import Path

import pytest

from s3batch.dashboards.installation import bring
from s3batch.dashboards.objects import ndjson, objects
from s3sync.errors import Permanent, Transient
from tests.doubles.certificates import answering_by_tls, certificate
from tests.doubles.http_server import Asked, Reply, answering


def said(body: object, status: int = 200) -> Reply:
    """Return a reply in JSON."""
    return Reply(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())


def test_what_arrives_is_what_was_made() -> None:
    """As one file of a form, overwriting, with the header that is demanded, and with user and password but not in the URL."""
    count = len(objects())
    with answering(lambda _asked: said({"success": True, "successCount": count})) as server:
        place = server.endpoint.replace("http://", "http://admin:p%40ss@")
        imported = bring(ndjson(), f"{place}/base")
    (asked,) = server.asked
    headers = {name.lower(): value for name, value in asked.headers.items()}
    form = email.message_from_bytes(
        f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + asked.body, policy=email.policy.default
    )
    (part,) = form.iter_parts()

    assert count == imported
    assert ("POST", "/base/api/saved_objects/_import", {"overwrite": "true"}) == (asked.method, asked.path, asked.query)
    assert ("true", "Basic YWRtaW46cEBzcw==") == (headers["osd-xsrf"], headers["authorization"])
    assert ("file", "s3batch.ndjson") == (part.get_param("name", header="content-disposition"), part.get_filename())
    assert ndjson().splitlines() == part.get_payload(decode=True).decode().splitlines()  # type: ignore[union-attr]
    assert "s3batch-9b1f8c52d4" not in ndjson()


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    """Is said to be that, with the setting that helps; and plain http where TLS was expected is no matter of certificates."""
    shown = certificate(tmp_path / "shown")
    with answering_by_tls(shown, lambda _asked: said({"success": True, "successCount": 1})) as https:
        with pytest.raises(Transient, match=r"cannot be trusted: .*self-signed certificate") as untrusted:
            bring(ndjson(), https.endpoint)
        trusted = bring(ndjson(), https.endpoint, shown.file)
    with answering(lambda _asked: said({})) as plain, pytest.raises(Transient, match="does not speak TLS"):
        bring(ndjson(), plain.endpoint.replace("http:", "https:"))

    assert "S3BATCH_OPENSEARCH_CA" in untrusted.value.hint
    assert 1 == trusted


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (said({"success": False, "successCount": 10, "errors": [{"id": "s3batch"}]}), Permanent, '"id": "s3batch"'),
        (said({"message": "no\nrights"}, 403), Transient, r"refuses \(403\).*no"),
        (Reply(status=302, headers={"Location": "/login"}), Transient, "refuses"),
        (Reply(body=b"<html>"), Transient, "none of an import"),
        (said([1]), Transient, "none of an import"),
        (Reply(reset=True), Transient, "cannot be reached"),
    ],
)
def test_every_other_answer_is_a_failure(reply: Reply, kind: type[Exception], words: str) -> None:
    """Refused objects, missing rights, a login page, something else altogether, nobody."""

    def answer(_asked: Asked) -> Reply:
        return reply

    with answering(answer) as server, pytest.raises(kind, match=words):
        bring(ndjson(), server.endpoint)
