"""What S3 would have billed: every request counted, every billed one priced, so that a test can say what a scenario cost.

The prices are kept here a second time, apart from the program's own table, because one is to be checked by the other. US East
(N. Virginia) list prices in US dollars; a gigabyte is a GiB.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

GIB = 1024**3
PUT_A_THOUSAND = {
    "STANDARD": "0.005",
    "INTELLIGENT_TIERING": "0.005",
    "STANDARD_IA": "0.01",
    "ONEZONE_IA": "0.01",
    "GLACIER_IR": "0.02",
    "GLACIER": "0.03",
    "DEEP_ARCHIVE": "0.05",
}
GET_A_THOUSAND = "0.0004"
GIB_MONTH = {
    "STANDARD": "0.023",
    "INTELLIGENT_TIERING": "0.023",
    "STANDARD_IA": "0.0125",
    "ONEZONE_IA": "0.01",
    "GLACIER_IR": "0.004",
    "GLACIER": "0.0036",
    "DEEP_ARCHIVE": "0.00099",
}
LEAST_DAYS = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90, "GLACIER": 90, "DEEP_ARCHIVE": 180}
"""What is stored in these classes is billed for so long, however early it goes."""
RETRIEVAL: Mapping[tuple[str, str], tuple[str, str]] = {
    ("GLACIER", "Expedited"): ("10", "0.03"),
    ("GLACIER", "Standard"): ("0.05", "0.01"),
    ("GLACIER", "Bulk"): ("0", "0"),
    ("DEEP_ARCHIVE", "Standard"): ("0.10", "0.02"),
    ("DEEP_ARCHIVE", "Bulk"): ("0.025", "0.0025"),
}
"""A thousand requests, and a GiB."""
FREE = {"DeleteObject", "DeleteObjects", "AbortMultipartUpload", "DeleteBucket"}
AS_GET = {"GetObject", "HeadObject", "HeadBucket", "GetObjectAttributes", "GetBucketVersioning"}


class What(StrEnum):
    """What a charge is for."""

    REQUEST = "request"
    RETRIEVAL = "retrieval"
    COPY = "copy"
    """The readable copy of a thawed object."""
    STORAGE = "storage"
    """The class's least time of keeping an object."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the bill."""

    what: What
    operation: str
    name: str
    dollars: Decimal


class Ledger:
    """Counts and charges. May be used from several threads."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        """Requests by operation, as they arrived, whatever they were answered."""
        self.charges: list[Charge] = []
        self._lock = threading.Lock()

    def total(self, *what: What) -> Decimal:
        """Return the sum in dollars, of everything or of these."""
        return sum((charge.dollars for charge in self.charges if not what or charge.what in what), Decimal(0))

    def clear(self) -> None:
        """Begin a new bill."""
        self.calls.clear()
        self.charges.clear()

    def arrived(self, operation: str) -> None:
        """Count a request."""
        with self._lock:
            self.calls[operation] += 1

    def request(self, operation: str, name: str, storage_class: str) -> None:
        """Charge a request; the parts of an upload are billed as STANDARD, its completion in the object's class."""
        if operation in FREE or operation == "RestoreObject":
            return
        in_class = operation in {"PutObject", "CopyObject", "CompleteMultipartUpload"}
        price = PUT_A_THOUSAND[storage_class if in_class else "STANDARD"]
        self._charge(What.REQUEST, operation, name, _a_thousandth(GET_A_THOUSAND if operation in AS_GET else price))

    def stored(self, operation: str, name: str, storage_class: str, size: int) -> None:
        """Charge the least time an object of `size` bytes is kept in its class."""
        days = LEAST_DAYS.get(storage_class)
        if days is None:
            return
        month = _gib(size) * Decimal(GIB_MONTH[storage_class])
        if storage_class in {"GLACIER", "DEEP_ARCHIVE"}:
            month += _gib(32 * 1024) * Decimal(GIB_MONTH[storage_class]) + _gib(8 * 1024) * Decimal(GIB_MONTH["STANDARD"])
        self._charge(What.STORAGE, operation, name, month * days / 30)

    def thaw(self, name: str, storage_class: str, tier: str, size: int, days: int) -> None:
        """Charge a thaw that was begun."""
        request, gib = RETRIEVAL[storage_class, tier]
        self._charge(What.REQUEST, "RestoreObject", name, _a_thousandth(request))
        self._charge(What.RETRIEVAL, "RestoreObject", name, _gib(size) * Decimal(gib))
        self.copy(name, size, days)

    def extension(self, name: str, storage_class: str, tier: str, size: int, days: int) -> None:
        """Charge more days for a copy: the request, and the copy."""
        self._charge(What.REQUEST, "RestoreObject", name, _a_thousandth(RETRIEVAL[storage_class, tier][0]))
        self.copy(name, size, days)

    def copy(self, name: str, size: int, days: int) -> None:
        """Charge a readable copy for `days`."""
        self._charge(What.COPY, "RestoreObject", name, _gib(size) * Decimal(GIB_MONTH["STANDARD"]) * days / 30)

    def _charge(self, what: What, operation: str, name: str, dollars: Decimal) -> None:
        with self._lock:
            self.charges.append(Charge(what, operation, name, dollars))


def _a_thousandth(dollars: str) -> Decimal:
    return Decimal(dollars) / 1000


def _gib(count: int) -> Decimal:
    return Decimal(count) / GIB
