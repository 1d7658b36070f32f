"""Open, for those who only look, what the state folder holds: see `s3batch.operate.records`."""

from __future__ import annotations

from pathlib import Path

from s3batch.app import App
from s3batch.operate.records import Records
from s3sync.errors import Preflight


def open_records(app: App) -> Records:
    """Return what is there. Raises `Preflight` where we may not look into the state folder, and what opening raises."""
    state = app.settings.state
    journal, catalogue = _is_there(state / "journal.db"), _is_there(state / "catalogue.db")
    return Records(
        spool=app.settings.spool,
        db=app.journal_db if journal else None,
        journal=app.journal if journal else None,
        unreleased=app.unreleased if journal else None,
        catalogue=app.catalogue if catalogue else None,
        outbox=app.outbox if journal and catalogue else None,
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError as error:
        hint = "Run it as the agent's user, or as root"
        raise Preflight(str(path.parent), "may not be looked into", hint) from error
