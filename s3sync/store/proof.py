"""Compare what S3 says of an object with what we computed while writing it.

A `Proof` is the only key that opens the release of originals, and `prove` is the only place that makes one. The ETag is never
part of it (it depends on parts and encryption); the full-object CRC64NVME is, together with size, class and our own mark.
"""

from __future__ import annotations

from dataclasses import dataclass

from s3sync.store.contract import ObjectInfo, ObjectRef, Payload, Rejected

BATCH_MARK = "s3batch-id"
"""The user metadata that says which batch or drop an object came from."""


class Differs(Rejected):
    """S3 holds our object, and says of it what we did not ask for: storing it again would only be paid for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """S3 confirmed size, checksum, class and mark of exactly this version of this object."""

    ref: ObjectRef
    size: int
    crc64nvme: str
    etag: str


def differences(info: ObjectInfo, payload: Payload) -> list[str]:
    """Return what S3 says differently from what we stored, a phrase each; empty where everything agrees."""
    wanted_mark = payload.metadata.get(BATCH_MARK)
    seen_mark = info.metadata.get(BATCH_MARK)
    pairs = (
        ("size", info.size, payload.size),
        ("CRC64NVME", info.crc64nvme, payload.crc64nvme),
        ("checksum type", info.checksum_type, "FULL_OBJECT"),
        ("storage class", info.storage_class, payload.storage_class),
        (BATCH_MARK, seen_mark, wanted_mark),
    )
    return [f"{what} is {seen} instead of {wanted}" for what, seen, wanted in pairs if seen != wanted]


def prove(info: ObjectInfo, payload: Payload) -> Proof:
    """Return the proof that `info` describes exactly `payload`.

    Raises `Differs` naming every difference.
    """
    found = differences(info, payload)
    if found:
        raise Differs(str(info.ref), "; ".join(found), "Leave it; nothing is removed on the strength of it")
    return Proof(ref=info.ref, size=info.size, crc64nvme=payload.crc64nvme, etag=info.etag)
