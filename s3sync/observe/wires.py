"""Ways to a syslog server: datagrams, a connection, a connection inside TLS. Every call ends within its time.

Messages on a connection are counted in octets (RFC 6587, 3.4.1; RFC 5425, 4.3), so that none can pretend to be two. Syslog has
no answers: what was handed to the kernel when a connection broke is lost, and nobody can say how much that was. A connection
that the other side has closed is noticed before the next message is written into it.
"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Protocol

from s3sync.observe.lines import SyslogProtocol

CONNECT_SECONDS = 5.0
SEND_SECONDS = 10.0

UDP_BYTES = 2048
"""What every receiver of RFC 5424 should take (section 6.1)."""
STREAM_BYTES = 8192
"""What rsyslog takes unless told otherwise (`maxMessageSize`)."""


class Wire(Protocol):
    """Carries messages; for one thread. `send` raises `OSError` where a message did not go."""

    longest_bytes: int

    def send(self, message: bytes) -> None:
        """Hand one message over."""

    def close(self) -> None:
        """Let go; a second time is harmless."""


class Datagrams:
    """UDP: the name is looked up for every message, so that a server may move."""

    longest_bytes = UDP_BYTES

    def __init__(self, host: str, port: int) -> None:
        """Send to `port` of `host`."""
        self._address = (host, port)

    def send(self, message: bytes) -> None:
        """Send one datagram."""
        family, kind, protocol, _, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.sendto(message, address)

    def close(self) -> None:
        """Nothing is held."""


class Connection:
    """TCP, plain or inside TLS; connected when there is something to say."""

    longest_bytes = STREAM_BYTES

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Speak to `port` of `host`, by `tls` where that is wanted."""
        self._address = (host, port)
        self._tls = tls
        self._socket: socket.socket | None = None

    def send(self, message: bytes) -> None:
        """Write one message, connecting first where that must be."""
        if self._socket is not None and _has_ended(self._socket):
            self.close()
        try:
            self._connected().sendall(b"%d %s" % (len(message), message))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let the connection go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            plain = socket.create_connection(self._address, timeout=CONNECT_SECONDS)
            try:
                self._socket = plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self._address[0])
            except BaseException:
                plain.close()
                raise
            self._socket.settimeout(SEND_SECONDS)
        return self._socket


def _has_ended(connection: socket.socket) -> bool:
    """Tell whether the other side has closed; whatever it says besides is of no interest."""
    connection.settimeout(0)
    try:
        return connection.recv(4096) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(SEND_SECONDS)


def wire_to(host: str, port: int, protocol: SyslogProtocol, ca: Path | None) -> Wire:
    """Return the way to a server. With TLS its certificate must be good for `host`, by `ca` or by what this host trusts.

    Raises `OSError` where `ca` cannot be read.
    """
    place = host.strip("[]")
    if protocol is SyslogProtocol.UDP:
        return Datagrams(place, port)
    return Connection(place, port, ssl.create_default_context(cafile=ca) if protocol is SyslogProtocol.TLS else None)
