"""The dead man's switch: what is left is sent when its owner is silent, and never otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay.deposits import MAX_DEPOSITS, MAX_VALID_NS, Deposits, Due, Place
from strongroom_host.relay.messages import HeldState
from strongroom_host.relay.reasons import Reason, Rejected

S = 1_000_000_000
HERE = Place(b"c" * 16, 0)


def held(fire: int = 10 * S, valid: int = 60 * S) -> Deposits:
    deposits = Deposits()
    assert deposits.put(HERE, (1, 1), b"cancel", fire, valid, 0) is HeldState.HELD
    return deposits


def test_silence_sends_it_once() -> None:
    deposits = held()
    assert deposits.next_ns() == 10 * S
    assert deposits.due(10 * S - 1) == []
    assert deposits.due(10 * S) == [Due(HERE, b"cancel", 60 * S)]
    assert deposits.due(11 * S) == []
    assert len(deposits) == 0
    assert deposits.next_ns() is None


def test_a_beat_moves_it() -> None:
    deposits = held()
    assert deposits.beat(HERE, (1, 2), 15 * S) is HeldState.HELD
    assert deposits.due(14 * S) == []
    assert len(deposits.due(15 * S)) == 1
    assert deposits.beat(HERE, (1, 3), 20 * S) is HeldState.SENT
    assert deposits.due(30 * S) == [], "what was sent does not come back"


def test_it_can_be_taken_back() -> None:
    deposits = held()
    assert deposits.beat(HERE, (1, 2), 0) is HeldState.NONE
    assert deposits.due(50 * S) == []


def test_it_lapses_when_it_is_worthless() -> None:
    deposits = held(fire=100 * S)
    assert deposits.next_ns() == 60 * S
    assert deposits.due(60 * S) == []
    assert deposits.beat(HERE, (1, 2), 70 * S) is HeldState.LAPSED


def test_what_was_overtaken_on_its_way_changes_nothing() -> None:
    deposits = held()
    assert deposits.put(HERE, (1, 5), b"newer", 30 * S, 60 * S, 0) is HeldState.HELD
    assert deposits.put(HERE, (1, 4), b"older", 99 * S, 99 * S, 0) is HeldState.HELD
    assert deposits.beat(HERE, (1, 3), 0) is HeldState.HELD
    assert deposits.beat(HERE, (1, 5), 50 * S) is HeldState.HELD
    assert deposits.put(HERE, (2, 1), b"next session", 31 * S, 60 * S, 0) is HeldState.HELD
    assert deposits.beat(HERE, (1, 99), 59 * S) is HeldState.HELD
    assert deposits.due(31 * S) == [Due(HERE, b"next session", 60 * S)]


def test_a_deposit_that_was_overtaken_by_another_is_not_the_one_that_is_sent() -> None:
    deposits = held()
    deposits.put(HERE, (1, 5), b"newer", 30 * S, 60 * S, 0)
    deposits.put(HERE, (1, 4), b"older", 40 * S, 60 * S, 0)
    assert [due.request for due in deposits.due(30 * S)] == [b"newer"]
    deposits.put(HERE, (1, 4), b"older", 40 * S, 60 * S, 0)
    assert deposits.due(40 * S) == [], "nor does it come after it"


def test_places_are_apart() -> None:
    deposits = held()
    other, next_slot = Place(b"d" * 16, 0), Place(b"c" * 16, 1)
    for place in (other, next_slot):
        deposits.put(place, (1, 1), b"theirs", 20 * S, 60 * S, 0)
    assert [due.place for due in deposits.due(10 * S)] == [HERE]
    assert {due.place for due in deposits.due(20 * S)} == {other, next_slot}
    assert deposits.beat(Place(b"e" * 16, 0), (1, 2), 9) is HeldState.NONE


def test_limits() -> None:
    deposits = Deposits()
    for valid, reason in ((S, Reason.EXPIRED), (MAX_VALID_NS + S + 1, Reason.DEADLINE_TOO_FAR)):
        with pytest.raises(Rejected) as refused:
            deposits.put(HERE, (1, 1), b"x", 2 * S, valid, S)
        assert refused.value.reason is reason
    for slot in range(MAX_DEPOSITS):
        deposits.put(Place(b"c" * 16, slot), (1, slot), b"x", 2 * S, 9 * S, 0)
    with pytest.raises(Rejected) as refused:
        deposits.put(Place(b"d" * 16, 0), (1, 999), b"x", 2 * S, 9 * S, 0)
    assert refused.value.reason is Reason.DEPOSITS_FULL
    deposits.put(HERE, (1, 999), b"in its old place", 2 * S, 9 * S, 0)
    deposits.due(3 * S)
    deposits.due(9 * S + MAX_VALID_NS + 1)
    assert deposits.put(Place(b"d" * 16, 0), (2, 1), b"x", 700 * S, 800 * S, 600 * S)


STEPS = st.lists(
    st.tuples(st.sampled_from("dbwt"), st.integers(0, 30), st.integers(1, 20)), max_size=40
)


@given(STEPS)
def test_never_before_its_time_never_after_its_validity_never_twice(
    steps: list[tuple[str, int, int]],
) -> None:
    deposits, now, sent = Deposits(), 0, set[bytes]()
    model: tuple[bytes, int, int] | None = None
    for number, (step, at, passed) in enumerate(steps, 1):
        if step == "d":
            request, fire, valid = b"%d" % number, now + at * S, now + (at + passed) * S
            deposits.put(HERE, (1, number), request, fire, valid, now)
            model = (request, fire, valid)
        elif step == "b":
            deposits.beat(HERE, (1, number), now + at * S + 1)
            model = model and (model[0], now + at * S + 1, model[2])
        elif step == "w":
            deposits.beat(HERE, (1, number), 0)
            model = None
        now += passed * S
        found = deposits.due(now)
        if model is None or now < min(model[1], model[2]):
            assert found == []
            continue
        expected = [] if now >= model[2] else [model[0]]
        assert [due.request for due in found] == expected
        assert not sent & set(expected)
        sent |= set(expected)
        model = None
