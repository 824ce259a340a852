"""What the dead man's switch signs and says while a relay is away, slow, or gone at the end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from strongroom_host.latency.stats import Figures
from strongroom_host.relay.errors import RelayUnreachable
from strongroom_host.relay.heartbeats import Heartbeats
from strongroom_host.relay.messages import HeldState
from strongroom_host.trading.alive import Alive, AliveLimits
from strongroom_host.venue import VenueResponse

SECOND = 1_000_000_000
LIMITS = AliveLimits(fire_after_s=5.0, beat_s=1.0, renew_s=20.0, valid_s=45.0)


@dataclass
class Relay:
    """A relay that can be away, deaf to what it is told, or slow to say what it holds."""

    away: bool = False
    loses: int = 0
    state: HeldState | None = None
    deposits: list[tuple[bytes, float]] = field(default_factory=list)
    beats: int = 0
    withdrawn: int = 0
    on_its_way: HeldState | None = None

    def _reached(self) -> None:
        if self.away:
            raise RelayUnreachable("no session")

    def deposit(self, slot: int, request: bytes, fire_after_s: float, valid_s: float) -> None:
        assert (slot, fire_after_s) == (3, LIMITS.fire_after_s)
        self._reached()
        self.deposits.append((request, valid_s))
        self.state = HeldState.HELD

    def beat(self, slot: int, fire_after_s: float) -> None:
        self._reached()
        self.beats += 1

    def withdraw(self, slot: int) -> None:
        self._reached()
        self.withdrawn += 1
        if self.withdrawn > self.loses:
            self.on_its_way = HeldState.NONE

    def held(self, slot: int) -> HeldState | None:
        return None if self.away else self.state

    def pump(self, timeout_s: float = 0.0) -> bool:
        if self.on_its_way is not None:
            self.state, self.on_its_way = self.on_its_way, None
        return False


class Unanswered:
    """The venue's heartbeats, which are not the matter here, on their way for ever."""

    done = False

    def result(self) -> VenueResponse:
        raise AssertionError("not done")

    def begin(self, request: bytes, deadline_ns: int) -> Unanswered:
        return self


@dataclass
class Bot:
    """One that keeps its switch, and counts what was signed for it."""

    relay: Relay
    signed: list[bytes] = field(default_factory=list)
    now_ns: int = 1_000 * SECOND

    def __post_init__(self) -> None:
        beats = Heartbeats(lambda _: b"beat", Unanswered())
        self.alive = Alive(beats, self.relay, self.sign, Figures(), LIMITS, slot=3)

    def sign(self) -> bytes:
        self.signed.append(b"cancel %d" % len(self.signed))
        return self.signed[-1]

    def turn(self, seconds: int) -> None:
        for _ in range(seconds):
            self.alive.turn(self.now_ns)
            self.relay.pump()
            self.now_ns += SECOND


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def bot(relay: Relay) -> Bot:
    return Bot(relay)


def test_a_cancel_is_signed_anew_when_it_is_time_and_beaten_for_in_between(
    bot: Bot, relay: Relay
) -> None:
    bot.turn(60)
    assert [request for request, _ in relay.deposits] == bot.signed
    assert len(bot.signed) == 3
    assert relay.beats == 57
    assert not bot.alive.trouble


def test_while_the_relay_is_away_no_more_is_signed_than_while_it_is_there(
    bot: Bot, relay: Relay
) -> None:
    """Each signature is a leaf of the log, and the last ones are kept for cancels that leave."""
    relay.away = True
    bot.turn(60)
    assert len(bot.signed) == 3
    assert "no session" in bot.alive.trouble
    relay.away = False
    bot.turn(1)
    assert not bot.alive.trouble
    bot.turn(10)
    assert len(relay.deposits) == 1


def test_what_is_left_again_is_valid_for_what_is_left_of_its_time(bot: Bot, relay: Relay) -> None:
    bot.turn(5)
    relay.state = None  # it was started anew
    bot.turn(1)
    assert relay.deposits == [(b"cancel 0", 45.0), (b"cancel 0", 40.0)]


def test_a_new_one_is_left_there_even_if_the_last_try_to_leave_one_failed(
    bot: Bot, relay: Relay
) -> None:
    bot.turn(20)
    relay.away = True
    bot.turn(1)
    relay.away, before = False, len(relay.deposits)
    bot.turn(1)
    assert [request for request, _ in relay.deposits[before:]] == bot.signed[-1:] == [b"cancel 1"]


def test_a_cancel_that_is_refused_is_not_signed_over_and_over(bot: Bot, relay: Relay) -> None:
    bot.turn(1)
    for _ in range(10):
        relay.state = HeldState.REFUSED
        bot.turn(1)
    assert len(bot.signed) == 1
    assert "refuses" in bot.alive.trouble


def test_at_the_end_it_is_taken_back_until_the_relay_says_so(bot: Bot, relay: Relay) -> None:
    bot.turn(3)
    relay.loses = 2
    bot.alive.end()
    assert relay.withdrawn == 3
    assert relay.state is HeldState.NONE
    assert not bot.alive.trouble


def test_a_relay_that_never_says_so_is_not_waited_for_for_ever(
    bot: Bot, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(0.0, 0.25)
    monkeypatch.setattr("strongroom_host.trading.alive.monotonic", lambda: next(ticks))
    bot.turn(3)
    relay.loses = 1_000
    bot.alive.end()
    assert relay.withdrawn == 4
    assert "gave the cancel up" in bot.alive.trouble


def test_a_relay_that_is_gone_at_the_end_is_said(bot: Bot, relay: Relay) -> None:
    bot.turn(3)
    relay.away = True
    bot.alive.end()
    assert "no session" in bot.alive.trouble
