from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3batch.restore import requests, thaw
from s3batch.restore.lifecycle import OutOfPlace

LIFECYCLES = pytest.mark.parametrize("lifecycle", [requests, thaw], ids=["request", "thaw"])


def picture(transitions: Mapping[Any, Mapping[Any, Any]], events: Iterable[StrEnum]) -> list[str]:
    """Draw the table: a line an event, with every state it has its place in."""
    lines = []
    for event in events:
        arrows = {state: row[event] for state, row in transitions.items() if event in row}
        (target,) = set(arrows.values())
        lines.append((", ".join(state.name for state in arrows), f"──{event}──▶ {target.name}"))
    width = max(len(sources) for sources, _ in lines) + 2
    return [f"    {sources:<{width}}{arrow}" for sources, arrow in lines]


def in_order(lines: list[str], states: Iterable[StrEnum]) -> list[list[str]]:
    """Take a picture apart: the sources of an arrow in the order of the states, then the arrow."""
    rank = {state.name: number for number, state in enumerate(states)}
    apart = []
    for line in lines:
        sources, _, arrow = line.strip().partition("──")
        apart.append([*sorted(sources.strip().split(", "), key=lambda name: rank[name]), arrow])
    return apart


@LIFECYCLES
def test_picture_is_the_table(lifecycle: ModuleType) -> None:
    """The picture in the docstring is what the table draws."""
    docstring = lifecycle.__doc__ or ""
    drawn = [line for line in docstring.splitlines() if "──▶" in line]

    rendered = picture(lifecycle.TRANSITIONS, lifecycle.Event)

    assert in_order(rendered, lifecycle.State) == in_order(drawn, lifecycle.State)


@LIFECYCLES
def test_every_pair_moves_or_raises(lifecycle: ModuleType) -> None:
    """Each event moves each state as the table says, or raises and moves nothing."""
    for state in lifecycle.State:
        for event in lifecycle.Event:
            expected = lifecycle.TRANSITIONS[state].get(event)
            if expected is None:
                with pytest.raises(OutOfPlace):
                    lifecycle.apply(state, event)
            else:
                assert expected is lifecycle.apply(state, event)


@LIFECYCLES
def test_every_state_has_a_row(lifecycle: ModuleType) -> None:
    """No state is forgotten in the table."""
    assert set(lifecycle.State) == set(lifecycle.TRANSITIONS)


@given(st.lists(st.sampled_from(requests.Event), max_size=30))
def test_any_events_end_only_in_final_states(events: list[requests.Event]) -> None:
    """Whatever happens, a part delivers only after its archive was looked at, and never leaves a final state."""
    state = requests.State.REQUESTED
    for event in events:
        before = state
        try:
            state = requests.apply(state, event)
        except OutOfPlace:
            assert before is state
            continue

        assert not before.final
        if state is requests.State.DELIVERED:
            assert requests.State.REQUESTED is not before


@given(st.lists(st.sampled_from(thaw.Event), max_size=30))
def test_asking_is_always_preceded_by_not_having_a_copy(events: list[thaw.Event]) -> None:
    """However events interleave, a thaw is only asked for from states in which nothing is known to be under way or there."""
    state = thaw.State.FROZEN
    for event in events:
        before = state
        try:
            state = thaw.apply(state, event)
        except OutOfPlace:
            continue
        if event is thaw.Event.ASK:
            assert before in {thaw.State.FROZEN, thaw.State.ASKED, thaw.State.LAPSED}


def test_least_advanced_knows_every_state() -> None:
    """A request can show every state a part can have."""
    assert sorted(requests.State) == sorted(requests.LEAST_ADVANCED_FIRST)
