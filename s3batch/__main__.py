"""`python -m s3batch`. Worker processes import this file again: it must stay light, and do nothing unless it is the program."""

from __future__ import annotations

import sys

from s3batch.cli import main

if __name__ == "__main__":
    sys.exit(main())
