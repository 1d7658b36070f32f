"""What can be set, how it is written, who wins, and what is said of mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from s3batch.pack.planner import PackWithin
from s3batch.settings import Duty, Settings
from s3sync.addresses import show_url
from s3sync.errors import Exit
from s3sync.events import Level
from s3sync.layers import Given, WrongSettings
from s3sync.quantities import read_duration, read_size, show_duration, show_size
from s3sync.settings import Settings as SyncSettings
from s3sync.store.contract import StorageClass

HOME = {"HOME": "/home/ann"}


def read(environment: Mapping[str, str] | None = None, **places: Mapping[str, object]) -> Settings:
    """Return the settings of somebody with a home."""
    flags = {name: Given(value, f"--{name}") for name, value in places.get("flags", {}).items()}
    return Settings.read(environment={**HOME, **(environment or {})}, file=places.get("file"), file_name="s.toml", flags=flags)


def complaints(environment: Mapping[str, str] | None = None, **places: Mapping[str, object]) -> list[str]:
    """Return the problems that reading reports, a line each."""
    with pytest.raises(WrongSettings) as caught:
        read(environment, **places)
    assert Exit.USAGE == caught.value.exit
    return [str(problem) for problem in caught.value.problems]


def test_defaults_of_s3batch() -> None:
    """With nothing given, s3batch works in the caller's home with the published defaults."""
    settings = read()

    assert Path("/home/ann/s3_buckets/batch") == settings.folder
    assert Path("/home/ann/.local/state/s3batch") == settings.state
    assert Path("/home/ann/.local/state/s3batch/spool") == settings.spool
    assert 8 * 1024**3 == settings.spool_limit
    assert 1024**3 == settings.max_batch_size
    assert 100_000 == settings.max_batch_members
    assert timedelta(hours=6) == settings.max_batch_age
    assert timedelta(minutes=15) == settings.quiet_period
    assert timedelta(minutes=5) == settings.scan_interval
    assert PackWithin.TOP is settings.pack_within
    assert StorageClass.DEEP_ARCHIVE is settings.storage_class
    assert (None, None, None, None) == (settings.quarantine, settings.manifest_bucket, settings.buckets, settings.restore_dir)
    assert "auto" == settings.bucket_owner
    assert (Duty.PACK, Duty.INDEX, Duty.RESTORE) == settings.duties
    assert Decimal(10) == settings.max_cost


def test_defaults_of_s3sync() -> None:
    """With nothing given, s3sync works in the caller's home with the published defaults."""
    settings = SyncSettings.read(environment=HOME)

    assert Path("/home/ann/s3_buckets/sync") == settings.folder
    assert Path("/home/ann/.local/state/s3sync") == settings.state
    assert timedelta(seconds=60) == settings.quiet_period
    assert StorageClass.STANDARD is settings.storage_class


def test_state_follows_the_xdg_variable() -> None:
    """XDG_STATE_HOME moves the state folder, and the spool with it."""
    settings = read({"XDG_STATE_HOME": "/var/state"})

    assert (Path("/var/state/s3batch"), Path("/var/state/s3batch/spool")) == (settings.state, settings.spool)


@pytest.mark.parametrize(
    ("flag", "variable", "line", "expected", "source"),
    [
        ("1h", "2h", "3h", timedelta(hours=1), "--max_batch_age"),
        (None, "2h", "3h", timedelta(hours=2), "S3BATCH_MAX_BATCH_AGE"),
        (None, None, "3h", timedelta(hours=3), "max_batch_age in s.toml"),
        (None, "", None, timedelta(hours=6), "default"),
    ],
)
def test_layers(flag: str | None, variable: str | None, line: str | None, expected: timedelta, source: str) -> None:
    """A flag wins over a variable, a variable over the file, the file over the default, and each value knows its source."""
    settings = read(
        {} if variable is None else {"S3BATCH_MAX_BATCH_AGE": variable},
        file={} if line is None else {"max_batch_age": line},
        flags={} if flag is None else {"max_batch_age": flag},
    )

    assert (expected, source) == (settings.max_batch_age, settings.source("max_batch_age"))


def test_a_flag_may_name_a_setting_in_any_of_its_spellings() -> None:
    """`--set` takes the variable's name, the field's name and the field's name with dashes."""
    for name in ("S3BATCH_QUIET_PERIOD", "quiet_period", "quiet-period"):
        assert timedelta(seconds=5) == read(flags={name: "5s"}).quiet_period


def test_every_setting_can_be_given_as_a_variable() -> None:
    """Each value is read from text, and what `config show` prints would be read back as the same."""
    given = {
        "FOLDER": "/drop",
        "STATE": "/state",
        "SPOOL": "/fast/spool",
        "SPOOL_LIMIT": "3GiB",
        "QUARANTINE": "/drop/.out",
        "MAX_BATCH_SIZE": "512MiB",
        "MAX_BATCH_MEMBERS": "10",
        "MAX_BATCH_AGE": "1h30m",
        "QUIET_PERIOD": "2s",
        "SCAN_INTERVAL": "1m",
        "PACK_WITHIN": "folder",
        "STORAGE_CLASS": "GLACIER",
        "TRANSFER_LOGS": "/var/log/sftp.log,/var/log/xferlog",
        "MANIFEST_BUCKET": "manifests",
        "BUCKETS": "one,two-2",
        "BUCKET_OWNER": "012345678901",
        "DUTIES": "pack,index",
        "RESTORE_DIR": "/restored",
        "THAW_POLL": "10m",
        "OPENSEARCH_URL": "https://search.example.org:9200/base",
        "OPENSEARCH_CA": "/etc/ssl/search.pem",
        "OPENSEARCH_FINGERPRINT": "0123456789abcdef" * 4,
        "DASHBOARDS_URL": "https://boards.example.org/base",
        "OPENSEARCH_AWS_REGION": "eu-west-1",
        "IGNORE": "*.upload,_*",
        "CATALOGUE": "opensearch",
        "BUILD_WORKERS": "3",
        "UPLOAD_THREADS": "5",
        "RELEASE_WORKERS": "6",
        "PART_SIZE": "8MiB",
        "PRUNE_FOLDERS": "true",
        "MAX_COST": "2.50",
        "LOG_LEVEL": "debug",
        "RSYSLOG_HOST": "log.example.org",
        "RSYSLOG_PORT": "1514",
        "LOG_FORMAT": "json",
        "RSYSLOG_PROTOCOL": "tls",
        "RSYSLOG_CA": "/etc/ssl/log.pem",
        "NOTIFY": "arn:aws:sns:eu-west-1:123456789012:told",
        "NOTIFY_DIGEST": "06:30",
        "METRICS_LISTEN": "[::1]:9477",
        "METRICS_FILE": "/var/lib/node/s3batch.prom",
    }
    settings = read({f"S3BATCH_{name}": value for name, value in given.items()})

    assert given == {shown.variable.removeprefix("S3BATCH_"): shown.value for shown in settings.shown()}
    assert all(shown.source == shown.variable for shown in settings.shown())
    assert all(shown.help for shown in settings.shown())


def test_the_file_may_use_the_types_of_toml() -> None:
    """Numbers, lists and booleans of a TOML file mean what they say."""
    settings = read(file={"max_batch_size": 1_000_000, "buckets": ["a-1", "b-2"], "prune_folders": True, "max_cost": 2.5})

    assert (1_000_000, ("a-1", "b-2")) == (settings.max_batch_size, settings.buckets)
    assert (True, Decimal("2.5")) == (settings.prune_folders, settings.max_cost)


def test_the_former_programs_variables_keep_their_meaning() -> None:
    """The older names are read with the units and the protocol they had, and are named as the source."""
    settings = read(
        {
            "MAX_BATCH_SIZE_MB": "100",
            "S3_BATCH_BUCKETS_FOLDER": "/buckets",
            "MANIFEST_FALLBACK_BUCKET": "fallback",
            "ELASTICSEARCH_LOGS_HOST": "es",
            "ELASTICSEARCH_LOGS_PORT": "9201",
            "RSYSLOG_HOST": "log",
            "RSYSLOG_PORT": "5514",
            "LOG_LEVEL": "WARN",
        }
    )

    assert (100 * 1024**2, "MAX_BATCH_SIZE_MB") == (settings.max_batch_size, settings.source("max_batch_size"))
    assert (Path("/buckets"), "fallback") == (settings.folder, settings.manifest_bucket)
    assert ("http://es:9201",) == settings.opensearch_url
    assert ("log", 5514, Level.WARNING) == (settings.rsyslog_host, settings.rsyslog_port, settings.log_level)
    assert Path("/buckets") == SyncSettings.read(environment={**HOME, "S3_SYNC_BUCKETS_FOLDER": "/buckets"}).folder


def test_our_own_name_wins_over_the_former_one() -> None:
    """Where both names are given, ours counts; the older one still counts more than the file."""
    both = read({"MAX_BATCH_SIZE_MB": "100", "S3BATCH_MAX_BATCH_SIZE": "5MiB"})
    older = read({"MAX_BATCH_SIZE_MB": "100"}, file={"max_batch_size": "5MiB"})

    assert (5 * 1024**2, 100 * 1024**2) == (both.max_batch_size, older.max_batch_size)


def test_all_problems_are_reported_at_once() -> None:
    """Each problem has the name it was given under, the value seen and the value wanted; conflicts are found as well."""
    found = complaints(
        {
            "S3BATCH_QUIET_PERIOD": "0s",
            "S3BATCH_BUCKET_OWNER": "me",
            "MAX_BATCH_SIZE_MB": "many",
            "S3BATCH_PACK_WITHIN": "country",
            "S3BATCH_STATE": "relative",
        },
        file={"foldr": "/x", "buckets": ["UPPER"]},
        flags={"scan_interval": "5"},
    )

    assert {
        "S3BATCH_QUIET_PERIOD is 0s; wanted: more than nothing: a file just written may not be finished",
        "S3BATCH_BUCKET_OWNER is me; wanted: auto, any, or the 12 digits of an AWS account",
        "MAX_BATCH_SIZE_MB is manyMiB; wanted: a number of MiB",
        "S3BATCH_PACK_WITHIN is country; wanted: one of top, bucket, folder",
        "S3BATCH_STATE is relative; wanted: an absolute path",
        "foldr in s.toml is /x; wanted: the name of a setting, perhaps folder",
        "buckets in s.toml is UPPER; wanted: names of buckets, separated by commas",
        "--scan_interval is 5; wanted: a duration such as 90s, 15m, 6h or 2d",
    } == set(found)


def test_the_message_has_a_line_for_each_problem() -> None:
    """The error people see is a headline with the number of problems and one line each; control characters are escaped."""
    with pytest.raises(WrongSettings) as caught:
        read({"S3BATCH_PART_SIZE": "1\n2", "S3BATCH_MAX_COST": "-1"})

    assert [
        "2 settings to correct:",
        r"  S3BATCH_PART_SIZE is 1\n2; wanted: a size such as 1GiB, 500MB or 1048576",
        "  S3BATCH_MAX_COST is -1; wanted: an amount in USD such as 10 or 2.50",
    ] == str(caught.value).splitlines()


def test_without_a_home_the_folders_must_be_given() -> None:
    """Where HOME is not set there is no default for the folders, and that is said."""
    with pytest.raises(WrongSettings) as caught:
        Settings.read(environment={})

    assert {"S3BATCH_FOLDER", "S3BATCH_STATE"} == {problem.name for problem in caught.value.problems}
    assert {None} == {problem.seen for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"STATE": "/home/ann/s3_buckets/batch/bucket/state"}, "S3BATCH_STATE"),
        ({"SPOOL": "/home/ann/s3_buckets/batch"}, "S3BATCH_SPOOL"),
        ({"RESTORE_DIR": "/home/ann/s3_buckets/batch/back"}, "S3BATCH_RESTORE_DIR"),
        ({"SPOOL": "/home/ann/s3_buckets"}, "S3BATCH_SPOOL"),
        ({"QUARANTINE": "/home/ann/s3_buckets/batch/"}, "S3BATCH_QUARANTINE"),
        ({"SPOOL_LIMIT": "1GiB"}, "S3BATCH_SPOOL_LIMIT"),
        ({"MAX_BATCH_SIZE": "8GiB"}, "S3BATCH_SPOOL_LIMIT"),
        ({"MAX_BATCH_SIZE": "0"}, "S3BATCH_MAX_BATCH_SIZE"),
        ({"MAX_BATCH_AGE": "0s"}, "S3BATCH_MAX_BATCH_AGE"),
        ({"SCAN_INTERVAL": "0s"}, "S3BATCH_SCAN_INTERVAL"),
        ({"PART_SIZE": "4MiB"}, "S3BATCH_PART_SIZE"),
        ({"PART_SIZE": "6GiB"}, "S3BATCH_PART_SIZE"),
    ],
)
def test_values_that_do_not_fit_together(given: dict[str, str], name: str) -> None:
    """Values that are right one by one and wrong together are refused, naming the one to change."""
    found = complaints({f"S3BATCH_{key}": value for key, value in given.items()})

    assert [name] == [line.split(" is ")[0] for line in found]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BATCH_SIZE", "1.0000000001KiB"),
        ("MAX_BATCH_SIZE", "-1"),
        ("MAX_BATCH_SIZE", "1G"),
        ("QUIET_PERIOD", "15"),
        ("QUIET_PERIOD", "m"),
        ("QUIET_PERIOD", "5m3h"),
        ("BUCKETS", "good,b"),
        ("BUCKETS", "../evil"),
        ("MANIFEST_BUCKET", "a/b"),
        ("BUCKET_OWNER", "12345678901"),
        ("DUTIES", "pack,sleep"),
        ("DUTIES", ","),
        ("IGNORE", "a/b"),
        ("UPLOAD_THREADS", "0"),
        ("MAX_BATCH_MEMBERS", "1.5"),
        ("PRUNE_FOLDERS", "perhaps"),
        ("MAX_COST", "NaN"),
        ("OPENSEARCH_URL", "search:9200"),
        ("OPENSEARCH_URL", "http://search:99999"),
        ("OPENSEARCH_URL", "http://"),
        ("OPENSEARCH_URL", "http://http://search:9200"),
        ("OPENSEARCH_URL", "https://search:"),
        ("RSYSLOG_HOST", "a b"),
        ("RSYSLOG_PORT", "0"),
        ("LOG_LEVEL", "loud"),
        ("FOLDER", "/a\0b"),
    ],
)
def test_what_is_no_value_is_refused(name: str, value: str) -> None:
    """Text that is no value of its kind is refused under the name it was given."""
    found = complaints({f"S3BATCH_{name}": value})

    assert 1 == len(found)
    assert found[0].startswith(f"S3BATCH_{name} is ")


def test_passwords_are_never_shown() -> None:
    """Neither repr, nor `config show`, nor a complaint shows the name and password of a URL."""
    settings = read({"S3BATCH_OPENSEARCH_URL": "https://ann:pass-word@search:9200"})
    told = complaints({"S3BATCH_OPENSEARCH_URL": "ftp://ann:pass-word@search:9200"})

    assert ("https://ann:pass-word@search:9200",) == settings.opensearch_url
    for text in (repr(settings), str(settings), str(settings.shown()), str(told)):
        assert "pass-word" not in text
    assert "https://***@search:9200" == show_url("https://ann:pass-word@search:9200")


def test_settings_cannot_be_changed() -> None:
    """What was read once stays as it is."""
    settings = read()

    with pytest.raises(ValidationError, match="frozen"):
        settings.part_size = 1  # type: ignore[misc]


def test_variables_nobody_knows_are_pointed_out() -> None:
    """A variable with our prefix that is no setting is most likely a slip, and the nearest name is offered."""
    environment = {"S3BATCH_QUITE_PERIOD": "5m", "S3BATCH_CONFIG": "/x", "S3BATCH_FOLDER": "/d", "OTHER": "1"}

    assert ["S3BATCH_QUITE_PERIOD is 5m; wanted: the name of a setting, perhaps S3BATCH_QUIET_PERIOD"] == [
        str(problem) for problem in read(environment).strangers()
    ]


def test_a_slip_is_told_together_with_what_is_wrong() -> None:
    """Whoever has something else to correct learns of the unknown variable at once, not on the next try."""
    with pytest.raises(WrongSettings) as raised:
        read({"S3BATCH_PART_SIZE": "many", "S3BATCH_QUITE_PERIOD": "5m", "HOME": "/home/ann"})

    assert ["S3BATCH_PART_SIZE", "S3BATCH_QUITE_PERIOD"] == [problem.name for problem in raised.value.problems]


def test_reading_looks_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the process's environment nor a `.env` file in the current folder has any influence."""
    monkeypatch.setenv("S3BATCH_FOLDER", "/elsewhere")
    monkeypatch.setenv("FOLDER", "/elsewhere")
    (tmp_path / ".env").write_text("S3BATCH_FOLDER=/elsewhere\nFOLDER=/elsewhere\n")
    monkeypatch.chdir(tmp_path)

    assert Path("/home/ann/s3_buckets/batch") == read().folder


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1b", 1), ("1kb", 1000), ("1 KiB", 1024), ("1.5GiB", 1610612736), ("2TB", 2 * 10**12)]
)
def test_sizes(text: str, size: int) -> None:
    """Sizes are exact, in either family of units."""
    assert size == read_size(text)
    assert size == read_size(show_size(size))


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("90s", 90), ("2d", 172800), ("1d2h3m4s", 93784)])
def test_durations(text: str, seconds: int) -> None:
    """Durations are sums of numbers with units, largest first."""
    assert timedelta(seconds=seconds) == read_duration(text)
    assert timedelta(seconds=seconds) == read_duration(show_duration(timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    ("places", "held"),
    [
        ({"FOLDER": "/state/spool"}, "S3BATCH_FOLDER"),
        ({"FOLDER": "/state/spool/zone"}, "S3BATCH_FOLDER"),
        ({"FOLDER": "/fast/zone", "SPOOL": "/fast"}, "S3BATCH_FOLDER"),
        ({"SPOOL": "/state"}, "S3BATCH_STATE"),
        ({"SPOOL": "/"}, "S3BATCH_FOLDER"),
    ],
)
def test_the_spool_holds_nothing_of_anybodys(places: dict[str, str], held: str) -> None:
    """What lies in the spool is the agent's to remove: no drop zone and no journal may be below it."""
    with pytest.raises(WrongSettings) as caught:
        read({f"S3BATCH_{name}": value for name, value in {"FOLDER": "/drop", "STATE": "/state", **places}.items()})

    assert any(f"does not hold {held}" in problem.wanted for problem in caught.value.problems)
