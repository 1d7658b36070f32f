"""How the fleet's index is laid out: which fields a member's document has there, and what each of them can be asked.

A component template holds fields and analysis, an index template applies it to every `s3-batch-*` that is made from then on,
and each such index is read through the alias `s3-batch`. Unknown fields are refused (strict): a typing mistake or a stranger's
document must not become part of the layout. What each field type costs and does, and why these were chosen, is measured in
docs/opensearch.md.

The layout has the version of the documents (`SCHEMA`). A newer one only adds: its fields are put into the indices that are
there already, so that a month begun by an older agent is finished by a newer one. An older agent leaves a newer template alone.

Restore requests and what needs attention go into an index of their own, outside the members' pattern.
"""

from __future__ import annotations

from collections.abc import Mapping

from s3batch.catalogue.documents import INDEX_PREFIX, SCHEMA

Json = dict[str, object]

ALIAS = "s3-batch"
"""What is searched: every index of members, by this one name."""
PATTERN = f"{INDEX_PREFIX}*"
COMPONENT_TEMPLATE = "s3-batch-members"
INDEX_TEMPLATE = "s3-batch"
REQUESTS_INDEX = "s3batch-requests"
"""Restore requests and attention items; no member's document ever goes there."""
BUILDING = "building"
"""In the `_meta` of an index that is just being filled, until it takes its place: agents leave it alone."""
PRIORITY = 500
"""Above the templates of 0 to 200 that come with servers and with most installations."""

MOST_KEYWORD = 8191
"""Characters of a keyword that are indexed: as many as fit into Lucene's 32,766 bytes whatever they are. A shown key has at
most 4,096 of them and a console URL some 3,200, so nothing is ever left out, as it would be beyond the usual 256."""

WORDS = "s3batch_words"
TREE = "s3batch_tree"
FOLDED = "s3batch_folded"

_KEYWORD: Json = {"type": "keyword", "ignore_above": MOST_KEYWORD}
_KEPT: Json = {"type": "keyword", "index": False, "doc_values": False}
"""Shown, and never searched for."""
_NUMBER: Json = {"type": "long"}


def component_template(*, wildcard: bool) -> Json:
    """Return the component template; `wildcard` where the server knows that type of field."""
    return {"template": _layout(wildcard=wildcard), "version": SCHEMA, "_meta": meta()}


def _layout(*, wildcard: bool) -> Json:
    return {
        "settings": {
            "index": {
                "number_of_shards": 1,
                "auto_expand_replicas": "0-1",  # a single node stays green, two hold everything twice
                "refresh_interval": "30s",
                "codec": "best_compression",
                "analysis": _analysis(),
            }
        },
        "mappings": {"dynamic": "strict", "_meta": meta(), "properties": properties(wildcard=wildcard)},
    }


def index_body(*, wildcard: bool) -> Json:
    """Return what an index of ours is made with where the templates cannot be relied upon: the same as by them."""
    return {**_layout(wildcard=wildcard), "aliases": {ALIAS: {}}}


def index_template() -> Json:
    """Return the index template that applies the component template and the alias."""
    return {
        "index_patterns": [PATTERN],
        "composed_of": [COMPONENT_TEMPLATE],
        "priority": PRIORITY,
        "template": {"aliases": {ALIAS: {}}},
        "version": SCHEMA,
        "_meta": meta(),
    }


def meta() -> Json:
    """Return what marks a layout as ours, and of which version."""
    return {"made_by": "s3batch", "schema": SCHEMA}


def properties(*, wildcard: bool) -> dict[str, Json]:
    """Return the fields of a member's document, each with its type; `documents.Source` says what is in them."""
    return {
        **_original_fields(),
        "key": {**_KEYWORD, "fields": _key_fields(wildcard=wildcard)},
        "key_base64": _KEYWORD,
        "archive": _KEYWORD,
        "ordinal": {"type": "integer"},
        "offset": {"type": "long", "index": False},
        "size": _NUMBER,
        "sha256": {"type": "keyword", "doc_values": False},
        "mtime": {"type": "date"},
        "mode": _KEPT,
        "uid": _NUMBER,
        "gid": _NUMBER,
        "user": _KEYWORD,
        "group": _KEYWORD,
        "archived_at": {"type": "date_nanos"},
        "storage_class": _KEYWORD,
        "host": _KEYWORD,
        "batch": _KEYWORD,
        "tool": _KEPT,
        "version_id": _KEPT,
        "archive_size": _NUMBER,
        "checksum_crc64nvme": _KEPT,
        "members": _NUMBER,
        "manifest": _KEPT,
        "schema": {"type": "short"},
        "restore_command": _KEPT,
    }


def _original_fields() -> dict[str, Json]:
    """Return the six fields of the program before this one: text, with a keyword beside, as its dashboards ask for them."""
    both: Json = {"type": "text", "fields": {"keyword": _KEYWORD}}
    names = ("bucket", "url", "name", "archive_content", "archive_content_name", "archive_content_extension")
    return dict.fromkeys(names, both)


def _key_fields(*, wildcard: bool) -> dict[str, Json]:
    """Return what a key can be asked beside being it: the folder it is below, words in it, any part of it."""
    folded: Json = {"type": "wildcard" if wildcard else "keyword", "normalizer": FOLDED, "ignore_above": MOST_KEYWORD}
    return {
        "tree": {"type": "text", "analyzer": TREE, "search_analyzer": "keyword", "norms": False, "index_options": "docs"},
        "words": {"type": "text", "analyzer": WORDS, "search_analyzer": f"{WORDS}_asked", "norms": False},
        "folded": folded,
    }


def _analysis() -> Mapping[str, object]:
    """Return how keys are taken apart.

    Words: split at everything that is neither letter nor digit, kept whole and also split between `a` and `B` or `a` and `1`,
    without case and accents, composed or not. Words that are asked for are not split further: `img0042` means just that.
    """
    folding = ["lowercase", "asciifolding"]
    return {
        "char_filter": {"s3batch_no_accents": {"type": "pattern_replace", "pattern": "[\\u0300-\\u036f]", "replacement": ""}},
        "tokenizer": {
            "s3batch_names": {"type": "pattern", "pattern": "[^\\p{L}\\p{N}\\p{M}]+"},
            "s3batch_folders": {"type": "path_hierarchy", "delimiter": "/"},
        },
        "filter": {
            "s3batch_parts": {"type": "word_delimiter_graph", "preserve_original": True, "stem_english_possessive": False}
        },
        "normalizer": {FOLDED: {"type": "custom", "filter": ["lowercase"]}},
        "analyzer": {
            TREE: {"type": "custom", "tokenizer": "s3batch_folders"},
            WORDS: {
                "type": "custom",
                "char_filter": ["s3batch_no_accents"],
                "tokenizer": "s3batch_names",
                "filter": ["s3batch_parts", "flatten_graph", *folding],
            },
            f"{WORDS}_asked": {
                "type": "custom",
                "char_filter": ["s3batch_no_accents"],
                "tokenizer": "s3batch_names",
                "filter": folding,
            },
        },
    }
