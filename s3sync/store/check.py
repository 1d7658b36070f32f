"""Look at a bucket without leaving a trace: what `doctor` asks before anything is entrusted to it.

Harmless calls only. Rights are tried, not read from policies, because only S3 knows what all policies together allow: a
multipart upload is begun and aborted (no object, no bytes), and a thaw is asked for an object that does not exist. What each
call answers is turned into a finding; nothing is raised, since the next question is worth asking whatever this one answered.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from s3sync.errors import Failure
from s3sync.keys import RESERVED_PREFIX
from s3sync.store.aws import asking, caller, is_aws, refusal
from s3sync.store.contract import Missing, StorageClass, Tier
from s3sync.store.s3_replies import http_date
from s3sync.store.s3_requests import restore_request

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OURS = RESERVED_PREFIX.decode("ascii")
SKEW_ALLOWED = timedelta(minutes=5)
"""S3 refuses requests at 15 minutes; a clock that is 5 off is on its way there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One question to the bucket: what about, whether the answer is as it must be, what it was, what to do."""

    subject: str
    ok: bool
    detail: str
    hint: str = ""


class S3Probe:
    """Asks a bucket. `client` is the store's own, so that it asks with the same rights, endpoint and expected owner."""

    def __init__(self, client: S3Client, now: Callable[[], datetime]) -> None:
        """Ask through `client`; `now` is this host's clock (aware UTC)."""
        self._client = client
        self._now = now

    def check_account(self) -> Finding:
        """Return whether our credentials are accepted, and whose they are. Raises nothing."""
        endpoint = self._client.meta.endpoint_url
        try:
            if is_aws(endpoint):
                return Finding("credentials", True, f"accepted: {caller()}")
            with asking(endpoint, "list buckets"):
                buckets = self._client.list_buckets().get("Buckets", [])
        except Failure as failure:
            if refusal(failure.__cause__)[0] == "AccessDenied":
                return Finding("credentials", True, f"accepted by {endpoint}, which lets us list no buckets")
            return _found("credentials", failure)
        return Finding("credentials", True, f"accepted by {endpoint}, which shows {len(buckets)} buckets")

    def check_bucket(self, bucket: str, *, storage_class: StorageClass | None, restore: bool) -> list[Finding]:
        """Return what is found of `bucket`: reach and owner, clock, rights, lifecycle rules. Raises nothing.

        `storage_class` is the one this host stores in, None where it stores nothing; `restore` says whether it thaws and reads.
        """
        reached = self._reach(bucket)
        findings = list(reached)
        if reached[0].ok and storage_class is not None:
            findings.append(self._begin_and_abort(bucket, storage_class))
        if reached[0].ok and restore:
            findings.append(self._thaw_nothing(bucket))
        if reached[0].ok:
            findings.extend(self._lifecycle(bucket))
        return findings

    def _reach(self, bucket: str) -> list[Finding]:
        subject = f"bucket {bucket}"
        try:
            with asking(f"s3://{bucket}", "look at the bucket"):
                reply = self._client.head_bucket(Bucket=bucket)
        except Failure as failure:
            return [_found(subject, failure)]
        reached = Finding(subject, True, "reached, and the owner is the expected one")
        shown = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
        return [reached, clock_finding(shown, self._now())] if shown else [reached]

    def _begin_and_abort(self, bucket: str, storage_class: StorageClass) -> Finding:
        subject = f"storing into {bucket}"
        key = f"{OURS}doctor/{uuid.uuid4()}"
        try:
            with asking(f"s3://{bucket}", f"begin an upload of class {storage_class}"):
                begun = self._client.create_multipart_upload(
                    Bucket=bucket,
                    Key=key,
                    StorageClass=storage_class.value,
                    ChecksumAlgorithm="CRC64NVME",
                    ChecksumType="FULL_OBJECT",
                )
            with asking(f"s3://{bucket}", "abort the upload just begun"):
                self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=begun["UploadId"])
        except Failure as failure:
            return _found(subject, failure)
        return Finding(subject, True, f"an upload of class {storage_class} could be begun and aborted")

    def _thaw_nothing(self, bucket: str) -> Finding:
        subject = f"thawing in {bucket}"
        key = f"{OURS}doctor/{uuid.uuid4()}"
        try:
            with asking(f"s3://{bucket}", "ask for a thaw"):
                request = restore_request(1, Tier.BULK)
                self._client.restore_object(Bucket=bucket, Key=key, RestoreRequest=request)  # type: ignore[arg-type]
        except Missing:
            return Finding(subject, True, "a thaw may be asked for (an object that does not exist was not found)")
        except Failure as failure:
            return _found(subject, failure)
        return Finding(subject, False, "an object that does not exist was thawed", "Look at what answers at this endpoint")

    def _lifecycle(self, bucket: str) -> list[Finding]:
        subject = f"lifecycle of {bucket}"
        try:
            with asking(f"s3://{bucket}", "read its lifecycle rules"):
                rules = self._client.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", [])
        except Failure as failure:
            if refusal(failure.__cause__)[0] != "NoSuchLifecycleConfiguration":
                return [_found(subject, failure)]
            rules = []
        return lifecycle_findings(subject, rules)


def _found(subject: str, failure: Failure) -> Finding:
    return Finding(subject, False, failure.wrong, failure.hint)


def clock_finding(date_header: str, now: datetime) -> Finding:
    """Return how this host's clock stands to the server's, whose replies are dated to the second."""
    try:
        ahead = now - http_date(date_header)
    except ValueError:
        return Finding("clock", False, f"the server dates its reply {date_header!r}", "Look at what answers at this endpoint")
    detail = f"{abs(ahead.total_seconds()):.0f} s {'ahead of' if ahead > timedelta() else 'behind'} the server's"
    ok = abs(ahead) < SKEW_ALLOWED
    return Finding("clock", ok, detail, "" if ok else "Set this host's clock, and let it be kept by NTP")


def lifecycle_findings(subject: str, rules: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return what a bucket's lifecycle rules would do to manifests, and whether they clear unfinished uploads away."""
    enabled = [rule for rule in rules if rule.get("Status") == "Enabled"]
    findings = [Finding(subject, False, harm, f"Exclude {OURS} from the rule") for harm in _harms(enabled)]
    if not any("AbortIncompleteMultipartUpload" in rule for rule in enabled):
        hint = "Add a rule that aborts unfinished uploads, say after 7 days; until then they are billed"
        findings.append(Finding(subject, True, "no rule aborts unfinished uploads", hint))
    return findings or [Finding(subject, True, f"no rule touches {OURS}, and unfinished uploads are aborted")]


def _harms(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for rule in rules:
        if not _reaches_ours(rule):
            continue
        name = rule.get("ID", "without a name")
        if "Expiration" in rule and not rule["Expiration"].get("ExpiredObjectDeleteMarker"):
            yield f"rule {name} would delete manifests"
        for transition in rule.get("Transitions", []):
            if transition.get("StorageClass") in {StorageClass.GLACIER, StorageClass.DEEP_ARCHIVE}:
                yield f"rule {name} would freeze manifests ({transition['StorageClass']})"


def _reaches_ours(rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule may apply to a manifest: by its prefix, and not where it asks for tags, which none of ours bears."""
    narrowed = rule.get("Filter", {})
    both = narrowed.get("And", {})
    if "Tag" in narrowed or both.get("Tags"):
        return False
    prefix = both.get("Prefix") or narrowed.get("Prefix") or rule.get("Prefix") or ""
    manifests = f"{OURS}manifests/"
    return manifests.startswith(prefix) or prefix.startswith(manifests)
