"""`python -m tests.live`: fetch the live parts ahead of a run, so that its tests find them there; name what cannot be had."""

from __future__ import annotations

import argparse
import os

from s3sync.output import Output
from tests.live.fetch import cache_folder
from tests.live.parts import PARTS, LiveParts


def main() -> None:
    """Fetch."""
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument("--without", action="append", default=[], choices=sorted(PARTS), help="leave out a part")
    wanted = sorted(PARTS.keys() - set(parser.parse_args().without))
    parts = LiveParts(cache_folder(os.environ))
    parts.fetch_all(wanted)
    say = Output().text
    for name in wanted:
        reason = parts.reason(name)
        say(f"{PARTS[name].label}: {reason or 'here'}")


if __name__ == "__main__":
    main()
