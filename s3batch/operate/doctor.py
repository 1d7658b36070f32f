"""Is this host fit for the agent? One examination after another, each trying what the agent will do, where that is harmless.

Nothing stays behind: a probe file goes through each bucket folder's quarantine and is removed, and so is a quarantine that was
made for it; an upload is begun and aborted; leases are asked for and let go at once. Where somebody else than the agent's user
asks, quarantines are only compared: what that user may do is not what the agent may do.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3batch.operate import look_folders, look_host, look_search, look_store, look_zone, people
from s3batch.operate.agents import running_agent
from s3batch.operate.findings import Finding, Level, Looked, examine
from s3batch.operate.records import Records
from s3batch.operate.survey import survey
from s3batch.settings import Duty, Settings
from s3sync.dropzone.ladder import Ladder
from s3sync.dropzone.rules import Standards
from s3sync.dropzone.writers import snapshot
from s3sync.dropzone.zone import DropZone
from s3sync.keys import display
from s3sync.store.check import S3Probe
from s3sync.store.contract import StorageClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is examined. What may be missing is opened when it is looked at, and its failure is a finding."""

    settings: Settings
    zone: Callable[[], DropZone]
    records: Callable[[], Records]
    probe: Callable[[], S3Probe]
    standards: Standards
    search: Callable[[], look_search.Cluster | None] = lambda: None
    """The cluster of the fleet's index; None where none is configured."""
    only_buckets: Sequence[str] = ()
    """The buckets somebody asked about; none for all there are."""


def examination(patient: Patient) -> Iterator[Finding]:
    """Yield what is found, as it is found. Raises nothing. Lease signals are ignored by the caller."""
    examined = _Examination(patient)
    yield from examine("settings", "settings", examined.settings)
    yield from examine("agent", "agent", examined.agent)
    yield from examined.folders()
    yield from examined.zone()
    yield from examine("host", "kernel protections", look_host.look_at_protections)
    yield from examined.store()


class _Examination:
    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self._settings = patient.settings
        self._running = functools.cache(lambda: running_agent(self._settings.state, self._settings.folder))

    def settings(self) -> Looked:
        """Name variables that look like settings and are none."""
        strangers = self._settings.strangers()
        for problem in strangers:
            yield problem.name, Level.WARNING, f"is no setting; wanted: {problem.wanted}", "Correct its name, or unset it"
        if not strangers:
            yield "settings", Level.OK, "all of them are in order", ""

    def agent(self) -> Looked:
        """Say whether an agent runs, and whether we are its user."""
        running = self._running()
        owner = self._agents_uid()
        if running is None:
            yield "agent", Level.OK, "none is seen running on this host", ""
        else:
            yield "agent", Level.OK, f"running, pid {running.pid}", ""
        if owner is not None and owner != os.geteuid():
            detail = (
                f"the agent is {people.user(owner)}, and we are {people.user(os.geteuid())}: rights may differ from its own"
            )
            yield "this process", Level.WARNING, detail, f"Run doctor as that user: sudo -u '#{owner}' s3batch doctor"
        yield from look_zone.look_at_rights()

    def folders(self) -> Iterator[Finding]:
        """Look at every folder and disk, and at the journal."""
        settings, group = self._settings, "folders"
        yield from self._own_folder("state folder", settings.state, "S3BATCH_STATE")
        state_disk = functools.partial(look_folders.look_at_state_disk, settings.state)
        yield from examine(group, "disk of the state folder", state_disk)
        yield from examine(group, f"state folder {settings.state}", self._journal, fatal=True)
        yield from self._own_folder("spool", settings.spool, "S3BATCH_SPOOL")
        yield from examine(group, "disk of the spool", self._spool_disk)
        if settings.restore_dir is not None:
            yield from self._own_folder("restore folder", settings.restore_dir, "S3BATCH_RESTORE_DIR")

    def _own_folder(self, name: str, path: Path, variable: str) -> Iterator[Finding]:
        owner = self._agents_uid()
        uid = os.geteuid() if owner is None else owner
        look = functools.partial(look_folders.look_at_own_folder, name, path, variable, agents_uid=uid)
        return examine("folders", f"{name} {path}", look, fatal=True)

    def _journal(self) -> Looked:
        db = self._patient.records().db
        return () if db is None else look_folders.look_at_journal(db)

    def _spool_disk(self) -> Looked:
        settings = self._settings
        return look_folders.look_at_spool_disk(
            settings.spool,
            limit_bytes=settings.spool_limit,
            max_batch_bytes=settings.max_batch_size,
            max_batch_members=settings.max_batch_members,
        )

    def zone(self) -> Iterator[Finding]:
        """Try quarantines and rights on the drop zone, where there is one."""
        group = "drop zone"
        try:
            zone = self._patient.zone()
            buckets = self._buckets_in(zone)
        except Exception as error:  # noqa: BLE001 - whatever keeps it closed is the finding
            yield from examine(group, f"drop zone {self._settings.folder}", functools.partial(_raise, error), fatal=True)
            return
        look_at_root = functools.partial(look_folders.look_at_drop_zone, zone.path)
        yield from examine(group, f"drop zone {zone.path}", look_at_root)
        if not buckets:
            hint = f"Make a folder named for its bucket in {self._settings.folder}"
            yield Finding(group=group, subject="buckets", level=Level.NOTE, detail="there is no bucket folder yet", hint=hint)
        try_it = self._agents_uid() in {None, os.geteuid()}
        for bucket in buckets:
            look = functools.partial(look_zone.look_at_quarantine, zone, bucket, try_it=try_it)
            yield from examine(group, f"quarantine of {display(bucket)}", look)
        yield from examine(group, "rights", functools.partial(self._survey, zone, buckets))

    def _survey(self, zone: DropZone, buckets: Sequence[bytes]) -> Looked:
        found = survey(zone, buckets)
        yield from look_zone.look_at_survey(found, functools.cache(snapshot))
        yield from look_host.look_at_watches(found.folders, at_least=found.cut)

    def store(self) -> Iterator[Finding]:
        """Ask the account, every bucket, and the search."""
        group = "S3"
        try:
            probe = self._patient.probe()
        except Exception as error:  # noqa: BLE001 - whatever keeps us from connecting is the finding
            yield from examine(group, "AWS settings", functools.partial(_raise, error), fatal=True)
        else:
            yield from examine(group, "credentials", functools.partial(look_store.look_at_account, probe), fatal=True)
            yield from self._buckets(probe)
        yield from examine("search", "OpenSearch", self._search)

    def _search(self) -> Looked:
        cluster = self._patient.search()
        return () if cluster is None else look_search.look_at_search(cluster)

    def _buckets(self, probe: S3Probe) -> Iterator[Finding]:
        """Ask each bucket; what several of them tell alike (the clock) is told once."""
        settings = self._settings
        restore, packs = Duty.RESTORE in settings.duties, Duty.PACK in settings.duties
        buckets = self._all_buckets()
        told: set[tuple[str, Level]] = set()
        usable = 0
        for bucket in buckets:
            for finding in _asked(probe, bucket, settings.storage_class if packs else None, restore=restore):
                usable += finding.ok and finding.subject == f"storing into {bucket}"
                if finding.subject != _CLOCK or (_CLOCK, finding.level) not in told:
                    yield finding
                told.add((finding.subject, finding.level))
        if packs and buckets and not usable and not self._patient.only_buckets:
            detail = f"nothing can be stored in {'the only one' if len(buckets) == 1 else f'any of the {len(buckets)}'}"
            yield Finding(group="S3", subject="buckets", level=Level.ERROR, detail=detail, hint="Look at the findings above")
        if settings.manifest_bucket is not None and settings.manifest_bucket not in buckets:
            yield from _asked(probe, settings.manifest_bucket, StorageClass.STANDARD if packs else None, restore=False)

    def _all_buckets(self) -> list[str]:
        if self._patient.only_buckets:
            return list(self._patient.only_buckets)
        named = set(self._settings.buckets or ())
        with suppress(Exception):  # that the drop zone cannot be listed is told where it is looked at
            named |= {display(bucket) for bucket in self._buckets_in(self._patient.zone())}
        return sorted(named)

    def _buckets_in(self, zone: DropZone) -> list[bytes]:
        found = look_zone.bucket_folders(zone, Ladder(self._patient.standards))
        only = self._patient.only_buckets
        return [bucket for bucket in found if not only or display(bucket) in only]

    def _agents_uid(self) -> int | None:
        """Return whose the agent is: by the process, or by the state folder it left; None where there has never been one."""
        running = self._running()
        if running is not None and running.rights is not None:
            return running.rights.uid
        try:
            return os.stat(self._settings.state).st_uid
        except OSError:
            return None


def _raise(error: Exception) -> Looked:
    raise error


_CLOCK = "clock"


def _asked(probe: S3Probe, bucket: str, storage_class: StorageClass | None, *, restore: bool) -> Iterator[Finding]:
    ask = functools.partial(look_store.look_at_bucket, probe, bucket, storage_class=storage_class, restore=restore)
    return examine("S3", f"bucket {bucket}", ask)
