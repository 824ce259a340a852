"""The table of reactions, and credit that neither side can exceed or lie about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock.connection import Action, Connection, Key, State, reaction
from strongroom_host.vsock.packets import NO_SEND, Header, Op

KEY = Key(3, 5002, 1000)


def header(buffer: int = 0, consumed: int = 0) -> Header:
    return Header(42, 3, 1000, 5002, 0, 1, Op.CREDIT_UPDATE, 0, buffer, consumed & 0xFFFFFFFF)


def connection(state: State = State.OPEN, window: int = 1000) -> Connection:
    return Connection(KEY, state, window)


def controls(made: Connection) -> list[tuple[Op, int]]:
    """Returns all control packets due, as a device would send them."""
    found = []
    while (due := made.next_control()) is not None:
        made.credit()
        found.append(due)
    return found


ALLOWED = {
    State.REQUESTED: {Op.RESPONSE, Op.RST},
    State.DIALLING: {Op.RST},
    State.OPEN: {Op.RW, Op.SHUTDOWN, Op.CREDIT_UPDATE, Op.CREDIT_REQUEST, Op.RST},
    State.FINISHED: set(Op) - {Op.RESPONSE},
    State.DRAINING: set(),
    State.GONE: set(),
}


@pytest.mark.parametrize("state", State)
def test_every_other_packet_resets(state: State) -> None:
    for op in range(12):
        assert (reaction(state, op) is Action.RESET) == (op not in ALLOWED[state]), op


@given(
    st.integers(0, 1 << 20),
    st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 16))),
    st.integers(0, 1 << 33),
)
def test_no_more_is_in_flight_than_the_guest_can_hold(
    buffer: int, steps: list[tuple[bool, int]], before: int
) -> None:
    """Also where the counts pass 2^32."""
    made = connection()
    sent = taken = before
    made.sent(before)
    made._in_flight = 0
    made.acknowledge(header(buffer, taken))
    for sending, count in steps:
        if sending:
            made.sent(count := min(count, made.sendable))
            sent += count
        else:
            taken = min(sent, taken + count)
            assert made.acknowledge(header(buffer, taken))
        assert sent - taken <= buffer
        assert made.sendable == buffer - (sent - taken)


def test_a_guest_cannot_have_consumed_what_was_not_sent() -> None:
    made = connection()
    made.acknowledge(header(100))
    made.sent(60)
    assert not made.acknowledge(header(100, 61))
    assert not made.acknowledge(header(100, 60 + (1 << 30)))
    assert made.acknowledge(header(100, 60))


def test_an_old_count_is_no_lie_and_takes_nothing_back() -> None:
    made = connection()
    made.acknowledge(header(100))
    made.sent(60)
    made.acknowledge(header(100, 50))
    assert made.acknowledge(header(100, 20))
    assert made.sendable == 90


def test_a_buffer_that_shrinks_stops_the_sender() -> None:
    made = connection()
    made.acknowledge(header(100))
    made.sent(60)
    made.acknowledge(header(10))
    assert made.sendable == 0


def test_a_giant_buffer_does_not_confuse_the_order_of_counts() -> None:
    made = connection()
    made.acknowledge(header(0xFFFFFFFF))
    made.sent(made.sendable)
    assert made.sendable == 0
    assert made.acknowledge(header(0xFFFFFFFF, 1))


def test_what_is_promised_is_what_is_free_and_was_told() -> None:
    made = connection(window=1000)
    assert made.promised == 1000
    made.pending += bytes(400)
    assert made.promised == 600
    del made.pending[:100]
    made.consumed(100)
    assert made.promised == 600  # not told yet
    assert made.credit() == (1000, 100)
    assert made.promised == 700


def test_the_guest_is_told_when_a_quarter_of_the_window_is_free_again() -> None:
    made = connection(window=1000)
    made.consumed(249)
    assert controls(made) == []
    made.consumed(1)
    assert controls(made) == [(Op.CREDIT_UPDATE, 0)]
    assert controls(made) == []


def test_nothing_is_said_before_the_answer_to_a_request() -> None:
    made = connection(State.REQUESTED)
    made.shutdown |= NO_SEND
    assert controls(made) == [(Op.REQUEST, 0)]
    made.state = State.OPEN
    assert controls(made) == [(Op.SHUTDOWN, NO_SEND)]


def test_a_confirmation_comes_before_an_end() -> None:
    made = connection(State.DIALLING)
    made.confirm()
    made.state = State.OPEN
    made.shutdown |= NO_SEND
    assert controls(made) == [(Op.RESPONSE, 0), (Op.SHUTDOWN, NO_SEND)]
