"""Settings: flags before environment before credentials before file before defaults, each value with the place it came from.

Reading is pure: mappings go in, a frozen `Settings` comes out, and *all* that is wrong is reported at once, each with the
name it was given under, the value seen and the value wanted. An empty variable counts as not given. The variables of the
program this one succeeds are understood with the meaning they had there; our own name wins where both are given. How to reach
AWS is none of this: boto3 reads AWS's own variables and nothing else.

pydantic-settings does the layering. What is written beside each field is its help: the README's table and `config show` are
made from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self, cast

from pydantic import Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from s3sync import values
from s3sync.events import Level
from s3sync.layers import DEFAULT, Conflict, Given, Layers, Problem, WrongSettings, suggestion
from s3sync.observe.lines import LogFormat, SyslogProtocol
from s3sync.quantities import GIB, MIB
from s3sync.store.contract import StorageClass

MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 5 * GIB
"""S3's bounds for the size of a part (User Guide, multipart upload limits)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as people are shown it; `value` None where it is not set."""

    variable: str
    value: str | None
    source: str
    help: str


class CommonSettings(BaseSettings):
    """What both programs can be told. A subclass is one program's settings, with its prefix and its defaults."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    PREFIX: ClassVar[str]
    OLDER: ClassVar[Mapping[str, str]] = {
        "LOG_LEVEL": "log_level",
        "RSYSLOG_HOST": "rsyslog_host",
        "RSYSLOG_PORT": "rsyslog_port",
    }
    """The former programs' variables and the fields they are."""
    RELOADED: ClassVar[frozenset[str]] = frozenset(
        {"quiet_period", "storage_class", "buckets", "ignore", "prune_folders", "log_level"}
    )
    """The fields that a running agent takes over when it is told to reload; all others wait for a restart."""

    folder: values.Folder = Field(
        description="The drop zone: files arrive as `<folder>/<bucket>/<object-key>`.",
    )
    state: values.Folder = Field(
        description="Folder of the agent's memory: journal and catalogue. On a local disk; one agent a folder.",
    )
    quarantine: values.Folder | None = Field(
        None,
        description="Private folder that originals pass through on their way out, on the drop zone's own mount."
        " Unset: chosen beside the bucket folders, or inside a bucket folder that is its own mount.",
    )
    quiet_period: values.Duration = Field(
        timedelta(seconds=60),
        description="How long nobody may have touched a file before it counts as finished.",
    )
    scan_interval: values.Duration = Field(
        timedelta(minutes=1),
        description="How often the whole drop zone is walked; file events only make it sooner.",
    )
    storage_class: values.Class = Field(
        StorageClass.STANDARD,
        description="Storage class of what is uploaded.",
    )
    buckets: values.Buckets | None = Field(
        None,
        description="The only buckets served, comma separated. Unset: every bucket folder in the drop zone.",
    )
    bucket_owner: values.Owner = Field(
        "auto",
        description="Account that must own every bucket: `auto` (the caller's own, where the endpoint is AWS),"
        " 12 digits, or `any`.",
    )
    ignore: values.Patterns = Field(
        (),
        description="More names of unfinished files to leave alone, as patterns, comma separated.",
    )
    upload_threads: values.Threads = Field(4, description="Parts or objects uploaded at the same time.")
    part_size: values.Size = Field(
        64 * MIB,
        description="Size of an upload's parts, 5MiB to 5GiB; what is smaller goes in one request. Grows by itself where"
        " 10,000 parts would not do.",
    )
    prune_folders: values.Flag = Field(
        default=False,
        description="Remove folders that a release left empty; never the first two levels.",
    )
    log_level: values.LogLevel = Field(Level.INFO, description="`debug`, `info`, `warning` or `error`.")
    log_format: values.Format = Field(
        LogFormat.AUTO,
        description="`json`, `text` (columns), `original` (the former programs' line, also at the syslog server) or `auto`:"
        " columns on a terminal, JSON elsewhere.",
    )
    rsyslog_host: values.Host | None = Field(None, description="Host that gets a copy of the log by syslog.")
    rsyslog_port: values.Port = Field(514, description="Its port; for `tls` it is usually 6514.")
    rsyslog_protocol: values.Protocol = Field(SyslogProtocol.UDP, description="How the copy travels: `udp`, `tcp` or `tls`.")
    rsyslog_ca: values.Folder | None = Field(
        None,
        description="File with the certificates of the authority that signed the syslog server's."
        " Unset: those this host trusts.",
    )
    metrics_listen: values.Listen | None = Field(
        None,
        description="Address and port of `/metrics`, `/healthz` and `/readyz`, such as `127.0.0.1:9477`. Unset: none.",
    )
    metrics_file: values.Folder | None = Field(
        None,
        description="File for node_exporter's textfile collector, written anew at intervals and when a run ends; its name ends"
        " in `.prom`. Unset: none.",
    )
    notify: values.Channels | None = Field(
        None,
        description="Who is told of failures, recoveries and the day's digest: ARNs of SNS topics, URLs of webhooks, or what"
        " apprise knows, such as `mailto://`, comma separated. Unset: nobody.",
    )
    notify_digest: values.TimeOfDay = Field(
        timedelta(hours=7),
        description="When the day's digest is sent, in UTC.",
    )

    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _strangers: Sequence[Problem] = PrivateAttr(default=())

    @classmethod
    def read(
        cls,
        *,
        environment: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        file: Mapping[str, object] | None = None,
        file_name: str = "the settings file",
        flags: Mapping[str, Given] | None = None,
    ) -> Self:
        """Return the settings that follow from the five places.

        `credentials` are what systemd hands over in files, by field name; those that are no field are somebody else's. `file`
        is what TOML made of the settings file, `flags` are by field (or variable) name. Raises `WrongSettings` with all that is
        wrong.
        """
        named = {cls._field_name(name): given for name, given in (flags or {}).items()}
        layers = Layers(
            flags=named,
            environment=cls._from_environment(environment),
            older_names=cls.older_names(environment),
            credentials={
                name: Given(value, f"credential {name}")
                for name, value in (credentials or {}).items()
                if name in cls.model_fields
            },
            file={name: Given(value, f"{name} in {file_name}") for name, value in (file or {}).items()},
            defaults={name: Given(value, DEFAULT) for name, value in cls.computed_defaults(environment).items()},
        )
        strangers = cls._strange_variables(environment)
        settings = cls._settle(layers, strangers)
        settings._strangers = strangers  # noqa: SLF001  # it is one of us
        return settings

    def source(self, name: str) -> str:
        """Return where the value of the field `name` came from: a variable, a flag, a line of the file, or `default`."""
        return self._sources.get(name, DEFAULT)

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what does not fit together."""
        if self.quiet_period <= timedelta(0):
            yield Conflict("quiet_period", "more than nothing: a file just written may not be finished")
        if self.scan_interval <= timedelta(0):
            yield Conflict("scan_interval", "more than nothing")
        if not MIN_PART_BYTES <= self.part_size <= MAX_PART_BYTES:
            yield Conflict("part_size", "from 5MiB to 5GiB, which is what S3 takes")
        yield from self.inside_drop_zone("state")
        yield from self.inside_drop_zone("metrics_file")
        if self.metrics_file is not None and self.metrics_file.suffix != ".prom":
            yield Conflict("metrics_file", "a name that ends in .prom: node_exporter reads no others")
        if self.quarantine == self.folder:
            yield Conflict("quarantine", f"a folder of its own, not {self.variable('folder')} itself", ("folder",))

    def inside_drop_zone(self, name: str) -> Iterator[Conflict]:
        """Yield a conflict where the folder `name` lies in the drop zone: its files would be taken for dropped ones."""
        path = getattr(self, name)
        if path is not None and path.is_relative_to(self.folder):
            yield Conflict(name, f"a folder outside {self.variable('folder')} ({self.folder})", ("folder",))

    def misfits(self, layers: Layers, already_wrong: Collection[str]) -> list[Problem]:
        """Return a problem for each conflict that touches none of the fields `already_wrong`."""
        return [self._misfit(layers, each) for each in self.conflicts() if not each.touches(already_wrong)]

    def told_by(self, layers: Layers) -> Self:
        """Remember which of `layers` each value came from."""
        winners = {name: layers.winner(name) for name in type(self).model_fields}
        self._sources = {name: given.under for name, given in winners.items() if given}
        return self

    @classmethod
    def computed_defaults(cls, environment: Mapping[str, str]) -> dict[str, object]:
        """Return the defaults that depend on whose home this is; none where there is no home."""
        home = environment.get("HOME", "")
        state_home = environment.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else "")
        program = cls.PREFIX.rstrip("_").lower()
        found = {
            "folder": f"{home}/s3_buckets/{program.removeprefix('s3')}" if home else "",
            "state": f"{state_home}/{program}" if state_home else "",
        }
        return {name: value for name, value in found.items() if value}

    @classmethod
    def older_names(cls, environment: Mapping[str, str]) -> dict[str, Given]:
        """Return what the former program's variables say."""
        return {name: Given(environment[older], older) for older, name in cls.OLDER.items() if environment.get(older)}

    def strangers(self) -> Sequence[Problem]:
        """Return a problem for each variable with our prefix that is no setting; most are slips of the pen."""
        return self._strangers

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of the field `name`."""
        return cls.PREFIX + name.upper()

    @classmethod
    def kind(cls, name: str) -> values.Kind:
        """Return what kind of value the field `name` takes."""
        info = cls.model_fields[name]
        return values.kind_of(info.annotation, info.metadata)

    @classmethod
    def show(cls, name: str, value: object) -> str | None:
        """Return a value of the field `name` as it would be written, secrets hidden; None where it is not set."""
        return None if value is None else cls.kind(name).show(value)

    def shown(self) -> list[Shown]:
        """Return every setting as people are shown it."""
        return [
            Shown(self.variable(name), self.show(name, getattr(self, name)), self.source(name), info.description or "")
            for name, info in type(self).model_fields.items()
        ]

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield the values as they may be seen by anybody."""
        yield from ((name, self.show(name, getattr(self, name))) for name in type(self).model_fields)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Hand our layers to pydantic-settings in place of the places it would look into by itself."""
        del env_settings, dotenv_settings, file_secret_settings
        layers = cast("InitSettingsSource", init_settings).init_kwargs["layers"]
        return tuple(InitSettingsSource(settings_cls, {name: given.raw for name, given in layer.items()}) for layer in layers)

    @classmethod
    def _field_name(cls, name: str) -> str:
        return name.upper().replace("-", "_").removeprefix(cls.PREFIX).lower()

    @classmethod
    def _from_environment(cls, environment: Mapping[str, str]) -> dict[str, Given]:
        variables = {name: cls.variable(name) for name in cls.model_fields}
        return {
            name: Given(environment[variable], variable) for name, variable in variables.items() if environment.get(variable)
        }

    @classmethod
    def _strange_variables(cls, environment: Mapping[str, str]) -> list[Problem]:
        known = {cls.variable(name) for name in cls.model_fields} | {f"{cls.PREFIX}CONFIG"}
        strange = sorted(name for name in environment if name.startswith(cls.PREFIX) and name not in known)
        return [Problem(name, environment[name], suggestion(name, known)) for name in strange]

    @classmethod
    def _settle(cls, layers: Layers, strangers: Sequence[Problem]) -> Self:
        """Return the settings; what is wrong is told together with `strangers`, which alone are no reason to refuse."""
        settings, problems = cls._validated(layers)
        if problems:
            settings, _ = cls._validated(layers.without(problems))
        wrong = [*problems.values(), *(settings.misfits(layers, problems) if settings else ())]
        if wrong or settings is None:
            raise WrongSettings([*wrong, *strangers])
        return settings.told_by(layers)

    @classmethod
    def _validated(cls, layers: Layers) -> tuple[Self | None, dict[str, Problem]]:
        try:
            return cls(layers=layers), {}  # type: ignore[call-arg]  # see settings_customise_sources
        except ValidationError as error:
            names = dict.fromkeys(str(each["loc"][0]) for each in error.errors())
            return None, {name: cls._problem(layers, name) for name in names}

    @classmethod
    def _problem(cls, layers: Layers, name: str) -> Problem:
        given = layers.winner(name)
        if name not in cls.model_fields:
            under = given.under if given else name
            return Problem(under, values.show_words(given.raw) if given else None, suggestion(name, cls.model_fields))
        kind = cls.kind(name)
        if given is None:
            return Problem(cls.variable(name), None, f"{kind.wanted} (there is no default where HOME is not set)")
        under = cls.variable(name) if given.under == DEFAULT else given.under
        return Problem(under, kind.as_seen(given.raw), given.wanted or kind.wanted)

    def _misfit(self, layers: Layers, conflict: Conflict) -> Problem:
        given = layers.winner(conflict.name)
        under = self.variable(conflict.name) if given is None or given.under == DEFAULT else given.under
        return Problem(under, self.show(conflict.name, getattr(self, conflict.name)), conflict.wanted)


def with_default(name: str, default: object) -> Any:  # noqa: ANN401  # it stands where pydantic's Field would, which is Any
    """Return the common field `name` for a program that has another default."""
    return Field(default, description=CommonSettings.model_fields[name].description)


class Settings(CommonSettings):
    """What `s3sync` can be told."""

    PREFIX: ClassVar[str] = "S3SYNC_"
    OLDER: ClassVar[Mapping[str, str]] = {**CommonSettings.OLDER, "S3_SYNC_BUCKETS_FOLDER": "folder"}
