"""Lifecycles are tables: one function applies an event, and an event out of place leaves the state as it was."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class OutOfPlace(Exception):
    """An event the table does not know in this state: a defect of ours, or somebody else was quicker."""


def applied(transitions: Mapping[S, Mapping[E, S]], state: S, event: E) -> S:
    """Return the state that `event` leads to from `state`.

    Raises `OutOfPlace` where the table has no such arrow.
    """
    try:
        return transitions[state][event]
    except KeyError:
        raise OutOfPlace(f"{event} is out of place in {state}") from None


def sources(transitions: Mapping[S, Mapping[E, S]], event: E) -> dict[S, S]:
    """Return every state in which `event` has its place, with the state it leads to."""
    return {state: events[event] for state, events in transitions.items() if event in events}
