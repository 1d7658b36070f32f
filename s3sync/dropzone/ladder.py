"""Ask the rules in order: the first refusal for the scan, every rule's verdict for whoever asks why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from s3sync.dropzone.facts import FileFacts, FolderFacts
from s3sync.dropzone.glance import Glance, glance
from s3sync.dropzone.reasons import Reason, Refusal
from s3sync.dropzone.rules import (
    BUCKET_RULES,
    FILE_RULES,
    FOLDER_RULES,
    KNOWN_RULES,
    REMOVAL_RULES,
    FileCheck,
    Matters,
    Standards,
    resting,
)

Facts = TypeVar("Facts")


class Verdict(NamedTuple):
    """What one rule says of one path."""

    rule: str
    ok: bool
    detail: str
    reason: Reason | None = None
    """Why it refuses, by the name `status` counts by; None where it does not."""


class Ladder:
    """The rules in order, holding files to `standards`."""

    def __init__(self, standards: Standards) -> None:
        self.standards = standards
        self._known = tuple(check for _, check, matters in KNOWN_RULES if matters(standards))
        self._finished = tuple(check for _, check, matters in FILE_RULES if matters(standards))

    def refuses_bucket(self, name: bytes) -> Refusal | None:
        """Say why a first-level folder is not a bucket's."""
        return _first(BUCKET_RULES, name, self.standards)

    def refuses_folder(self, key: bytes) -> Refusal | None:
        """Say why a folder below a bucket folder is not entered; `key` is its path in the bucket."""
        return _first(FOLDER_RULES, key, self.standards)

    def refuses_removal(self, folder: FolderFacts) -> Refusal | None:
        """Say why nothing can be removed from a folder: asked once for all its files."""
        return _first(REMOVAL_RULES, folder, self.standards)

    def glance(self, folder: FolderFacts, removal: Refusal | None) -> Glance | None:
        """Return what lets most files of a folder pass at once, None where each has to be asked."""
        return None if removal is not None else glance(folder, self.standards)

    def refuses_file(self, file: FileFacts, removal: Refusal | None) -> Refusal | None:
        """Say why a file is left alone; `removal` is what `refuses_removal` said of its folder."""
        standards = self.standards
        for check in self._known:
            refusal = check(file, standards)
            if refusal is not None:
                return refusal
        if removal is not None:
            return removal
        for check in self._finished:
            refusal = check(file, standards)
            if refusal is not None:
                return refusal
        return None

    def rests(self, file: FileFacts) -> Refusal:
        """Say how long a file has to rest that a glance called young."""
        return resting(file.remaining_ns(self.standards.quiet))

    def bucket_verdicts(self, name: bytes) -> list[Verdict]:
        """Return what every rule for buckets says."""
        return _verdicts(BUCKET_RULES, name, self.standards)

    def folder_verdicts(self, key: bytes) -> list[Verdict]:
        """Return what every rule for entering folders says of the folder `key`."""
        return _verdicts(FOLDER_RULES, key, self.standards)

    def removal_verdicts(self, folder: FolderFacts) -> list[Verdict]:
        """Return what every rule for removing anything from a folder says."""
        return _verdicts(REMOVAL_RULES, folder, self.standards)

    def file_verdicts(self, file: FileFacts) -> list[Verdict]:
        """Return what every rule says of a file and of removing it, in the order `refuses_file` asks."""
        known = _verdicts(_named(KNOWN_RULES), file, self.standards)
        return known + self.removal_verdicts(file.folder) + _verdicts(_named(FILE_RULES), file, self.standards)


Rules = Iterable[tuple[str, Callable[[Facts, Standards], Refusal | None]]]


def _named(rules: Iterable[tuple[str, FileCheck, Matters]]) -> Rules[FileFacts]:
    """Return rules for files without what a scan asks of them first: who asks why is told of every rule."""
    return ((name, check) for name, check, _ in rules)


def _first(rules: Rules[Facts], facts: Facts, standards: Standards) -> Refusal | None:
    refusals = (check(facts, standards) for _, check in rules)
    return next((refusal for refusal in refusals if refusal is not None), None)


def _verdicts(rules: Rules[Facts], facts: Facts, standards: Standards) -> list[Verdict]:
    verdicts = []
    for rule, check in rules:
        refusal = check(facts, standards)
        verdicts.append(Verdict(rule, ok=True, detail="") if refusal is None else _refused(rule, refusal))
    return verdicts


def _refused(rule: str, refusal: Refusal) -> Verdict:
    return Verdict(rule, ok=False, detail=refusal.detail, reason=refusal.reason)
