"""What the original program left behind: its documents, in an index as the server's guesses made it."""

from __future__ import annotations

import json

from s3batch.catalogue.opensearch import OpenSearchCluster

INDEX = "s3-batch-2021.03.05"
ARCHIVE = "in/2021/0f4e1d9c-6a52-4a3e-9b6f-0d8f6d0f8a11.tar"
NAMES = ["IMG 1.JPG", "Zahlung.pdf"]

MAPPING = {
    name: {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
    for name in ("bucket", "url", "name", "archive_content", "archive_content_name", "archive_content_extension")
}
"""What a server of then makes of six texts by itself."""


def documents(bucket: str = "bucket", archive: str = ARCHIVE, names: list[str] = NAMES) -> list[dict[str, object]]:
    """Return documents with the six fields: a member's name is without its folder, which is the archive's."""
    return [
        {
            "bucket": bucket,
            "url": f"https://s3.console.aws.amazon.com/s3/object/{bucket}/{archive}",
            "name": archive.rpartition("/")[2].removesuffix(".tar"),
            "archive_content": name,
            "archive_content_name": name.rpartition(".")[0],
            "archive_content_extension": f".{name.rpartition('.')[2]}",
        }
        for name in names
    ]


def index(cluster: OpenSearchCluster) -> None:
    """Make the index before our templates are there, and put the documents in."""
    cluster.create_index(INDEX, {"mappings": {"properties": MAPPING}})
    lines = [
        f"{json.dumps({'index': {'_index': INDEX, '_id': str(number)}})}\n{json.dumps(said)}\n"
        for number, said in enumerate(documents())
    ]
    assert ["", ""] == [reply.kind for reply in cluster.bulk("".join(lines))]
    cluster.refresh(INDEX)
