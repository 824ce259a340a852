"""Sliding windows: exact for orders that are apart, only stricter for a crowd, and bounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strongroom_enclave.signer.amounts import ONE
from strongroom_enclave.signer.policy import Approved, Denied, _Window
from strongroom_wire.errors import Rule
from strongroom_wire.manifest import Window
from strongroom_wire.statements import Budget

from tests.enclave.policy.sample import NOT_AFTER, NOW, POLICY, decide, permitted, sized

SPANS = (1, 60, 3600, 86_400, 31 * 86_400)


@pytest.mark.parametrize("seconds", SPANS)
def test_an_amount_counts_up_to_and_including_the_last_ms(seconds: int) -> None:
    policy = replace(POLICY, windows=(Window(seconds, Decimal(30)),), orders_per_minute=10**6)
    engine = permitted(policy, Budget("momentum", 2**64 - 1, 2**32 - 1), NOW + 10**10)
    assert decide(engine, sized(20 * ONE)) == Approved()
    last = NOW + 1000 * seconds
    full = Denied(Rule.WINDOW_NOTIONAL, 0, 30 * ONE, 30 * ONE + 1)
    assert decide(engine, sized(10 * ONE + 1, last), time_ms=last) == full
    assert decide(engine, sized(10 * ONE + 1, last + 1), time_ms=last + 1) == Approved()


def test_orders_per_minute_counts_up_to_and_including_the_last_ms() -> None:
    engine = permitted(replace(POLICY, orders_per_minute=1))
    assert decide(engine, sized(1))
    last = NOW + 60_000
    assert decide(engine, sized(1, last), time_ms=last) == Denied(Rule.RATE, 0, 1, 2)
    assert decide(engine, sized(1, last + 1), time_ms=last + 1) == Approved()


def test_a_window_slides_and_does_not_restart() -> None:
    """Filling the end of one minute and the start of the next is what a fixed window lets pass."""
    engine = permitted(replace(POLICY, windows=(Window(60, Decimal(40)),)))
    for time, approved in (
        (NOW + 59_000, True),
        (NOW + 59_900, True),
        (NOW + 60_100, False),
        (NOW + 119_000, False),
        (NOW + 119_001, True),
        (NOW + 119_900, False),
        (NOW + 119_901, True),
    ):
        assert bool(decide(engine, sized(20 * ONE, time), time_ms=time)) is approved


@given(
    seconds=st.sampled_from(SPANS),
    steps=st.lists(
        st.tuples(st.integers(0, 2**14) | st.integers(0, 10**10), st.integers(0, 10**9)),
        max_size=300,
    ),
)
def test_total_lies_between_the_exact_one_and_that_of_a_span_longer_by_a_256th(
    seconds: int, steps: list[tuple[int, int]]
) -> None:
    window, span, now = _Window(seconds, 0), seconds * 1000, NOW
    added: list[tuple[int, int]] = []
    for step, amount in steps:
        now += step % (3 * span)
        total = window.total(now)
        assert total >= sum(a for t, a in added if now - t <= span)
        assert total <= sum(a for t, a in added if now - t <= span + span // 256)
        assert len(window._entries) <= 258
        window.add(now, amount)
        added.append((now, amount))
    assert window.total(now + span + span // 256 + 1) == 0


@pytest.mark.parametrize("apart_ms", [1, 7, 100, 234, 235])
def test_memory_stays_bounded_however_many_orders(apart_ms: int) -> None:
    window = _Window(60, 0)
    for now in range(NOW, NOW + 300_000, apart_ms):
        window.total(now)
        window.add(now, 1)
        assert len(window._entries) <= 258
    assert 60_000 // apart_ms <= window.total(NOW + 300_000) <= 60_235 // apart_ms + 1


def test_the_permit_of_the_sample_outlasts_these_tests() -> None:
    assert NOT_AFTER > NOW + 3_600_000
