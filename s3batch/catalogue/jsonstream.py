"""Read one large JSON object whose last value is a long array, without ever holding all of it.

`json.load` on a manifest of a million members costs gigabytes, and a line-by-line reader would only understand our own
layout. So the text is decoded piece by piece with the standard decoder: the short values first, then one element of the array
at a time. Any whitespace and any order of the short values is understood; the array must come last. What is not JSON, or has
an element longer than anything of ours, raises `ValueError` saying where.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO

MOST_CHARS = 1 << 20
"""The longest value (an element, or one of the short values) that is read: far above any of ours."""

_CHUNK_BYTES = 1 << 16
_BLANK = " \t\r\n"


class ArrayDocument:
    """An object such as `{"version":1,"archive":{...},"members":[...]}`, read from start to end, once."""

    def __init__(self, source: BinaryIO, array: str, most_bytes: int) -> None:
        """Read from `source`, whose array is named `array`, at most `most_bytes` of text."""
        self._source = source
        self._array = array
        self._left = most_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder(parse_constant=_no_constant).raw_decode
        self._text = ""
        self._at = 0
        self._ended = False

    def head(self) -> dict[str, object]:
        """Return the values before the array, leaving off where its first element begins."""
        values: dict[str, object] = {}
        self._expect("{")
        while True:
            name = self._value()
            if not isinstance(name, str) or name in values:
                raise ValueError("a name is missing or repeated")
            self._expect(":")
            if name == self._array:
                self._expect("[")
                return values
            values[name] = self._value()
            self._expect(",")

    def elements(self) -> Iterator[object]:
        """Yield the array's elements, then make sure that nothing follows."""
        if self._peek() == "]":
            self._expect("]")
        else:
            yield self._value()
            while self._next_of(",]") == ",":
                yield self._value()
        self._expect("}")
        if self._peek():
            raise ValueError("something follows the document")

    def _value(self) -> object:
        self._peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise ValueError(f"not JSON: {error.msg}") from None
                continue
            except RecursionError:
                raise ValueError("nested too deeply") from None
            if end < len(self._text) or not self._more():
                # A number that ends where the text ends may go on in the next piece.
                self._at = end
                return value

    def _expect(self, char: str) -> None:
        self._next_of(char)

    def _next_of(self, chars: str) -> str:
        found = self._peek()
        if not found or found not in chars:
            raise ValueError(f"{found!r} where {' or '.join(chars)} belongs")
        self._at += 1
        return found

    def _peek(self) -> str:
        """Return the next character that is not blank, without taking it; empty at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _BLANK:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Read another piece, forgetting what was taken; False at the end."""
        if self._ended:
            return False
        if len(self._text) - self._at > MOST_CHARS:
            raise ValueError("a value is too long")
        piece = self._source.read(_CHUNK_BYTES)
        self._left -= len(piece)
        if self._left < 0:
            raise ValueError("the document is too long")
        self._ended = not piece
        self._text = self._text[self._at :] + self._utf8.decode(piece, final=self._ended)
        self._at = 0
        return True


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
