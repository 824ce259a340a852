"""The transition table: what it promises, proven on every path through it."""

from __future__ import annotations

from pathlib import Path

import strongroom_host.store
from strongroom_host.store.states import (
    SENDABLE,
    TRANSITIONS,
    UNRESOLVED,
    OrderState,
    diagram,
)

SENT, UNKNOWN, UNSENT = OrderState.SENT, OrderState.UNKNOWN, OrderState.UNSENT


def reachable(
    start: OrderState, *, without: frozenset[OrderState] = frozenset()
) -> set[OrderState]:
    found, todo = set(), [start]
    while todo:
        for state in TRANSITIONS[todo.pop()] - without:
            if state not in found:
                found.add(state)
                todo.append(state)
    return found


def test_every_state_is_in_the_table_and_reached() -> None:
    assert set(TRANSITIONS) == set(OrderState)
    assert reachable(OrderState.PREPARED) == set(OrderState) - {OrderState.PREPARED}


def test_nothing_returns_from_unknown_to_being_sent() -> None:
    assert SENT not in reachable(UNKNOWN)
    assert UNSENT not in reachable(UNKNOWN)
    for state in (OrderState.ACCEPTED, OrderState.REJECTED, OrderState.ABSENT):
        assert SENT not in reachable(state)


def test_only_states_in_which_nothing_left_lead_to_sent() -> None:
    assert {state for state, after in TRANSITIONS.items() if SENT in after} == SENDABLE
    assert SENDABLE.isdisjoint(UNRESOLVED)


def test_a_second_sending_needs_a_proof_that_the_first_did_not_happen() -> None:
    assert SENT not in reachable(SENT, without=frozenset({UNSENT}))


def test_the_readme_shows_this_table() -> None:
    readme = Path(strongroom_host.store.__file__).with_name("README.md").read_text()
    assert diagram() in readme
