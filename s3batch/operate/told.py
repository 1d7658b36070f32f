"""Which events of `s3batch` people are told of at once or when they last, and what the day's digest counts. Pure."""

from __future__ import annotations

from s3sync.observe.troubles import RUN, Route, Urgency

ROUTES = {
    RUN: Route(Urgency.NOW),
    "step_failed": Route(
        Urgency.NOW,
        over=("archive_released",),
        by="step",
        eases="!permanent",
        over_by={"thaw": ("thaw_ready",), "deliver": ("member_delivered",)},
    ),
    "degraded": Route(Urgency.NOW, by="cause"),
    "spool_full": Route(Urgency.LASTING, over=("archive_released",)),
    "index_away": Route(Urgency.LASTING, over=("archive_indexed",)),
    "thaw_overdue": Route(Urgency.NOW, over=("thaw_ready",)),
    "watch_failed": Route(Urgency.DIGEST, by="what"),
    "originals_kept": Route(Urgency.DIGEST, by="reason"),
}
"""By the name of the event. Other warnings and errors come with the digest."""

DONE = {
    "archive_released": "archives of bucket",
    "request_filed": "restore requests filed",
    "request_finished": "restore requests finished",
    "thaw_asked": "thaws asked for of bucket",
}
