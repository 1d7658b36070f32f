"""Words of a search against keys: what the full-text index can be asked, and what must be checked after it.

The index knows every three characters in a row (trigrams) of every key, but not their order or distance, which keeps it small:
`report` is asked for as *rep* and *epo* and *por* and *ort*, and each hit is then checked to hold `report` itself. Words of one
or two characters have no trigram and are only checked. Case is ignored: the index folds it, and so does `folded`.
"""

from __future__ import annotations

from collections.abc import Iterable

from s3sync import keys

GRAM = 3
MOST_GRAMS = 16
"""As many trigrams of a word as are asked for: more cost more than they narrow."""

_UNSURE = frozenset("\0\u0130\u0307")
"""Not asked for: NUL ends the expression; `İ` is one letter to the index without its case, and two to `folded`."""


def shown(word: str) -> str:
    """Return a word as keys are shown: an argument that is not UTF-8 arrives surrogate-escaped and is spelled out."""
    return keys.display(word.encode("utf-8", "surrogateescape"))


def folded(text: str) -> str:
    """Return `text` without its case."""
    return text.lower()


def folded_key(raw: bytes) -> str:
    """Return a key as it is searched: shown, without its case."""
    return keys.display(raw).lower()


def match_expression(words: Iterable[str]) -> str | None:
    """Return what to ask the full-text index so that no key holding all `words` is missed; None if it cannot help."""
    grams = dict.fromkeys(gram for word in words for gram in _grams(word) if not _UNSURE & set(gram))
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams) or None


def _grams(word: str) -> list[str]:
    """Return up to `MOST_GRAMS` trigrams of `word`, spread evenly, the first and the last among them."""
    count = len(word) - GRAM + 1
    if count <= MOST_GRAMS:
        starts = range(count)
        return [word[start : start + GRAM] for start in starts]
    return [word[start : start + GRAM] for start in (i * (count - 1) // (MOST_GRAMS - 1) for i in range(MOST_GRAMS))]
