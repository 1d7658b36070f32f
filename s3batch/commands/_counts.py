"""Counts as people type them."""

from __future__ import annotations

import argparse


def read_count(text: str) -> int:
    """Return the number `text` says. Raises `ArgumentTypeError`, `ValueError` where it is none or negative."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number
