"""What `s3batch` can be told: everything `s3sync` can, and how batches are made, found and brought back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from s3batch.pack.planner import PackWithin
from s3sync import values
from s3sync.layers import Conflict, Given
from s3sync.quantities import GIB
from s3sync.settings import CommonSettings, with_default
from s3sync.store.contract import StorageClass

LIST_SHARE = 16
"""Beside an archive the spool holds its member list, for which a sixteenth of the archive's size is kept free."""


class Duty(StrEnum):
    """What the agent of a host does."""

    PACK = "pack"
    """Make archives and release originals."""
    INDEX = "index"
    """Bring OpenSearch up to date."""
    RESTORE = "restore"
    """Advance restore requests; needs the right to thaw and to read."""


class Where(StrEnum):
    """Which catalogue is asked by those who find and restore."""

    AUTO = "auto"
    """This host's, and it is said where the fleet's may know more."""
    LOCAL = "local"
    """This host's."""
    OPENSEARCH = "opensearch"
    """The fleet's index: all hosts' archives, and nothing is needed on this one."""


_DUTIES = values.choices(Duty)
_WHERE = values.choice(Where)
_WITHIN = values.choice(PackWithin)
_MEMBERS = values.whole(1, 10_000_000)

Duties = Annotated[tuple[Duty, ...], _DUTIES.validator(), _DUTIES]
Within = Annotated[PackWithin, _WITHIN.validator(), _WITHIN]
Catalogues = Annotated[Where, _WHERE.validator(), _WHERE]
Members = Annotated[int, _MEMBERS.validator(), _MEMBERS]


class Settings(CommonSettings):
    """What `s3batch` can be told."""

    PREFIX: ClassVar[str] = "S3BATCH_"
    OLDER: ClassVar[Mapping[str, str]] = {
        **CommonSettings.OLDER,
        "S3_BATCH_BUCKETS_FOLDER": "folder",
        "MANIFEST_FALLBACK_BUCKET": "manifest_bucket",
    }
    RELOADED: ClassVar[frozenset[str]] = CommonSettings.RELOADED | {
        "spool_limit",
        "max_batch_size",
        "max_batch_members",
        "max_batch_age",
        "pack_within",
        "build_workers",
        "release_workers",
        "catalogue",
        "dashboards_url",
        "max_cost",
    }

    quiet_period: values.Duration = with_default("quiet_period", timedelta(minutes=15))
    scan_interval: values.Duration = with_default("scan_interval", timedelta(minutes=5))
    storage_class: values.Class = with_default("storage_class", StorageClass.DEEP_ARCHIVE)
    spool: values.Folder = Field(
        description="Folder where archives are built before they are uploaded. Default: `spool` in the state folder.",
    )
    spool_limit: values.Size = Field(
        8 * GIB,
        description="What the spool may take of the disk; beyond it files wait in the drop zone.",
    )
    max_batch_size: values.Size = Field(
        GIB,
        description="Largest archive; a single file larger than this travels alone.",
    )
    max_batch_members: Members = Field(
        100_000, description="Most files in one archive. With 10,000 it ends where their folder does."
    )
    max_batch_age: values.Duration = Field(
        timedelta(hours=6),
        description="A batch that is not full is closed when its oldest file has waited this long.",
    )
    pack_within: Within = Field(
        PackWithin.TOP,
        description="What an archive never mixes: two first-level folders (`top`), two folders (`folder`),"
        " or only two buckets (`bucket`).",
    )
    transfer_logs: values.Files = Field(
        (),
        description="Logs in which the upload servers say which uploads broke off (sshd's by syslog, vsftpd.log, xferlog),"
        " comma separated. Unset: such files are not told apart from whole ones.",
    )
    manifest_bucket: values.Bucket | None = Field(
        None,
        description="Bucket that manifests go to. Unset: each archive's own.",
    )
    duties: Duties = Field(
        tuple(Duty),
        description="What this host's agent does: `pack`, `index`, `restore`, comma separated.",
    )
    restore_dir: values.Folder | None = Field(
        None,
        description="The one local folder below which the agent itself delivers. Unset: it delivers to S3 only.",
    )
    thaw_poll: values.Duration | None = Field(
        None,
        description="How often a thaw under way is looked at. Unset: first when its tier may be done, then every five minutes.",
    )
    opensearch_url: values.Urls | None = Field(
        None,
        description="OpenSearch of the fleet: a URL, or those of several of its nodes, comma separated, with name and password"
        " where it wants them. Unset: this host's catalogue only.",
    )
    opensearch_ca: values.Folder | None = Field(
        None,
        description="File with the certificates of the authority that signed OpenSearch's. Unset: those this host trusts.",
    )
    opensearch_fingerprint: values.Fingerprint | None = Field(
        None,
        description="SHA-256 fingerprint of OpenSearch's own certificate, which is then trusted, and no other is.",
    )
    dashboards_url: values.Url | None = Field(
        None,
        description="OpenSearch Dashboards, for `s3batch dashboards import`: its URL with base path, name and password where it"
        " wants them.",
    )
    opensearch_aws_region: values.Host | None = Field(
        None,
        description="Sign requests for Amazon OpenSearch Service in this region, with AWS's own credentials."
        " Unset: taken from a name such as search-x.eu-west-1.es.amazonaws.com, and otherwise not signed.",
    )
    catalogue: Catalogues = Field(
        Where.AUTO,
        description="Where `find`, `ls`, `show` and `restore` look: this host's catalogue (`local`), that of the fleet"
        " (`opensearch`), or this host's, saying that the fleet's may know more (`auto`).",
    )
    build_workers: values.Threads = Field(2, description="Archives built at the same time, each in a process of its own.")
    release_workers: values.Threads = Field(
        2, description="Processes that remove originals, beside those that build; a few files are removed without them."
    )
    max_cost: values.Money = Field(
        Decimal(10),
        description="A restore estimated to cost more USD than this asks for confirmation.",
    )

    @model_validator(mode="before")
    @classmethod
    def _spool_in_state(cls, given: dict[str, object]) -> dict[str, object]:
        state = str(given.get("state", ""))
        beside = f"{state}/spool" if state.startswith("/") else "/spool"  # a wrong state folder is one problem, not two
        return {"spool": beside, **given}

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what does not fit together."""
        yield from super().conflicts()
        yield from self.inside_drop_zone("restore_dir")
        told = [] if self.spool.is_relative_to(self.state) else [*self.inside_drop_zone("spool")]
        yield from told
        for name in ("folder", "state"):
            if not told and getattr(self, name).is_relative_to(self.spool):
                yield Conflict("spool", f"a folder that does not hold {self.variable(name)} ({getattr(self, name)})", (name,))
        if self.max_batch_size <= 0:
            yield Conflict("max_batch_size", "more than nothing")
        if self.max_batch_age <= timedelta(0):
            yield Conflict("max_batch_age", "more than nothing")
        needed = self.max_batch_size + self.max_batch_size // LIST_SHARE
        if self.spool_limit < needed:
            wanted = f"at least {self.variable('max_batch_size')} and a sixteenth for the member list: {needed} bytes"
            yield Conflict("spool_limit", wanted, ("max_batch_size",))

    @classmethod
    def older_names(cls, environment: Mapping[str, str]) -> dict[str, Given]:
        """Return what the former program's variables say: its megabyte is 1,048,576 bytes, its search speaks plain http."""
        found = super().older_names(environment)
        size = environment.get("MAX_BATCH_SIZE_MB")
        host = environment.get("ELASTICSEARCH_LOGS_HOST")
        if size:
            found["max_batch_size"] = Given(f"{size}MiB", "MAX_BATCH_SIZE_MB", "a number of MiB")
        if host:
            port = environment.get("ELASTICSEARCH_LOGS_PORT") or "9200"
            found["opensearch_url"] = Given(
                f"http://{host}:{port}", "ELASTICSEARCH_LOGS_HOST and _PORT", "a host's name and the number of a port"
            )
        return found
