"""What a cluster's replies say, in our words: plain functions from JSON objects to the contract's values.

They come from whatever answers at the address, so nothing about their shape is taken for granted: what is not as it should be
reads as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from s3batch.catalogue.cluster import Hit, Hits, IndexFacts, ItemReply, Json

_NOTHING: Json = {}
_MOST_REASON = 500


def as_object(value: object) -> Json:
    """Return the object, an empty one where it is none."""
    return value if isinstance(value, Mapping) else _NOTHING


def as_number(value: object) -> int:
    """Return the whole number, 0 where it is none."""
    return value if isinstance(value, int) else 0


def only_template(reply: Json | None, listing: str, name: str) -> Json | None:
    """Return the one template of a reply that lists some."""
    listed = None if reply is None else reply.get(listing)
    return as_object(listed[0].get(name)) if isinstance(listed, list) and listed else None


def index_facts(name: str, said: Json) -> IndexFacts:
    """Return what a reply says of the index `name`."""
    mappings = as_object(said.get("mappings"))
    index = as_object(as_object(said.get("settings")).get("index"))
    return IndexFacts(
        name=name,
        uuid=str(index.get("uuid", "")),
        aliases=frozenset(as_object(said.get("aliases"))),
        meta=as_object(mappings.get("_meta")),
        properties=as_object(mappings.get("properties")),
        strict=mappings.get("dynamic") == "strict",
    )


def hits_of(reply: Json) -> Hits:
    """Return what a search found."""
    found = as_object(reply.get("hits"))
    listed = found.get("hits")
    hits = tuple(_hit(hit) for hit in listed if isinstance(hit, Mapping)) if isinstance(listed, list) else ()
    return Hits(hits, _total(found.get("total")), as_object(reply.get("aggregations")))


def _hit(hit: Json) -> Hit:
    sort = hit.get("sort")
    return Hit(
        str(hit.get("_index", "")),
        str(hit.get("_id", "")),
        as_object(hit.get("_source")),
        tuple(sort) if isinstance(sort, list) else (),
    )


def _total(total: object) -> int | None:
    said = as_object(total)
    return as_number(said.get("value")) if said.get("relation") == "eq" else None


def item_reply(item: object) -> ItemReply:
    """Return what one line of a bulk reply says, whatever the action was."""
    result = next(iter(item.values()), None) if isinstance(item, Mapping) else None
    status = as_number(as_object(result).get("status"))
    return ItemReply(status, "", "") if 200 <= status < 300 else ItemReply(status, kind_of(result), reason_of(result))  # noqa: PLR2004


def kind_of(info: object) -> str:
    """Return the server's name for an error, empty where it gives none."""
    error = as_object(info).get("error")
    return str(as_object(error).get("type", ""))


def reason_of(reply: object) -> str:
    """Return the words of an error, wherever this server, or a service before it, puts them, in one line."""
    said = as_object(reply)
    error: Any = next((said[name] for name in ("error", "message", "Message") if name in said), reply)
    if not isinstance(error, Mapping):
        return in_one_line(str(error or "no reason given"))
    cause = error.get("caused_by")
    deeper = f" ({reason_of(cause)})" if isinstance(cause, Mapping) else ""
    return in_one_line(f"{error.get('type', 'error')}: {error.get('reason', 'no reason given')}{deeper}")


def in_one_line(text: str) -> str:
    """Return somebody else's text as one line, cut where it is long."""
    return " ".join(text.split())[:_MOST_REASON]
