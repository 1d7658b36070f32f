"""The watch over one run of an agent: metrics, health, and what becomes of them when it ends.

Whatever goes wrong with the watch is told by an event, and the agent works without it: a taken port or a full disk of
monitoring is no reason to archive nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from s3sync import __version__
from s3sync.errors import Exit, Failure, Locked
from s3sync.events import Listener
from s3sync.observe.channels import Channel, channel_to
from s3sync.observe.counts import Counts
from s3sync.observe.endpoint import Endpoint
from s3sync.observe.metrics import Metric
from s3sync.observe.notifier import Notifier
from s3sync.observe.troubles import Ledger, Route
from s3sync.observe.watch import Look, Plan, Watch, WatchFailed
from s3sync.own_folders import refuse_unless_ours
from s3sync.settings import CommonSettings
from s3sync.statedb import StateDb
from s3sync.store.aws import publish
from s3sync.wiring import Wiring

MEMORY = "watch.db"
GOODBYE_SECONDS = 1.0
"""What the end of an agent may take for the last messages; what is not sent by then is sent by the next start."""
FAREWELL_SECONDS = 15.0
"""The same, of a single pass or of a run that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What a program measures, and how."""

    metrics: Sequence[Metric]
    look: Look
    counting: Callable[[Counts], Listener]
    routes: Mapping[str, Route]
    """Which of its events people are told of at once, or when they last, and what ends them."""
    done: Mapping[str, str]
    """The events that the day's digest counts, and what they mean."""


def watched(app: Wiring, run: Callable[[], Exit], measures: Measures, *, once: bool) -> Exit:
    """Run the agent under watch and return its code. Raises what `run` raises."""
    with ExitStack() as stack:
        memory = _memory(app, stack)
        watch = _watch(app, measures, memory, stack, once=once)
        notifier = _notifier(app, measures, memory, once=once)
        try:
            code = run()
        except Locked:
            raise  # it says nothing of the agent that is at work, and neither do we
        except Exception as error:
            code = error.exit if isinstance(error, Failure) else Exit.FAILED
            _ended(watch, notifier, code, wrong=str(error) or type(error).__name__, once=once)
            raise
        if watch is not None and once:
            watch.look()
        _ended(watch, notifier, code, wrong="", once=once)
        return code


def _ended(watch: Watch | None, notifier: Notifier | None, code: Exit, *, wrong: str, once: bool) -> None:
    if watch is not None:
        watch.ended(code)
    if notifier is not None:
        notifier.ended(wrong, FAREWELL_SECONDS if wrong or once else GOODBYE_SECONDS)


def _watch(app: Wiring, measures: Measures, memory: StateDb | None, stack: ExitStack, *, once: bool) -> Watch | None:
    """Return who looks at how things stand; nobody where no figures are wanted."""
    settings = app.settings
    if settings.metrics_file is None and (once or settings.metrics_listen is None):
        return None
    counts = Counts(memory)
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


def _notifier(app: Wiring, measures: Measures, memory: StateDb | None, *, once: bool) -> Notifier | None:
    """Return who tells people; nobody where nobody is to be told, or nothing can be remembered. Raises `Usage`."""
    channels = channels_of(app.settings)
    if not channels or memory is None:
        return None
    ledger = Ledger(measures.routes, measures.done, host=app.host, program=app.PROGRAM)
    interesting = {*measures.done, *(name for route in measures.routes.values() for name in route.enders())}
    notifier = Notifier(
        ledger,
        channels,
        memory,
        digest_at=app.settings.notify_digest,
        now=app.now,
        listener=app.listener,
        wanted=lambda event: event.name in interesting,
    )
    app.others.append(notifier)
    if not once:
        app.at_work.append(notifier.start)
    return notifier


def channels_of(settings: CommonSettings) -> list[Channel]:
    """Return the ways to people that the settings name. Raises `Usage` where one is none."""
    return [channel_to(address, publish) for address in settings.notify or ()]


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
    """Return where the watch remembers; None where nobody wants it to, or where the state folder cannot be used.

    The latter the agent will say as well, with what to do.
    """
    settings = app.settings
    if settings.metrics_file is None and settings.metrics_listen is None and settings.notify is None:
        return None
    try:
        refuse_unless_ours(app.state_folder, settings.variable("state"))
        return stack.enter_context(StateDb.open(app.state_folder / MEMORY))
    except Failure as failure:
        app.listener(WatchFailed(what="memory", wrong=str(failure)))
        return None
