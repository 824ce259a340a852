"""A session is opened, lost and opened anew without a wait; every clock here is turned by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from strongroom_host.errors import EnvironmentFault
from strongroom_host.latency.stats import Figures
from strongroom_host.relay import Heartbeats, HeldState, RelayClient, RelayUnreachable
from strongroom_host.relay.answers import Answered
from strongroom_host.relay.counters import Event
from strongroom_host.relay.frames_v2 import HELLO, MAGIC, START, HandshakeKeys
from strongroom_host.relay.keeper import Keeper
from strongroom_host.relay.pending import Pending, Timing
from strongroom_host.relay.sessions import Address
from strongroom_host.trading.alive import Alive, AliveLimits
from strongroom_host.venue import NotSent, OutcomeUnknown

from tests.host.relay.world import ANSWER, HERE, HOST, PSK, SECOND, World, order, request

MS = 1_000_000
PATIENCE_NS = 3 * SECOND
CANCEL = request("DELETE /cancel-all")


class Wire:
    """The way to a relay in memory: what is sent is answered at once, unless the relay is silent.

    Stands where `Line` does. Its `wait` ends a test: nobody is to wait.
    """

    def __init__(self) -> None:
        self.world = World()
        self.silent = False
        self.sent: list[bytes] = []
        self.arrived: list[bytes] = []

    def __call__(self, _address: Address, _clock: Callable[[], int]) -> Wire:
        return self

    def clock(self) -> int:
        return self.world.now

    def send(self, datagram: bytes) -> None:
        self.sent.append(datagram)
        if not self.silent:
            self.arrived += self.world.give(datagram)

    def next(self) -> bytes | None:
        return self.arrived.pop(0) if self.arrived else None

    def wait(self, _until_ns: int) -> bool:
        raise AssertionError("the loop was kept waiting")

    def close(self) -> None:
        """Nothing is open."""

    def count(self, kind: int) -> int:
        return sum(1 for datagram in self.sent if datagram[3] == kind)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def keeper_of(wire: Wire, numbers: Callable[[], int] | None = None) -> Keeper:
    class Numbers:
        next = staticmethod(numbers or itertools.count(1).__next__)

    salts = itertools.count(1)
    return Keeper(
        HandshakeKeys(PSK),
        Numbers(),
        b"bot" * 5 + b"-",
        Timing(),
        PATIENCE_NS,
        wire.send,
        lambda size: next(salts).to_bytes(size, "big"),
        RelayUnreachable,
    )


def turn(wire: Wire, keeper: Keeper, milliseconds: int = 0) -> None:
    """What comes is seen to, then what is due; a millisecond at a time."""
    for left in range(milliseconds, -1, -1):
        while (datagram := wire.next()) is not None:
            keeper.datagram(datagram, wire.clock())
        keeper.turn(wire.clock())
        if left:
            wire.world.pass_time(0.001)


def pending_of(wire: Wire, number: int, life_ns: int = 2 * SECOND) -> Pending:
    deadline_ns = wire.clock() + life_ns
    return Pending(b"%016d" % number, order(number), deadline_ns, deadline_ns + SECOND)


def test_a_session_is_opened_by_what_comes(wire: Wire) -> None:
    keeper = keeper_of(wire)
    keeper.greet(wire.clock())
    assert keeper.session(wire.clock()) is None
    turn(wire, keeper)
    assert keeper.current is not None
    assert (keeper.sessions, keeper.opening) == (1, None)
    assert (wire.count(HELLO), wire.count(START)) == (1, 1)


@pytest.mark.parametrize("lost", [HELLO, START])
def test_each_step_is_repeated_less_and_less_often(wire: Wire, lost: int) -> None:
    keeper = keeper_of(wire)
    keeper.greet(wire.clock())
    if lost == START:
        keeper.datagram(wire.arrived.pop(), wire.clock())
    wire.arrived.clear()  # the answer to the first one
    wire.silent = True
    wire.sent.clear()
    turn(wire, keeper, 1_000)
    assert wire.count(lost) == len(wire.sent) == 5  # after 30, 60, 120, 240 and 480 ms
    wire.silent = False
    turn(wire, keeper, 1_000)
    assert keeper.sessions == 1


def test_an_attempt_has_its_time_and_the_next_one_a_salt_of_its_own(wire: Wire) -> None:
    wire.silent = True
    keeper = keeper_of(wire)
    keeper.take(pending_of(wire, 1, 60 * SECOND), wire.clock())
    turn(wire, keeper, 2 * PATIENCE_NS // MS + 500)
    assert len({datagram[4:20] for datagram in wire.sent}) == 3
    assert len(wire.sent) < 30


def test_nobody_is_greeted_for_nobody(wire: Wire) -> None:
    wire.silent = True
    keeper = keeper_of(wire)
    keeper.take(pending_of(wire, 1, SECOND), wire.clock())
    turn(wire, keeper, 2 * PATIENCE_NS // MS)
    greeted = len(wire.sent)
    turn(wire, keeper, 2 * PATIENCE_NS // MS)
    assert len(wire.sent) == greeted
    assert keeper.idle


def test_what_waits_for_a_session_leaves_with_it_once(wire: Wire) -> None:
    wire.silent = True
    keeper = keeper_of(wire)
    pending = [pending_of(wire, number, 9 * SECOND) for number in range(1, 4)]
    for each in pending:
        keeper.take(each, wire.clock())
        assert keeper.under_way(each.message_id)
    turn(wire, keeper, 500)
    assert not any(each.done for each in pending)
    with pytest.raises(OutcomeUnknown, match="under way"):
        pending[0].result()
    wire.silent = False
    turn(wire, keeper, 1_000)
    assert [each.result().status for each in pending] == [200] * 3
    assert wire.world.forwarded() == [order(number) for number in range(1, 4)]
    # Nor with the next session, while their deadlines are still to come.
    wire.world = World(seed=2, now=wire.clock(), wall=wire.world.wall)
    assert keeper.current is not None
    keeper.current.ping(wire.clock())
    turn(wire, keeper, 100)
    assert keeper.sessions == 2
    assert wire.clock() < pending[0].deadline_ns
    assert wire.world.forwarded() == []


def test_what_waited_beyond_its_deadline_was_not_sent(wire: Wire) -> None:
    wire.silent = True
    keeper = keeper_of(wire)
    short, long = pending_of(wire, 1, SECOND), pending_of(wire, 2, 4 * SECOND)
    for each in (short, long):
        keeper.take(each, wire.clock())
    turn(wire, keeper, 1_000)
    assert not short.done, "it still has this millisecond"
    assert keeper.next_ns() <= short.deadline_ns + 1
    turn(wire, keeper, 1)
    with pytest.raises(NotSent, match="deadline"):
        short.result()
    assert not keeper.under_way(short.message_id)
    wire.silent = False
    turn(wire, keeper, 1_500)
    assert long.result().status == 200
    assert wire.world.forwarded() == [order(2)]


def test_a_session_that_comes_after_a_deadline_nobody_looked_at_sends_nothing(wire: Wire) -> None:
    keeper = keeper_of(wire)
    pending = pending_of(wire, 1, SECOND)
    keeper.take(pending, wire.clock())
    [challenge] = wire.arrived
    keeper.datagram(challenge, wire.clock())
    accepted = wire.arrived[-1]
    wire.world.pass_time(1.5)
    sent = len(wire.sent)
    keeper.datagram(accepted, wire.clock())
    assert keeper.current is not None
    assert len(wire.sent) == sent
    with pytest.raises(NotSent, match="deadline"):
        pending.result()


def test_a_lost_session_is_opened_anew_before_anybody_asks(wire: Wire) -> None:
    keeper = keeper_of(wire)
    keeper.greet(wire.clock())
    turn(wire, keeper)
    wire.silent = True
    turn(wire, keeper, 7_500)
    assert keeper.session(wire.clock()) is None
    wire.silent = False
    turn(wire, keeper, 1_000)
    assert keeper.session(wire.clock()) is not None
    assert keeper.sessions == 2


def test_a_relay_that_knows_the_session_no_more_is_greeted_at_once(wire: Wire) -> None:
    keeper = keeper_of(wire)
    keeper.greet(wire.clock())
    turn(wire, keeper)
    wire.world = World(seed=2, now=wire.clock(), wall=wire.world.wall)
    keeper.take(pending_of(wire, 1), wire.clock())
    turn(wire, keeper, 1)
    assert keeper.sessions == 2
    assert wire.world.counters.events[Event.RESETS] == 1


def test_what_a_lost_session_had_is_not_taken_into_another(wire: Wire) -> None:
    keeper = keeper_of(wire)
    keeper.greet(wire.clock())
    turn(wire, keeper)
    wire.world.venue.result = None
    pending = pending_of(wire, 1, 20 * SECOND)
    keeper.take(pending, wire.clock())
    wire.arrived.clear()
    wire.silent = True
    turn(wire, keeper, 8_000)
    wire.silent = False
    turn(wire, keeper, 2_000)
    assert keeper.sessions == 2
    wire.world.venue.jobs[0].done(ANSWER)
    turn(wire, keeper, 2_000)
    assert pending.result().status == 200
    assert wire.world.forwarded() == [order(1)]
    turn(wire, keeper, 1)
    assert keeper.fading == []


def test_without_a_number_nothing_is_said_until_there_is_one(wire: Wire) -> None:
    used_up = True

    def numbers() -> int:
        if used_up:
            raise EnvironmentFault("the numbers cannot be written")
        return next(some)

    some = itertools.count(1)
    keeper = keeper_of(wire, numbers)
    keeper.take(pending_of(wire, 1, 60 * SECOND), wire.clock())
    turn(wire, keeper, 1_000)
    assert keeper.opening is not None
    assert keeper.opening.no_number is not None
    assert (wire.count(HELLO), wire.count(START)) == (1, 0)
    used_up = False
    turn(wire, keeper, 1_000)
    assert keeper.sessions == 1
    assert wire.count(HELLO) == 1


def test_only_the_relays_word_opens_a_session(wire: Wire) -> None:
    keeper = keeper_of(wire)
    keeper.greet(wire.clock())
    [challenge] = wire.arrived
    keeper.datagram(challenge, wire.clock())
    session = challenge[20:28]
    for forged in (MAGIC + b"\x05" + session + bytes(60), MAGIC + b"\x05" + bytes(68), challenge):
        keeper.datagram(forged, wire.clock())
        assert keeper.current is None
    _, accepted = wire.arrived
    keeper.datagram(accepted, wire.clock())
    assert keeper.current is not None


def test_without_a_number_what_waited_was_not_sent(wire: Wire) -> None:
    left = iter([1])

    def numbers() -> int:
        for number in left:
            return number
        raise EnvironmentFault("the numbers cannot be written")

    keeper = keeper_of(wire, numbers)
    pending = pending_of(wire, 1)
    keeper.take(pending, wire.clock())
    turn(wire, keeper)
    with pytest.raises(RelayUnreachable, match="no number"):
        pending.result()
    assert wire.world.forwarded() == []


def test_closing_says_that_what_waited_was_not_sent(wire: Wire) -> None:
    wire.silent = True
    keeper = keeper_of(wire)
    pending = pending_of(wire, 1)
    keeper.take(pending, wire.clock())
    keeper.close("the client was closed")
    assert keeper.idle
    with pytest.raises(NotSent, match="closed"):
        pending.result()


# --- a loop that trades -----------------------------------------------------------------------


@pytest.fixture
def client(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> RelayClient:
    class Numbers:
        next = staticmethod(itertools.count(1).__next__)

    monkeypatch.setattr("strongroom_host.relay.client.Line", wire)
    return RelayClient(HERE[:2], PSK, Numbers(), host=HOST, clock=wire.clock)


def test_a_loop_keeps_its_pace_while_the_relay_is_silent(wire: Wire, client: RelayClient) -> None:
    """Time passes here between the loop's steps only: whatever waits in one would wait for ever.

    Each step does what a step of `trade run` does: beats, the deposit, an order, what came back.
    """
    wire.world.venue.result = Answered(200, b"Content-Length: 20\r\n", b'{"heartbeat_id":"i"}')
    client.open()
    heartbeats = Heartbeats(lambda beat: request("POST /v1/heartbeats", beat.encode()), client)
    alive = Alive(heartbeats, client, lambda: CANCEL, Figures(), AliveLimits())
    under_way: list[Pending] = []
    ended: list[Pending] = []
    orders = itertools.count(1)

    def steps(count: int) -> None:
        for _ in range(count):
            at = wire.clock()
            alive.turn(at)
            under_way.append(client.begin(order(next(orders)), at + SECOND))
            client.pump()
            ended.extend(each for each in under_way if each.done)
            under_way[:] = [each for each in under_way if not each.done]
            assert wire.clock() == at
            wire.world.pass_time(0.01)

    steps(100)
    assert len(ended) == 100
    assert client.held(0) is HeldState.HELD
    wire.silent = True
    wire.sent.clear()
    steps(3_000)
    assert client.round_trip_s is None
    assert "does not answer" in alive.trouble
    assert 20 < wire.count(HELLO) < 100
    forwarded = wire.world.forwarded()
    unsent = ended[-1]
    with pytest.raises(NotSent, match="no session stood"):
        unsent.result()
    wire.silent = False
    steps(200)
    assert client.sessions == 2
    assert client.held(0) is HeldState.HELD
    assert not alive.trouble
    assert ended[-1].result().status == 200
    after = wire.world.forwarded()[len(forwarded) :]
    assert len(set(after)) == len(after) > 200


@pytest.mark.parametrize("how", ["deposit", "beat", "withdraw"])
def test_what_would_be_of_no_use_later_is_refused_at_once(
    wire: Wire, client: RelayClient, how: str
) -> None:
    calls: dict[str, Callable[[], None]] = {
        "deposit": lambda: client.deposit(0, CANCEL, 5.0, 30.0),
        "beat": lambda: client.beat(0, 5.0),
        "withdraw": lambda: client.withdraw(0),
    }
    wire.silent = True
    for _ in range(3):
        with pytest.raises(RelayUnreachable, match="does not answer"):
            calls[how]()
    assert wire.count(HELLO) == 1, "one attempt for all"
    wire.silent = False
    wire.world.pass_time(0.04)
    client.pump()  # greets again
    client.pump()  # and has the answer
    calls[how]()
    assert client.sessions == 1


def test_opening_is_what_waits(wire: Wire, client: RelayClient) -> None:
    wire.silent = True
    with pytest.raises(AssertionError, match="kept waiting"):
        client.open()
