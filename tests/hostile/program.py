"""Run the real program as it is, but for one thing: what was dropped a moment ago counts as quiet.

`python -m tests.hostile.program [--files N] WORDS...`; `--files` is the most descriptors it may have open.
"""

from __future__ import annotations

import resource
import sys
import time

if __name__ == "__main__":
    from s3batch.cli import main

    words = sys.argv[1:]
    if words[0] == "--files":
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(words[1]), int(words[1])))
        words = words[2:]
    real_time_ns = time.time_ns
    time.time_ns = lambda: real_time_ns() + 2 * 10**9
    sys.exit(main(words))
