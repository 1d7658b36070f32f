"""Mail and everything else, by apprise: the one file that knows it. Imported only where such an address is given."""

from __future__ import annotations

import apprise

from s3sync.errors import Transient, Usage
from s3sync.observe.troubles import Kind, Message

_TYPES = {
    Kind.FAILURE: apprise.NotifyType.FAILURE,
    Kind.RECOVERY: apprise.NotifyType.SUCCESS,
    Kind.DIGEST: apprise.NotifyType.INFO,
    Kind.TEST: apprise.NotifyType.INFO,
}


class Apprise:
    """One address as apprise writes it, such as `mailto://user:password@example.org`."""

    def __init__(self, address: str) -> None:
        """Send to `address`. Raises `Usage` where apprise does not know what it means."""
        self.name = f"{address.partition(':')[0]} (apprise)"
        self._apprise = apprise.Apprise()
        if not self._apprise.add(address):
            raise Usage(self.name, "is no address that apprise knows", "Write it as apprise's own pages say")

    def send(self, message: Message) -> None:
        """Hand it over. Raises `Transient`; why it failed, apprise says only to its own log."""
        sent = self._apprise.notify(title=message.subject, body=message.text, notify_type=_TYPES[message.kind])
        if not sent:
            raise Transient(self.name, "did not take the message", "Look at the address and its server")
