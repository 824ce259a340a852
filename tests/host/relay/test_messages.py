"""Messages: what is packed is read, what is read packs to the same bytes, the rest is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay import messages as m
from strongroom_host.relay.reasons import Reason, Rejected

ID = st.binary(min_size=16, max_size=16)
U64, U32, U16, U8 = (st.integers(0, (1 << bits) - 1) for bits in (64, 32, 16, 8))
PIECE = st.tuples(st.integers(0, 0xFFFE), st.integers(0, 0xFFFE)).map(
    lambda pair: (min(pair), max(pair) + 1)
)
DATA = st.binary(min_size=1, max_size=1165)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=255)

FROM_CLIENT = st.one_of(
    st.builds(lambda i, d, p, x: m.Request(i, d, p[0], p[1], x), ID, U64, PIECE, DATA),
    st.builds(m.Poll, ID, U64, U16, U64),
    st.builds(m.Ping, U64),
    st.builds(m.Deposit, U64, U8, U64, U64, st.binary(max_size=1100)),
    st.builds(m.Beat, U64, U8, U64),
    st.builds(m.Status, ID),
    st.just(m.Close()),
)
FROM_RELAY = st.one_of(
    st.builds(m.Accepted, ID, U64, U64, U32),
    st.builds(m.Pong, U64, U64),
    st.builds(m.Ack, ID),
    st.builds(lambda i, p, x: m.Answer(i, p[0], p[1], x), ID, PIECE, DATA),
    st.builds(m.Failure, ID, st.sampled_from(m.Outcome), st.sampled_from(Reason), ASCII),
    st.builds(m.Held, U64, U8, st.sampled_from(m.HeldState)),
)


@given(FROM_CLIENT, st.integers(0, 40))
def test_what_a_client_says_is_understood(said: m.FromClient, padding: int) -> None:
    packed = said.pack()
    assert m.read_from_client(packed) == said
    assert m.read_from_client(packed + bytes(padding)) == said
    assert m.read_from_client(packed).pack() == packed


@given(FROM_RELAY, st.integers(0, 40))
def test_what_a_relay_says_is_understood(said: m.FromRelay, padding: int) -> None:
    packed = said.pack()
    assert m.read_from_relay(packed) == said
    assert m.read_from_relay(packed + bytes(padding)) == said
    assert m.read_from_relay(packed).pack() == packed


@given(st.one_of(FROM_CLIENT.map(lambda x: (True, x)), FROM_RELAY.map(lambda x: (False, x))))
def test_what_is_cut_or_followed_by_something_is_malformed(
    said: tuple[bool, m.FromClient | m.FromRelay],
) -> None:
    from_client, message = said
    read = m.read_from_client if from_client else m.read_from_relay
    packed = message.pack()
    for spoilt in (packed[:-1].rstrip(b"\0")[:-1], packed + b"\1", packed + b"\0\0\1"):
        with pytest.raises(Rejected) as refused:
            read(spoilt)
        assert refused.value.reason is Reason.MALFORMED
    other = m.read_from_relay if from_client else m.read_from_client
    with pytest.raises(Rejected):
        other(packed)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        bytes((8,)) + bytes(40),
        bytes((64,)) + bytes(40),
        bytes((255,)) + bytes(40),
        m.Request(b"i" * 16, 1, 1, 1, b"x").pack(),  # the second of one
        m.Request(b"i" * 16, 1, 0, 0, b"x").pack(),
        m.Request(b"i" * 16, 1, 0, 1, b"").pack(),
    ],
)
def test_what_means_nothing_is_malformed(message: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        m.read_from_client(message)
    assert refused.value.reason is Reason.MALFORMED


def test_numbers_that_name_nothing_are_malformed() -> None:
    good = m.Failure(b"i" * 16, m.Outcome.UNKNOWN, Reason.EXPIRED, "x").pack()
    for at, value in ((17, 0), (17, 3), (18, 0), (18, 99), (20, 0xFF)):
        spoilt = good[:at] + bytes((value,)) + good[at + 1 :]
        with pytest.raises(Rejected):
            m.read_from_relay(spoilt)
    held = m.Held(1, 2, m.HeldState.SENT).pack()
    with pytest.raises(Rejected):
        m.read_from_relay(held[:-1] + b"\5")


def test_a_long_or_foreign_detail_is_cut_and_replaced() -> None:
    read = m.read_from_relay(
        m.Failure(b"i" * 16, m.Outcome.UNKNOWN, Reason.EXPIRED, "é" + "x" * 400).pack()
    )
    assert isinstance(read, m.Failure)
    assert read.detail == "?" + "x" * 254
