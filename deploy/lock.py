"""Take every trace of where packages came from out of Pipfile.lock: pip's own configuration says that, on each machine.

Hashes stay, so it makes no difference to what is installed. Run by `make lock` after pipenv has written the file.
"""

from __future__ import annotations

import json
from pathlib import Path

LOCK = Path(__file__).parent.parent / "Pipfile.lock"


def main() -> None:
    """Rewrite the lock file in pipenv's own format."""
    lock = json.loads(LOCK.read_text("utf-8"))
    lock["_meta"]["sources"] = []
    for group in ("default", "develop"):
        for package in lock[group].values():
            package.pop("index", None)
    LOCK.write_text(json.dumps(lock, indent=4, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
