from __future__ import annotations

from datetime import UTC, datetime

from s3batch.standing import backlog
from s3sync.observe.standing import Standing, files, sentence


def test_all_is_said_in_one_sentence_or_three() -> None:
    """What it does, what waits, when it last got something through, what to look at, and what a restart is needed for."""
    standing = Standing(
        doing="resting",
        backlog="12 files wait, 3 held",
        last=datetime(2026, 11, 25, 6, 31, 5, tzinfo=UTC),
        attention=["bucket x: refuses.", "bucket y: refuses."],
        restart_for=["S3BATCH_SPOOL"],
    )

    expected = (
        "Resting; 12 files wait, 3 held; last archive 2026-11-25 06:31 UTC. Look at: bucket x: refuses (and 1 more)."
        " A restart is needed for S3BATCH_SPOOL."
    )
    assert expected == sentence(standing)


def test_nothing_amiss_is_said_only_when_somebody_has_looked() -> None:
    """Before the first pass nobody knows."""
    standing = Standing(doing="at work", backlog="", last=None)

    assert "At work; nothing archived yet." == sentence(standing)
    assert "At work; nothing archived yet. All is well." == sentence(
        Standing(doing="at work", backlog="", last=None, attention=[])
    )


def test_waiting_and_held_are_told_apart() -> None:
    """Finished files wait; what a rule leaves alone is held; what is in the spool is on its way."""
    assert "1,003 files wait, 5 held, 1 archive on its way" == backlog(
        {"batch_not_full": 1_000, "spool_full": 3, "quiet": 5}, unfinished=1
    )
    assert "nothing waits" == backlog({}, unfinished=0)
    assert "1 file waits" == files(1, "waits", "wait")
