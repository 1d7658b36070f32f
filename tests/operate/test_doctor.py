"""`doctor` tries what the agent will do, hides nothing, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from s3batch.catalogue.opensearch import OpenSearchCluster, Reach
from s3batch.operate import look_folders, look_host, look_search, look_zone
from s3batch.operate.findings import Finding, Level, Looked, examine
from s3batch.operate.survey import Survey, Tried, Unwritable, survey
from s3sync.dropzone.writers import Snapshot, Writing
from s3sync.dropzone.zone import DropZone
from s3sync.errors import Exit, Transient
from s3sync.mounts import Filesystem, find
from tests.doubles.http_server import Asked, Reply, answering
from tests.doubles.moto_server import MotoServer
from tests.dropzone.zones import open_place, root_only, run_as_nobody
from tests.operate.conftest import Answer, Host
from tests.support import files, tree

ABORTS = {"ID": "abort", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}


@pytest.fixture
def buckets(host: Host, moto: MotoServer) -> MotoServer:
    """Both buckets, with a rule that aborts uploads; host and server go by the same clock."""
    host.moment = datetime.now(UTC)
    for bucket in ("bucket", "other"):
        moto.client().create_bucket(Bucket=bucket)
        moto.client().put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [ABORTS]})  # type: ignore[list-item]
    return moto


def findings(answer: Answer, subject: str) -> list[tuple[str, str]]:
    """Return level and detail of what was found about a subject."""
    return [(each["level"], each["detail"]) for each in answer.records if each["subject"].startswith(subject)]


def levels(looked: Looked) -> list[Level]:
    """Return how bad it is."""
    return [level for _, level, _, _ in looked]


def test_a_host_in_order(host: Host, buckets: MotoServer) -> None:
    """Everything is looked at, nothing is complained of, nothing is left behind."""
    tree(host.root, {"bucket/a/file": "x", "other": None})

    answer = host.ask("doctor")

    assert [] == [each for each in answer.records if not each["ok"]]
    assert Exit.DONE == answer.code
    assert ["settings", "agent", "folders", "drop zone", "host", "S3"] == list(
        dict.fromkeys(each["group"] for each in answer.records)
    )
    assert {"subject", "ok", "detail", "hint"} <= answer.records[0].keys()
    assert 1 == len(findings(answer, "clock"))
    assert {b"bucket/a/file": b"x"} == files(host.root)
    assert ["bucket", "other"] == sorted(os.listdir(host.root))
    assert not host.state.exists()
    assert "Uploads" not in buckets.client().list_multipart_uploads(Bucket="bucket")


def test_people_read_groups_and_a_last_sentence(host: Host, buckets: MotoServer) -> None:
    """With what to do below what is wrong."""
    buckets.client().delete_bucket(Bucket="other")

    text = host.ask("doctor", as_json=False).text

    assert "S3\n  ok       credentials: accepted by " in text
    assert "WARNING  bucket other: " in text
    assert "           Make the bucket, or correct the name of its folder in the drop zone.\n" in text
    assert text.endswith("1 warning: the agent works, with less than it should have.\n")


def test_a_missing_drop_zone_hides_nothing_else(host: Host, buckets: MotoServer) -> None:
    """The agent would not start; all other examinations are made all the same."""
    answer = host.ask("doctor", folder=f"{host.root}/nowhere")

    assert Exit.PREFLIGHT == answer.code
    assert [("error", "cannot be opened as drop zone: No such file or directory")] == findings(answer, "drop zone")
    assert [("ok", True)] == [(level, "accepted" in detail) for level, detail in findings(answer, "credentials")]


def test_an_endpoint_nobody_listens_at(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that cannot be tried leave nothing to archive to; the folders are looked at all the same."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("s3sync.store.aws.ATTEMPTS", 1)

    answer = host.ask("doctor", "--bucket", "bucket")

    assert Exit.PREFLIGHT == answer.code
    assert ["error"] == [level for level, _ in findings(answer, "credentials")]
    assert ["ok"] == [level for level, _ in findings(answer, "quarantine of bucket")]


def test_aws_settings_that_cannot_be(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client, no buckets; said once."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "not a url")

    answer = host.ask("doctor")

    assert ["error"] == [each["level"] for each in answer.records if each["group"] == "S3"]


def test_nothing_works_where_no_bucket_does(host: Host, moto: MotoServer) -> None:
    """One bucket of many is a warning, all of them are an error."""
    answer = host.ask("doctor")

    assert Exit.PREFLIGHT == answer.code
    assert [("error", "nothing can be stored in any of the 2")] == findings(answer, "buckets")


def test_only_the_buckets_asked_about(host: Host, buckets: MotoServer) -> None:
    """And the manifests' bucket, which all of them need."""
    answer = host.ask("doctor", "--bucket", "other", manifest_bucket="bucket")

    assert [] == findings(answer, "quarantine of bucket")
    assert ["quarantine of other"] == [each["subject"] for each in answer.records if each["subject"].startswith("quarantine")]
    assert {"bucket other", "bucket bucket"} == {
        each["subject"] for each in answer.records if each["subject"].startswith("bucket ")
    }


def test_variables_that_are_no_settings(host: Host, buckets: MotoServer) -> None:
    """A slip of the pen is pointed out."""
    answer = host.ask("doctor", quiet_perod="90s")

    assert Exit.PARTIAL == answer.code
    assert ["warning"] == [level for level, _ in findings(answer, "S3BATCH_QUIET_PEROD")]


def test_one_look_that_raises_hides_no_other() -> None:
    """A known failure keeps its hint; a surprise is reported as one."""

    def known() -> Iterator[tuple[str, Level, str, str]]:
        yield "first", Level.OK, "fine", ""
        raise Transient("the thing", "does not answer", "Wait")

    def surprise() -> Looked:
        raise ZeroDivisionError("by zero")

    def no_rights() -> Looked:
        raise PermissionError(13, "Permission denied")

    seen = [finding for look in (known, surprise, no_rights) for finding in examine("group", "the look", look)]

    assert [Level.OK, Level.WARNING, Level.WARNING, Level.WARNING] == [each.level for each in seen]
    assert ("the look (the thing)", "does not answer", "Wait") == (seen[1].subject, seen[1].detail, seen[1].hint)
    assert "ZeroDivisionError: by zero" in seen[2].detail
    assert "Permission denied" in seen[3].detail
    assert [Level.ERROR] == [each.level for each in examine("group", "the look", no_rights, fatal=True)]


def test_a_note_is_as_it_should_be() -> None:
    """Advice is no reason for an alarm."""
    note = Finding(group="g", subject="s", level=Level.NOTE, detail="d", hint="h")

    assert note.ok


def test_the_state_folder_is_the_agents_alone(tmp_path: Path) -> None:
    """Somebody else's, or open to others: said; no folder at all: it cannot work."""
    mine = tmp_path / "mine"
    mine.mkdir(0o700)
    wide = tmp_path / "wide"
    wide.mkdir()
    wide.chmod(0o755)
    (tmp_path / "file").write_text("x")
    me = os.geteuid()

    def look(name: str, uid: int = me) -> list[Level]:
        return levels(look_folders.look_at_own_folder("state", tmp_path / name, "S3BATCH_STATE", agents_uid=uid))

    assert [Level.OK] == look("mine")
    assert [Level.OK] == look("not/there/yet")
    assert [Level.WARNING, Level.OK] == look("wide")
    assert [Level.WARNING, Level.OK] == look("mine", me + 1)
    assert [Level.ERROR] == look("file")


def test_room_on_the_spools_disk(tmp_path: Path) -> None:
    """Enough for the limit, for an archive only, or not even for that; what lies in memory is pointed out."""
    disk, memory = Filesystem("ext4", "/"), Filesystem("tmpfs", "/dev/shm")

    def room(free: int) -> list[Level]:
        return levels(look_folders._room("spool", disk, free, limit_bytes=100, archive_bytes=10))

    assert [[Level.OK], [Level.WARNING], [Level.WARNING]] == [room(free) for free in (100, 99, 9)]
    assert (True, False) == (memory.in_memory, disk.in_memory)


def test_a_damaged_journal_is_an_error(host: Host, buckets: MotoServer) -> None:
    """Found by SQLite itself, or not even openable."""
    with host.app() as app:
        assert app.journal.unfinished() == []
    (host.state / "journal.db").write_bytes(b"this was a database" * 1000)

    answer = host.ask("doctor")

    assert Exit.PREFLIGHT == answer.code
    assert "error" in [level for level, _ in findings(answer, "state folder")]


def test_the_mount_table_names_the_filesystem() -> None:
    """By the mount's number, with spaces escaped and optional fields in between."""
    table = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 0:40 / /srv/drop\\040zone rw - nfs4 nas:/export rw\n"
        "31 22 0:41 / /mnt/s3 rw shared:2 master:1 - fuse.s3fs s3fs rw\n"
    )

    assert Filesystem("ext4", "/") == find("22", table)
    assert find("30", table).shared
    assert find("31", table).shared
    assert Filesystem("", "") == find("99", table)


def test_a_quarantine_of_somebody_elses_is_told(host: Host) -> None:
    """And a way that works leaves no trace, unless the quarantine was there before."""
    with DropZone.open(host.root) as zone:
        proved = list(look_zone.look_at_quarantine(zone, b"bucket", try_it=True))
        left = os.listdir(host.root)
        (host.root / ".s3batch-quarantine").mkdir(0o755)
        refused = list(look_zone.look_at_quarantine(zone, b"bucket", try_it=True))

    assert [Level.OK] == levels(proved)
    assert ["bucket", "other"] == sorted(left)
    assert [Level.WARNING] == levels(refused)
    assert "quarantine_unsafe" in refused[0][2]
    assert (host.root / ".s3batch-quarantine").is_dir()


@root_only
def test_somebody_elses_rights_prove_nothing(host: Host, buckets: MotoServer) -> None:
    """Where the agent is another user, quarantines are compared and not tried, and the operator is told whom to be."""
    host.state.mkdir(0o700)
    os.chown(host.state, 65534, 65534)

    answer = host.ask("doctor")

    assert Exit.PARTIAL == answer.code
    assert "sudo -u '#65534'" in " ".join(each["hint"] for each in answer.records)
    assert ["compared, not tried"] == sorted({detail[-20:-1] for _, detail in findings(answer, "quarantine")})


@root_only
def test_folders_and_files_are_tried_with_real_rights() -> None:
    """As a user without any: closed folders, folders made with umask 022, unreadable files, forbidden leases."""
    with open_place() as place:
        tree(place, {"bucket": {"mine": "x", "made022/1": "x", "made022/in/2": "x", "closed/3": "x", "secret": "x"}})
        (place / "bucket/closed").chmod(0o700)
        (place / "bucket/secret").chmod(0o600)
        (place / "bucket").chmod(0o777)
        os.chown(place / "bucket/mine", 65534, 65534)
        imports = """
from pathlib import Path
from s3batch.operate.survey import survey
from s3sync.dropzone.zone import DropZone
"""
        code = """
with DropZone.open(Path(sys.argv[1])) as zone:
    found = survey(zone, [b"bucket"])
result = [
    found.folders,
    [each.path.decode() for each in found.unwritable_shown],
    [each.decode() for each in found.closed_shown],
    sorted([each.path.decode(), each.readable, each.lease] for each in found.tried),
]
"""

        folders, unwritable, closed, tried = run_as_nobody(code, place, imports=imports)

    assert (4, ["bucket/made022", "bucket/made022/in"], ["bucket/closed"]) == (folders, unwritable, closed)
    assert ["bucket/mine", True, None] in tried
    assert ["bucket/secret", False, None] in tried
    assert ["bucket/made022/1", True, "forbidden"] in tried


def test_a_survey_tries_a_few_files_and_keeps_out_of_quarantines(host: Host) -> None:
    """Three of a bucket and owner are enough, and what is on its way out is none of them."""
    tree(host.root, {f"bucket/{folder}/{at}": "x" for folder in range(3) for at in range(5)})
    tree(host.root, {"bucket/.s3batch-quarantine/batch/0": "x"})

    with DropZone.open(host.root) as zone:
        found = survey(zone, [b"bucket"])

    assert (4, 0, 0, False) == (found.folders, found.unwritable, found.closed, found.cut)
    assert 3 == len(found.tried)


def test_which_group_or_capability_is_missing() -> None:
    """A folder its group may write to asks for the group, one it may not asks for another umask."""
    ours, theirs = os.getegid(), 54321
    found = Survey(
        folders=9,
        unwritable=7,
        unwritable_shown=[Unwritable(b"b/group", 1001, theirs, 0o2775), Unwritable(b"b/022", 1001, ours, 0o755)],
        tried=[
            Tried(b"b/secret", 1001, readable=False, lease=None),
            Tried(b"b/other", 1001, readable=True, lease=Writing.FORBIDDEN),
            Tried(b"n/nfs", 1001, readable=True, lease=Writing.UNSUPPORTED),
        ],
    )

    looked = list(look_zone.look_at_survey(found, lambda: Snapshot(frozenset(), 3)))

    hints = {subject + detail[:9]: hint for subject, _, detail, hint in looked}
    assert {Level.WARNING} == set(levels(looked))
    assert "Add the agent's user to group gid 54321" in hints["foldersb/group: "]
    assert "chmod g+w it; for the future: let uploads use umask 002" in hints["foldersb/022: fi"]
    assert "and 5 more folders" in [detail[:18] for _, _, detail, _ in looked]
    assert "CAP_DAC_READ_SEARCH" in hints["reading1 of 3 fi"]
    assert "CAP_LEASE" in hints["leasesnot grant"]
    assert "processes" in [subject for subject, _, _, _ in looked]


def test_the_kernels_protections_are_no_condition(tmp_path: Path) -> None:
    """The agent does not rely on them: off is a note, with the line that turns them on."""
    (tmp_path / "fs").mkdir()
    for name in look_host.PROTECTIONS:
        (tmp_path / "fs" / name).write_text("1\n")
    on = list(look_host.look_at_protections(tmp_path))
    (tmp_path / "fs/protected_fifos").write_text("0\n")
    ((_, level, _, hint),) = look_host.look_at_protections(tmp_path)

    assert [Level.OK] == levels(on)
    assert (Level.NOTE, True) == (level, "fs.protected_fifos=1" in hint)


def test_more_folders_than_watches(tmp_path: Path) -> None:
    """Then only the periodic scan finds new files."""
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "fs/inotify/max_user_watches").write_text("1000\n")

    def look(folders: int) -> list[Level]:
        return levels(look_host.look_at_watches(folders, at_least=False, sysctl=tmp_path))

    assert ([Level.OK], [Level.WARNING]) == (look(900), look(901))


def test_opensearch_is_asked_for_its_name() -> None:
    """With the name and password of the URL, which are never shown; one that is away or no use to us is a warning."""
    number = ["2.19.6"]

    def answer(asked: Asked) -> Reply:
        if asked.headers.get("Authorization", asked.headers.get("authorization")) != "Basic bmFtZTpwYXNzQHdvcmQ=":
            return Reply(status=401, body=b"{}")
        version = {"number": number[0]} | ({"distribution": "opensearch"} if number[0].startswith("2") else {})
        return Reply(body=json.dumps({"version": version}).encode(), headers={"content-type": "application/json"})

    def looked(url: str) -> list[Finding]:
        cluster = OpenSearchCluster(Reach(urls=(url,), timeout_seconds=5))
        found = list(examine("search", "OpenSearch", lambda: look_search.look_at_search(cluster)))
        cluster.close()
        return found

    with answering(answer) as server:
        url = server.endpoint.replace("http://", "http://name:pass%40word@")
        known, stranger = looked(url), looked(server.endpoint)
        number[0] = "8.15.0"
        newer = looked(url)
        number[0] = "7.10.2"
        older = looked(url)
    gone = looked(url)

    assert (f"index {server.endpoint}", Level.OK, "opensearch 2.19.6") == (known[0].subject, known[0].level, known[0].detail)
    assert "elasticsearch 7.10.2" == older[0].detail
    for findings, words in ((stranger, "refuses us (401)"), (newer, "have gone another way"), (gone, "cannot be reached")):
        assert [Level.WARNING] == [finding.level for finding in findings]
        assert words in findings[0].detail
        assert "pass@word" not in str(findings)
        assert "pass%40word" not in str(findings)


def test_a_database_with_a_broken_page_is_found(host: Host) -> None:
    """By SQLite's own check."""
    with host.app() as app:
        for at in range(40):
            with app.journal_db.write() as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS t (x TEXT)")
                connection.execute("INSERT INTO t VALUES (?)", (f"{at}" * 2000,))
    with closing(sqlite3.connect(host.state / "journal.db")) as plain, plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    plain.close()
    with (host.state / "journal.db").open("r+b") as file:
        file.seek(-9000, os.SEEK_END)
        file.write(b"\xff" * 5000)

    with host.app() as app:
        looked = list(examine("folders", "journal", lambda: look_folders.look_at_journal(app.journal_db), fatal=True))

    assert [Level.ERROR] == [each.level for each in looked]
