"""Each recovery of docs/recovery.md is walked through on real servers, and the page shows what was said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from s3batch.catalogue.opensearch import OpenSearchCluster
from tests.live.versitygw import VersityGw
from tests.recovery.walk import BUCKET, KEY, MANIFESTS, Walk, walking
from tests.transcripts import shown

pytestmark = [pytest.mark.golden, pytest.mark.timeout(300)]

PAGE = Path(__file__).parent.parent.parent / "docs" / "recovery.md"
LATER = {"beta/later.tif": b"later" * 500}


def host_burnt(walk: Walk) -> None:
    """Nothing of the old host is left; every file it had archived is found and brought back."""
    walk.put()
    walk.before("s3batch run --once")
    walk.burn()
    walk.do("s3batch find invoice", 4)
    walk.do("s3batch rebuild")
    walk.do("s3batch find invoice")
    _brought_back(walk)
    walk.put(LATER)
    walk.do("s3batch run --once")

    assert [] == walk.waiting()


def catalogue_lost(walk: Walk) -> None:
    """A damaged catalogue is set aside and filled again; a file dropped meanwhile is archived all the same."""
    walk.put()
    walk.before("s3batch run --once")
    walk.state.joinpath("catalogue.db").write_bytes(b"not a database any more" * 500)
    for ending in ("-wal", "-shm"):
        walk.state.joinpath(f"catalogue.db{ending}").unlink(missing_ok=True)
    walk.do("s3batch find invoice", 1)
    walk.do('cd "$S3BATCH_STATE" && mkdir damaged && mv catalogue.db* damaged/')
    walk.do("s3batch rebuild")
    walk.do("s3batch find invoice")


def journal_lost(walk: Walk) -> None:
    """The agent begins with an empty journal: what it had stored is found as before, what waits is archived."""
    walk.put()
    walk.before("s3batch run --once")
    walk.put(LATER)
    walk.do('cd "$S3BATCH_STATE" && mkdir damaged && mv journal.db* damaged/')
    walk.do("s3batch run --once")
    walk.do("s3batch status --exit-code | grep -e batches -e archives -e person")
    walk.do("s3batch find .")

    assert [] == walk.waiting()


def manifests_lost(walk: Walk) -> None:
    """Manifests are stored anew in another bucket, from the catalogue; a new host can be made of them again."""
    walk.put()
    walk.before("s3batch run --once")
    _emptied(walk, MANIFESTS)
    walk.do("s3batch rebuild")
    walk.do("s3batch manifests --dry-run --manifest-bucket our-new-manifests")
    walk.do("s3batch manifests --manifest-bucket our-new-manifests")
    walk.do("export S3BATCH_MANIFEST_BUCKET=our-new-manifests   # and in the agent's settings")
    walk.do("s3batch rebuild")
    walk.aside("and the proof: a host with nothing")
    walk.do('S3BATCH_STATE="$HOME/empty" s3batch rebuild')
    walk.do('S3BATCH_STATE="$HOME/empty" s3batch find invoice')


def credentials_leaked(walk: Walk) -> None:
    """While the old key is dead files wait; with a new one they are archived; what the thief may have done is looked for."""
    walk.put()
    walk.before("s3batch run --once")
    walk.aside("the key was revoked: AWS says InvalidAccessKeyId, the server of the test what follows")
    walk.before("old=$AWS_SECRET_ACCESS_KEY; export AWS_SECRET_ACCESS_KEY=revoked")
    walk.put(LATER)
    walk.do("s3batch run --once 2>/dev/null", 1)
    walk.do("s3batch doctor --json | jq -r 'select(.level == \"error\") | .subject, .detail, .hint'")
    assert [*LATER] == walk.waiting()
    walk.aside("the agent's new key was put in place")
    walk.before("export AWS_SECRET_ACCESS_KEY=$old")
    walk.do("s3batch run --once")
    walk.do("s3batch rebuild")
    walk.do("s3batch manifests --dry-run")

    assert [] == walk.waiting()


def region_down(walk: Walk) -> None:
    """Files wait where they are, a search goes on by this host's catalogue, and all is archived when S3 is back."""
    walk.put()
    walk.before("s3batch run --once")
    walk.put(LATER)
    walk.before("there=$AWS_ENDPOINT_URL_S3; export AWS_ENDPOINT_URL_S3=http://127.0.0.1:9 AWS_MAX_ATTEMPTS=1")
    walk.do("s3batch run --once 2>/dev/null", 1)
    walk.do("s3batch status | grep -e backlog -e customer-uploads")
    walk.do("s3batch find invoice")
    assert [*LATER] == walk.waiting()
    walk.aside("S3 is back")
    walk.before("export AWS_ENDPOINT_URL_S3=$there")
    walk.do("s3batch run --once")

    assert [] == walk.waiting()


def moving(walk: Walk) -> None:
    """The old host archives what it has and is left; the new one goes on with its state, or without."""
    walk.put()
    walk.aside("on the old host: uploads are sent to the new one, the agent is stopped")
    walk.do("s3batch run --once")
    walk.do("s3batch status --exit-code | grep -e backlog -e requests -e removed -e person")
    walk.do('find "$S3BATCH_FOLDER" -type f')
    walk.do('tar -C "$S3BATCH_STATE" -czf state.tar.gz --exclude=./spool .')
    walk.aside("on the new host, with the same settings")
    walk.burn()
    walk.do('mkdir -p -m 0700 "$S3BATCH_STATE" && tar -C "$S3BATCH_STATE" -xzf state.tar.gz')
    walk.do("s3batch find invoice")
    walk.put(LATER)
    walk.do("s3batch run --once")
    _brought_back(walk)

    assert [] == walk.waiting()


def index_lost(walk: Walk) -> None:
    """The fleet's index is made anew from the manifests, and compared with them."""
    walk.put()
    walk.before("s3batch run --once")
    walk.aside("every index is gone, and this host's state with it")
    walk.before('curl -sf -X DELETE "$S3BATCH_OPENSEARCH_URL/s3-batch-$(date -u +%Y.%m)"')
    walk.before('curl -sf -X DELETE "$S3BATCH_OPENSEARCH_URL/_index_template/s3-batch"')
    walk.before('curl -sf -X DELETE "$S3BATCH_OPENSEARCH_URL/_component_template/s3-batch-members"')
    walk.burn()
    walk.do("s3batch find --catalogue opensearch invoice", 4)
    walk.do("s3batch index init")
    walk.do("s3batch index rebuild")
    walk.do("s3batch index verify")
    walk.do("s3batch find --catalogue opensearch invoice")


def rolled_back(walk: Walk) -> None:
    """A state folder that a newer program wrote is refused; with the copy made before, the older one goes on."""
    walk.put()
    walk.before("s3batch run --once")
    walk.do('cd "$S3BATCH_STATE" && mkdir before && for db in *.db; do sqlite3 "$db" ".backup before/$db"; done')
    walk.aside("the newer program is installed, archives a file, and is to be taken back")
    walk.put(LATER)
    walk.before("s3batch run --once")
    walk.before("""sqlite3 journal.db "INSERT INTO migrations (room, number) VALUES ('pack', 99)" """)
    walk.aside("the older program is installed again")
    walk.do("s3batch run --once", 7)
    walk.do("mkdir newer && mv *.db* newer/ && cp before/*.db .")
    walk.do("s3batch run --once")
    walk.do("s3batch rebuild")
    walk.do("s3batch find later")


WALKS: dict[str, Callable[[Walk], None]] = {
    "host burnt": host_burnt,
    "catalogue lost": catalogue_lost,
    "journal lost": journal_lost,
    "manifests lost": manifests_lost,
    "credentials leaked": credentials_leaked,
    "region down": region_down,
    "moving": moving,
    "rolled back": rolled_back,
}
SETTINGS = {"manifests lost": {"S3BATCH_MANIFEST_BUCKET": MANIFESTS}}


OFTEN = {"manifests lost"}
"""Walked on every change; the others by hand, and whenever the page is written anew."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in OFTEN else pytest.mark.long) for name in WALKS]
)
def test_recovery(name: str, versitygw: VersityGw, tmp_path: Path) -> None:
    """It leads where the page says, and says what the page shows."""
    with walking(tmp_path, versitygw, **SETTINGS.get(name, {})) as walk:
        WALKS[name](walk)
        shown(PAGE, name, walk.lines)


@pytest.mark.slow
def test_recovery_of_the_index(versitygw: VersityGw, opensearch: OpenSearchCluster, tmp_path: Path) -> None:
    """The same for the one that needs a cluster."""
    with walking(tmp_path, versitygw, S3BATCH_OPENSEARCH_URL=opensearch.reach.urls[0]) as walk:
        index_lost(walk)
        shown(PAGE, "index lost", walk.lines)


def _brought_back(walk: Walk) -> None:
    """Ask for one file, wait for S3, and have it."""
    walk.do(f"cd && s3batch restore s3://{BUCKET}/{KEY} --to back --tier bulk")
    walk.later(48)
    walk.do("s3batch requests wait $(s3batch requests --json | jq -r .request)")

    assert walk.is_back()


def _emptied(walk: Walk, bucket: str) -> None:
    """Lose everything in a bucket, and have another in another region."""
    s3 = walk.front.behind.client()
    for found in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=found["Key"])
    s3.create_bucket(Bucket="our-new-manifests")
