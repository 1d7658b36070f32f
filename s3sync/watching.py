"""The watch over one run of an agent: metrics, health, and what becomes of them when it ends.

Whatever goes wrong with the watch is told by an event, and the agent works without it: a taken port or a full disk of
monitoring is no reason to archive nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from s3sync import __version__
from s3sync.errors import Exit, Failure, Locked
from s3sync.events import Listener
from s3sync.observe.counts import Counts
from s3sync.observe.endpoint import Endpoint
from s3sync.observe.metrics import Metric
from s3sync.observe.watch import Look, Plan, Watch, WatchFailed
from s3sync.own_folders import refuse_unless_ours
from s3sync.statedb import StateDb
from s3sync.wiring import Wiring

MEMORY = "watch.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What a program measures, and how."""

    metrics: Sequence[Metric]
    look: Look
    counting: Callable[[Counts], Listener]


def watched(app: Wiring, run: Callable[[], Exit], measures: Measures, *, once: bool) -> Exit:
    """Run the agent under watch and return its code. Raises what `run` raises."""
    with ExitStack() as stack:
        watch = _watch(app, measures, stack, once=once)
        try:
            code = run()
        except Locked:
            raise  # it says nothing of the agent that is at work, and neither do we
        except BaseException as error:
            if watch is not None:
                watch.ended(error.exit if isinstance(error, Failure) else Exit.FAILED)
            raise
        if watch is not None:
            if once:
                watch.look()
            watch.ended(code)
        return code


def _watch(app: Wiring, measures: Measures, stack: ExitStack, *, once: bool) -> Watch | None:
    """Return who looks at how things stand; nobody where no figures are wanted."""
    settings = app.settings
    if settings.metrics_file is None and (once or settings.metrics_listen is None):
        return None
    counts = Counts(_memory(app, stack))
    plan = Plan(
        program=app.PROGRAM,
        version=__version__,
        metrics=measures.metrics,
        walk_every=settings.scan_interval,
        textfile=settings.metrics_file,
    )
    watch = Watch(plan, measures.look, counts, now=app.now, listener=app.listener)
    app.others.append(measures.counting(counts))
    if not once:
        _listen(app, watch, stack)
        app.at_work.append(watch.start)
    return watch


def _listen(app: Wiring, watch: Watch, stack: ExitStack) -> None:
    address = app.settings.metrics_listen
    if address is None:
        return
    pages = {"/metrics": watch.metrics, "/healthz": watch.healthz, "/readyz": watch.readyz}
    try:
        stack.enter_context(Endpoint(address.host, address.port, pages))
    except Failure as failure:
        app.listener(WatchFailed(what="listener", wrong=str(failure)))


def _memory(app: Wiring, stack: ExitStack) -> StateDb | None:
    """Return where the watch remembers; None where the state folder is not ours or cannot be used, which the agent will say."""
    try:
        refuse_unless_ours(app.state_folder, app.settings.variable("state"))
        return stack.enter_context(StateDb.open(app.state_folder / MEMORY))
    except Failure as failure:
        app.listener(WatchFailed(what="memory", wrong=str(failure)))
        return None
