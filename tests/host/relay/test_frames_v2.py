"""The v2 frames: every bit is authenticated, every step proves what it says it proves."""

from __future__ import annotations

import hmac
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay import frames_v1, frames_v2
from strongroom_host.relay.frames_v2 import (
    TO_CLIENT,
    TO_RELAY,
    HandshakeKeys,
    Opener,
    Sealer,
    packet_of,
)
from strongroom_host.relay.keys import SessionKeys
from strongroom_host.relay.reasons import Reason, Rejected

from tests.host.relay.world import OTHER_PSK, PSK

S = 1_000_000_000
KEYS, OTHERS = HandshakeKeys(PSK), HandshakeKeys(OTHER_PSK)
CLIENT_SALT, RELAY_SALT, COOKIE_KEY = b"c" * 16, b"r" * 16, b"k" * 32
ADDRESS = b"192.0.2.7|40000"


def flipped(data: bytes) -> list[bytes]:
    return [
        data[: bit // 8] + bytes((data[bit // 8] ^ 1 << bit % 8,)) + data[bit // 8 + 1 :]
        for bit in range(8 * len(data))
    ]


def reason(call: object, *arguments: object) -> Reason:
    assert callable(call)
    with pytest.raises(Rejected) as refused:
        call(*arguments)
    return refused.value.reason


def challenge(now: int = 50 * S) -> bytes:
    return KEYS.challenge(COOKIE_KEY, ADDRESS, CLIENT_SALT, RELAY_SALT, now)


def start(sequence: int = 1, keys: HandshakeKeys = KEYS) -> bytes:
    return keys.start(KEYS.read_challenge(challenge(), CLIENT_SALT), sequence, b"bot".ljust(16))


def test_the_way_in() -> None:
    assert KEYS.read_hello(KEYS.hello(CLIENT_SALT)) == CLIENT_SALT
    asked = KEYS.read_challenge(challenge(), CLIENT_SALT)
    assert (asked.relay_salt, asked.relay_ns, asked.session) == (RELAY_SALT, 50 * S, b"r" * 8)
    got = KEYS.read_start(COOKIE_KEY, ADDRESS, start(9), 51 * S)
    assert (got.sequence, got.client_id, got.challenge) == (9, b"bot".ljust(16), asked)
    assert got.keys == KEYS.session_keys(asked) == SessionKeys.derive(PSK, CLIENT_SALT, RELAY_SALT)


def test_no_answer_is_longer_than_what_asked_for_it() -> None:
    assert len(challenge()) <= len(KEYS.hello(CLIENT_SALT))
    smallest = Sealer(b"k" * 32, TO_RELAY, b"s" * 8, lambda: 1).seal(b"x")
    assert len(KEYS.reset(b"s" * 8, 1)) < len(smallest)


def test_every_bit_of_the_way_in_matters() -> None:
    for spoilt in flipped(KEYS.hello(CLIENT_SALT)):
        assert reason(KEYS.read_hello, spoilt) is Reason.HELLO_FORGED
    for spoilt in flipped(challenge()):
        assert reason(KEYS.read_challenge, spoilt, CLIENT_SALT) is Reason.FORGED
    for at, spoilt in enumerate(flipped(start())):
        got = reason(KEYS.read_start, COOKIE_KEY, ADDRESS, spoilt, 51 * S)
        # Salts, clock and cookie are the cookie's to protect; the rest is the seal's.
        assert got is (Reason.START_OUTDATED if 32 <= at < 480 else Reason.START_FORGED)
    for spoilt in flipped(KEYS.reset(b"s" * 8, 7)):
        assert reason(KEYS.read_reset, spoilt) is Reason.FORGED


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stops early tells a forger how far he got: each goes by `compare_digest`."""
    seen: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return one == other

    asked, answered = challenge(), start()
    checks: list[tuple[Callable[[], object], int]] = [
        (lambda: KEYS.read_hello(KEYS.hello(CLIENT_SALT)), 32),
        (lambda: KEYS.read_challenge(asked, CLIENT_SALT), 32),
        (lambda: KEYS.read_start(COOKIE_KEY, ADDRESS, answered, 51 * S), 16),
        (lambda: KEYS.read_reset(KEYS.reset(b"s" * 8, 7)), 16),
        (lambda: frames_v1.open_frame(PSK, frames_v1.build(PSK, 1, 2, b"x")), 32),
    ]
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for check, size in checks:
        seen.clear()
        check()
        [(one, other)] = seen
        assert one == other
        assert len(one) == size


def test_another_psk_gets_nowhere() -> None:
    assert reason(KEYS.read_hello, OTHERS.hello(CLIENT_SALT)) is Reason.HELLO_FORGED
    assert reason(OTHERS.read_challenge, challenge(), CLIENT_SALT) is Reason.FORGED
    forged = start(keys=OTHERS)
    assert reason(KEYS.read_start, COOKIE_KEY, ADDRESS, forged, 51 * S) is Reason.START_FORGED
    assert reason(KEYS.read_reset, OTHERS.reset(b"s" * 8, 7)) is Reason.FORGED


def test_a_challenge_answers_one_greeting() -> None:
    assert reason(KEYS.read_challenge, challenge(), b"d" * 16) is Reason.REPLAYED


@pytest.mark.parametrize(
    ("cookie_key", "address", "now"),
    [
        (b"K" * 32, ADDRESS, 51 * S),  # another boot
        (COOKIE_KEY, b"192.0.2.8|40000", 51 * S),
        (COOKIE_KEY, b"192.0.2.7|40001", 51 * S),
        (COOKIE_KEY, ADDRESS, 60 * S + 1),
        (COOKIE_KEY, ADDRESS, 50 * S - 1),  # from the future: another machine's clock
    ],
)
def test_a_start_is_fresh_and_from_where_the_challenge_went(
    cookie_key: bytes, address: bytes, now: int
) -> None:
    assert reason(KEYS.read_start, cookie_key, address, start(), now) is Reason.START_OUTDATED


def test_a_start_is_good_until_its_cookie_is_not() -> None:
    assert KEYS.read_start(COOKIE_KEY, ADDRESS, start(), 60 * S).sequence == 1


@pytest.mark.parametrize("size", [0, 3, 4, 91, 93, 99, 101, 35, 37, 2000])
def test_other_lengths_are_cut_off(size: int) -> None:
    data = b"\0" * size
    assert reason(KEYS.read_hello, data) is Reason.TRUNCATED
    assert reason(KEYS.read_challenge, data, CLIENT_SALT) is Reason.TRUNCATED
    assert reason(KEYS.read_start, COOKIE_KEY, ADDRESS, data, 0) is Reason.TRUNCATED
    assert reason(KEYS.read_reset, data) is Reason.TRUNCATED


@given(st.binary(min_size=1, max_size=1500), st.integers(1, frames_v2.LAST_SEQUENCE))
def test_packets_open_to_what_was_sealed(message: bytes, number: int) -> None:
    packet = Sealer(b"k" * 32, TO_RELAY, b"session!", lambda: number).seal(message)
    assert packet_of(packet) == (b"session!", number)
    assert Opener(b"k" * 32).open(packet) == (number, message)
    assert len(packet) == len(message) + frames_v2.OVERHEAD


def test_every_bit_of_a_packet_matters() -> None:
    packet = Sealer(b"k" * 32, TO_RELAY, b"session!", lambda: 5).seal(b"message")
    for spoilt in flipped(packet):
        assert reason(Opener(b"k" * 32).open, spoilt) is Reason.FORGED


def test_directions_and_sessions_do_not_mix() -> None:
    one = SessionKeys.derive(PSK, CLIENT_SALT, RELAY_SALT)
    two = SessionKeys.derive(PSK, CLIENT_SALT, b"R" * 16)
    packet = Sealer(one.to_relay, TO_RELAY, b"r" * 8, lambda: 1).seal(b"message")
    for key in (one.to_client, two.to_relay, two.to_client):
        assert reason(Opener(key).open, packet) is Reason.FORGED
    reflected = packet[:3] + bytes((TO_CLIENT,)) + packet[4:]
    assert reason(Opener(one.to_client).open, reflected) is Reason.FORGED


def test_numbers_are_taken_one_by_one() -> None:
    numbers = itertools.count(1)
    sealer = Sealer(b"k" * 32, TO_RELAY, b"r" * 8, lambda: next(numbers))
    packets = [sealer.seal(b"same") for _ in range(50)]
    assert [packet_of(packet)[1] for packet in packets] == list(range(1, 51))
    assert len(set(packets)) == 50
