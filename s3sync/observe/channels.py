"""Ways to people: an SNS topic, a webhook, and whatever apprise knows (mail first of all). Each says why it took no message."""

from __future__ import annotations

import base64
import importlib
import json
import urllib.request
from collections.abc import Callable
from typing import Protocol, cast
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from s3sync.errors import Transient, Usage
from s3sync.observe.troubles import Message

TIMEOUT_SECONDS = 10.0


class Channel(Protocol):
    """A way to people. `name` shows no secret."""

    name: str

    def send(self, message: Message) -> None:
        """Hand the message over, within seconds. Raises `Failure`."""


class Webhook:
    """An address that takes the message as JSON: `kind`, `subject`, `text`, `bucket`, `cause`."""

    def __init__(self, url: str) -> None:
        """Post to `url`, http or https; name and password in it are sent as Basic authorization."""
        parts = urlsplit(url)
        secret, _, place = parts.netloc.rpartition("@")
        self._url = parts._replace(netloc=place).geturl()
        self._headers = {"Content-Type": "application/json", "User-Agent": "s3batch"}
        if secret:
            self._headers["Authorization"] = f"Basic {base64.b64encode(unquote(secret).encode()).decode()}"
        self.name = f"webhook {place}"

    def send(self, message: Message) -> None:
        """Post it."""
        body = {
            "kind": message.kind,
            "subject": message.subject,
            "text": message.text,
            "bucket": message.bucket,
            "cause": message.cause,
        }
        request = urllib.request.Request(self._url, json.dumps(body).encode(), self._headers, method="POST")  # noqa: S310
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
                return
        except (OSError, ValueError) as error:  # HTTPError and URLError are OSErrors
            if isinstance(error, HTTPError):
                error.close()
            raise Transient(self.name, f"did not take the message: {error}", "Look at its address and its log") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A message goes where the settings say, and nowhere else."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nobody: the redirection is an error."""


class Topic:
    """An SNS topic, by its ARN."""

    def __init__(self, arn: str, publish: Callable[[str, str, str], None]) -> None:
        """Publish to `arn` by `publish` (topic, subject, text)."""
        self._arn = arn
        self._publish = publish
        self.name = f"topic {arn}"

    def send(self, message: Message) -> None:
        """Publish it."""
        self._publish(self._arn, message.subject, message.text)


def channel_to(address: str, publish: Callable[[str, str, str], None]) -> Channel:
    """Return the way to `address`. Raises `Usage` where it is none, or where the library for it is missing."""
    if address.startswith("arn:"):
        return Topic(address, publish)
    if address.startswith(("http://", "https://")):
        return Webhook(address)
    try:
        module = importlib.import_module("s3sync.observe.by_apprise")
    except ImportError as error:
        hint = "Install it: pip install 's3batch[notify]'"
        raise Usage(address.partition(":")[0], "needs the library apprise, which is not installed", hint) from error
    return cast(Channel, module.Apprise(address))
