"""The embedded S3 of the demo: moto on a loopback port, in a process of its own; thaws take a few seconds instead of hours.

Run as `python -m s3batch.demo.server`; prints its port and serves until it is told to end. Everything it holds is in memory.
"""

from __future__ import annotations

import logging
import signal
import sys

from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

THAW_SECONDS = 2


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    state_manager.set_transition("s3::keyrestore", {"progression": "time", "seconds": THAW_SECONDS})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.stop()


if __name__ == "__main__":
    main()
