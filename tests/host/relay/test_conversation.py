"""A client's session without its socket: what is repeated when, and whose clock is believed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.relay import messages as m
from strongroom_host.relay.conversation import Conversation
from strongroom_host.relay.frames_v2 import TO_CLIENT, Opener, Sealer, packet_of
from strongroom_host.relay.keys import SessionKeys
from strongroom_host.relay.pending import Timing
from strongroom_host.relay.reasons import Reason
from strongroom_host.venue import NotSent, OutcomeUnknown

from tests.host.relay.world import ANSWER, PSK, order

S, MS = 1_000_000_000, 1_000_000
KEYS = SessionKeys.derive(PSK, b"c" * 16, b"r" * 16)
NAME = b"r" * 8
ID = b"m" * 16
TIMING = Timing(first_ns=30 * MS, longest_ns=1_000 * MS, poll_ns=250 * MS)


class Talk:
    """A conversation, the relay's end by hand, and everything that was said."""

    def __init__(self, relay_ns: int = 100 * S, now_ns: int = 0) -> None:
        self.sent: list[bytes] = []
        numbers = itertools.count(1).__next__
        self.talk = Conversation(NAME, KEYS, numbers, self.sent.append, relay_ns, now_ns, TIMING)
        self.relay = Sealer(KEYS.to_client, TO_CLIENT, NAME, itertools.count(1).__next__)

    def hear(self, message: m.FromRelay, now_ns: int = 0) -> bytes:
        packet = self.relay.seal(message.pack())
        self.talk.packet(packet, now_ns)
        return packet

    def said(self) -> list[m.FromClient]:
        found = [m.read_from_client(Opener(KEYS.to_relay).open(item)[1]) for item in self.sent]
        self.sent.clear()
        return found


@pytest.fixture
def end() -> Talk:
    return Talk()


def test_a_request_is_repeated_less_and_less_often_under_one_id(end: Talk) -> None:
    pending = end.talk.begin(ID, order(), S, 9 * S, 0)
    times = []
    for now in range(0, 900 * MS, MS):
        end.talk.tick(now)
        for said in end.said():
            assert isinstance(said, m.Request)
            assert (said.message_id, said.piece) == (ID, order())
            times.append(now // MS)
    assert times == [0, 30, 90, 210, 450]
    assert pending.repeated == 4


def test_every_repetition_is_another_packet(end: Talk) -> None:
    end.talk.begin(ID, order(), S, 9 * S, 0)
    for now in range(0, 900 * MS, 10 * MS):
        end.talk.tick(now)
    assert len({packet_of(item) for item in end.sent}) == len(end.sent) == 5


def test_once_it_is_known_to_be_there_it_is_only_asked_for(end: Talk) -> None:
    end.talk.begin(ID, order(), S, 9 * S, 0)
    end.said()
    end.hear(m.Ack(ID), 10 * MS)
    end.talk.tick(100 * MS)
    assert end.said() == []
    end.talk.tick(261 * MS)
    assert end.said() == [m.Poll(ID, 101 * S, 0, (1 << 32) - 1)]


def test_after_its_deadline_it_is_only_asked_for(end: Talk) -> None:
    end.talk.begin(ID, order(), 50 * MS, 9 * S, 0)
    end.said()
    for now in range(50 * MS, 3 * S, 10 * MS):
        end.talk.tick(now)
    assert {type(said) for said in end.said()} == {m.Poll, m.Ping}


def test_in_the_end_nothing_is_certain(end: Talk) -> None:
    pending = end.talk.begin(ID, order(), S, 2 * S, 0)
    for now in range(0, 2 * S + 1, 100 * MS):
        assert not pending.done
        end.talk.tick(now)
    assert pending.done
    with pytest.raises(OutcomeUnknown, match="in time"):
        pending.result()
    assert not end.talk.under_way


def test_an_answer_ends_it_and_is_not_taken_twice(end: Talk) -> None:
    pending = end.talk.begin(ID, order(), S, 2 * S, 0)
    end.hear(m.Answer(ID, 0, 1, ANSWER.pack()))
    assert pending.result().body == b"ok"
    end.hear(m.Failure(ID, m.Outcome.NOT_SENT, Reason.EXPIRED, ""))
    assert pending.result().body == b"ok"


def test_only_what_is_missing_is_asked_for(end: Talk) -> None:
    end.talk.begin(ID, order(), S, 9 * S, 0)
    end.said()
    for number in (0, 1, 4):
        end.hear(m.Answer(ID, number, 6, b"x" * 100))
    end.talk.tick(31 * MS)
    assert end.said() == [m.Poll(ID, 101 * S, 2, 0b1011)]


def test_an_answer_that_makes_no_sense_is_no_answer(end: Talk) -> None:
    pending = end.talk.begin(ID, order(), S, 2 * S, 0)
    end.hear(m.Answer(ID, 0, 2, b"x"))
    end.hear(m.Answer(ID, 1, 3, b"x"))
    with pytest.raises(OutcomeUnknown, match="makes no sense"):
        pending.result()


def test_not_sent_and_unknown_are_kept_apart(end: Talk) -> None:
    first = end.talk.begin(ID, order(), S, 2 * S, 0)
    second = end.talk.begin(b"n" * 16, order(), S, 2 * S, 0)
    end.hear(m.Failure(ID, m.Outcome.NOT_SENT, Reason.NO_CONNECTION, ""))
    end.hear(m.Failure(b"n" * 16, m.Outcome.UNKNOWN, Reason.UPSTREAM_BROKE, "reset"))
    with pytest.raises(NotSent):
        first.result()
    with pytest.raises(OutcomeUnknown) as unknown:
        second.result()
    assert unknown.value.actual == "upstream_broke: reset"


def test_packets_of_the_relay_count_once(end: Talk) -> None:
    early = end.hear(m.Held(1, 0, m.HeldState.HELD))
    end.hear(m.Held(2, 0, m.HeldState.SENT))
    end.talk.packet(early, 0)
    assert end.talk.held == {0: m.HeldState.SENT}


def test_packets_that_are_not_the_relays_do_nothing(end: Talk) -> None:
    good = end.relay.seal(m.Held(1, 0, m.HeldState.HELD).pack())
    other = Sealer(KEYS.to_client, TO_CLIENT, b"another!", lambda: 50)
    for bad in (
        b"",
        good[:20],
        good[:-1] + b"!",
        other.seal(m.Held(1, 0, m.HeldState.HELD).pack()),
    ):
        end.talk.packet(bad, 0)
    end.talk.packet(end.relay.seal(b"\xff"), 0)
    assert end.talk.held == {}


def test_a_deposit_is_repeated_until_it_is_confirmed_with_the_latest_beat(end: Talk) -> None:
    end.talk.deposit(0, b"cancel", 5 * S, 60 * S, 0)
    end.talk.beat(0, 7 * S, 10 * MS)
    first, second = end.said()
    assert isinstance(first, m.Deposit)
    assert first.fire_at_ns == 105 * S
    assert isinstance(second, m.Deposit), "the first may not have arrived"
    assert (second.fire_at_ns, second.valid_until_ns) == (107 * S, 160 * S)
    end.hear(m.Held(first.token, 0, m.HeldState.HELD), 20 * MS)
    end.talk.tick(50 * MS)
    assert end.said() == [second], "that was the older one"
    end.hear(m.Held(second.token, 0, m.HeldState.HELD), 60 * MS)
    end.talk.tick(S)
    assert end.said() == []
    end.talk.beat(0, 9 * S, S)
    [beat] = end.said()
    assert beat == m.Beat(3, 0, 109 * S)
    end.talk.beat(0, 0, S)
    assert end.said() == [m.Beat(4, 0, 0)]


def test_silence_is_broken_by_pings_and_too_much_of_it_is_loss(end: Talk) -> None:
    for now in range(0, 7 * S + 1, 100 * MS):
        assert not end.talk.lost(now)
        end.talk.tick(now)
    assert {type(said) for said in end.said()} == {m.Ping}
    assert end.talk.lost(7 * S + 1)
    end.hear(m.Pong(6 * S, 107 * S), 7 * S + 1)
    assert not end.talk.lost(14 * S)


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.integers(0, 5 * S)), max_size=40))
def test_the_relays_clock_is_never_thought_later_than_it_is(
    steps: list[tuple[int, int]],
) -> None:
    """Stamps arrive after any delay; the true difference of the clocks is 77 s."""
    end = Talk(relay_ns=77 * S, now_ns=0)
    now = 0
    for delay, passed in steps:
        now += passed
        end.hear(m.Pong(0, max(0, now - delay) + 77 * S), now)
        assert end.talk.relay_time(now) <= now + 77 * S
    if steps:
        best = max(-delay if delay <= at else -at for delay, at in _arrivals(steps[-16:], steps))
        assert end.talk.relay_time(now) >= now + 77 * S + best


def _arrivals(last: list[tuple[int, int]], steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    now, found = 0, []
    for delay, passed in steps:
        now += passed
        found.append((delay, now))
    return found[-len(last) :]
