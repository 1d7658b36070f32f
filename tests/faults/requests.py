"""The requests of a life, in order, each of which a fault may strike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.doubles.network_faults import Fault
from tests.doubles.s3_calls import Call

BUCKET, BACK = "bucket", "back"
WITH_BODY = {"PutObject", "UploadPart", "CompleteMultipartUpload", "RestoreObject"}
CONDITIONAL = {"PutObject", "CompleteMultipartUpload", "GetObject"}
"""What we ask only on a condition: S3 says 412 and 409 of nothing else."""
OF: Mapping[str, Callable[[Call], bool]] = {
    "": lambda _call: True,
    "1": lambda call: call.part == 1,
    "2": lambda call: call.part == 2,
    "archive": lambda call: call.key.endswith(".tar"),
    "manifest": lambda call: call.key.startswith("s3-batch/"),
    "member": lambda call: call.bucket == BACK,
}
NAMED = {"PutObject", "HeadObject", "GetObject", "UploadPart"}
"""Requests of which there are several, told apart by what they are about."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One request of a life: the `number`-th `operation` on `what`."""

    operation: str
    what: str = ""
    number: int = 1

    def __str__(self) -> str:
        """Return its name in the table."""
        return f"{self.operation} {self.what}".strip() + (f" #{self.number}" if self.number > 1 else "")

    def matches(self, call: Call) -> bool:
        """Tell whether `call` is of this kind, whatever its number."""
        return call.operation == self.operation and OF[self.what](call)

    @property
    def faults(self) -> list[Fault]:
        """The faults that can happen to it."""
        impossible = set()
        if self.operation != "CompleteMultipartUpload":
            impossible.add(Fault.ERROR_IN_200)
        if self.operation not in WITH_BODY:
            impossible.add(Fault.CUT_REQUEST)
        if self.operation not in CONDITIONAL:
            impossible.update({Fault.PRECONDITION, Fault.CONFLICT})
        return [fault for fault in Fault if fault not in impossible]


def kinds_of(calls: Iterable[Call]) -> list[str]:
    """Return what each call is in the words of the table, the second of a kind as such."""
    seen: Counter[tuple[str, str]] = Counter()
    names = []
    for call in calls:
        about = next(name for name, of in OF.items() if name and of(call)) if call.operation in NAMED else ""
        seen[call.operation, about] += 1
        names.append(str(Kind(call.operation, about, seen[call.operation, about])))
    return names
