"""The client over real sockets and a bad network: every outcome it states is true."""

from __future__ import annotations

import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.relay import (
    ClientLimits,
    ClientMisused,
    HeldState,
    RelayClient,
    RelayRefused,
    RelayUnreachable,
    Timing,
)
from strongroom_host.relay.frames_v2 import RESET, HandshakeKeys
from strongroom_host.relay.reasons import Reason
from strongroom_host.relay.server import Relay, RelayLimits
from strongroom_host.relay.upstream import PoolLimits
from strongroom_host.venue import MalformedRequest, NotSent, OutcomeUnknown, VenueResponse

from tests.host.relay.network import TO_CLIENT, TO_RELAY, Network, network
from tests.host.relay.relays import Numbers, client_of, relay_to, until
from tests.host.relay.upstreams import OK, Upstream, upstream
from tests.host.relay.world import HOST, OTHER_PSK, PSK, order, request

MS = 1_000_000
FAST = ClientLimits(
    handshake_s=3.0,
    lifetime_s=1.0,
    answer_s=2.0,
    timing=Timing(
        first_ns=15 * MS, longest_ns=100 * MS, poll_ns=30 * MS, ping_ns=50 * MS, lost_ns=400 * MS
    ),
)
CALM = replace(FAST, timing=replace(FAST.timing, lost_ns=20_000 * MS))
"""Takes no pause of a busy machine for the loss of its session."""
LIMITS = RelayLimits(pool=PoolLimits(connections=3, answer_ns=1_500 * MS))


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with upstream(tmp_path_factory.mktemp("venue")) as server:
        yield server


@pytest.fixture(scope="module")
def relay(venue: Upstream) -> Iterator[Relay]:
    with relay_to(venue, LIMITS) as running:
        yield running


@pytest.fixture
def wire(relay: Relay, venue: Upstream) -> Iterator[Network]:
    venue.received.clear()
    venue.answer, venue.behave = OK, lambda _tls, _request: False
    with network(relay.address) as made:
        yield made


@pytest.fixture
def client(wire: Network) -> Iterator[RelayClient]:
    with client_of(wire.address, CALM) as made:
        yield made


def numbered(number: int) -> bytes:
    """A request that can be told from others."""
    return request("POST /order", b'{"n":%d}' % number)


# --- on a good day ----------------------------------------------------------------------------


def test_requests_and_answers_pass_unchanged(client: RelayClient, venue: Upstream) -> None:
    venue.answer = (
        b"HTTP/1.1 400 Bad\r\nX-Thing:  a b \r\nContent-Length: 4\r\nContent-Type: t\r\n\r\nbody"
    )
    answer = client.exchange(order())
    assert answer == VenueResponse(
        400, (("x-thing", "a b"), ("content-length", "4"), ("content-type", "t")), b"body"
    )
    assert venue.received == [order()]


@pytest.mark.parametrize("size", [1, 1_000, 1_200, 20_000, 60_000])
def test_requests_of_every_size(client: RelayClient, venue: Upstream, size: int) -> None:
    assert client.exchange(order(size)).status == 200
    assert venue.received == [order(size)]


@pytest.mark.parametrize("size", [0, 2_000, 40_000, 300_000])
def test_answers_of_every_size(client: RelayClient, venue: Upstream, size: int) -> None:
    body = random.Random(size).randbytes(size)  # noqa: S311  the same each time
    venue.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (size, body)
    assert client.exchange(order()).body == body
    assert len(venue.received) == 1


def test_several_at_once(client: RelayClient, venue: Upstream) -> None:
    client.open()
    deadline = time.monotonic_ns() + 30_000 * MS
    pending = [client.begin(numbered(number), deadline) for number in range(10)]
    while not all(each.done for each in pending):
        client.pump(0.1)
    assert all(each.result().status == 200 for each in pending)
    assert sorted(venue.received) == sorted(numbered(number) for number in range(10))
    assert all(each.relay_ns > 0 and each.upstream_ns > 0 for each in pending)


def test_what_is_under_way_has_no_result_yet(client: RelayClient, venue: Upstream) -> None:
    venue.behave = lambda _tls, _request: True
    pending = client.begin(order(), time.monotonic_ns() + 500 * MS)
    assert not pending.done
    with pytest.raises(OutcomeUnknown, match="under way"):
        pending.result()


def test_no_datagram_is_larger_than_the_least_mtu(
    client: RelayClient, venue: Upstream, wire: Network
) -> None:
    venue.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + bytes(50_000)
    client.exchange(order(50_000))
    assert max(len(data) for _, data in wire.seen) <= 1232


def test_it_does_the_same_while_spinning(wire: Network) -> None:
    with client_of(wire.address, replace(FAST, spin=True)) as spinning:
        assert spinning.exchange(order()).status == 200


# --- before anything is sent ------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [b"", b"x", request("GET /auth/api-keys"), request("POST /order", host="other.test")]
)
def test_what_the_relay_would_refuse_is_not_even_sent(
    client: RelayClient, wire: Network, raw: bytes
) -> None:
    with pytest.raises(MalformedRequest):
        client.exchange(raw)
    assert wire.seen == []


def test_nobody_there_is_not_sent(venue: Upstream) -> None:
    with client_of(("127.0.0.1", 9), replace(FAST, handshake_s=0.2)) as lonely:
        with pytest.raises(RelayUnreachable, match="does not answer") as unreachable:
            lonely.exchange(order())
        assert isinstance(unreachable.value, NotSent)
        assert "fingerprint" in unreachable.value.remedy
        assert unreachable.value.exit_status == 5


def test_another_psk_is_not_sent_and_says_what_to_compare(relay: Relay) -> None:
    limits = replace(FAST, handshake_s=0.2)
    stranger = RelayClient(relay.address, OTHER_PSK, Numbers(), host=HOST, limits=limits)
    with stranger, pytest.raises(RelayUnreachable, match="does not answer"):
        stranger.open()
    assert relay.counters.named()["refused"]["hello_forged"] >= 1


def test_a_name_that_is_none() -> None:
    with pytest.raises(RelayUnreachable, match="cannot send"):
        client_of(("no.such.host.invalid", 1))


def test_client_ids_have_sixteen_bytes() -> None:
    with pytest.raises(ClientMisused):
        RelayClient(("127.0.0.1", 9), PSK, Numbers(), host=HOST, client_id=b"short")


def test_a_deadline_too_far_ahead_is_refused_at_once(client: RelayClient, wire: Network) -> None:
    client.open()
    before = len(wire.seen)
    with pytest.raises(RelayRefused, match="deadline_too_far"):
        client.begin(order(), time.monotonic_ns() + 61_000 * MS)
    assert len(wire.seen) == before


def test_message_ids_are_one_messages_own(client: RelayClient, venue: Upstream) -> None:
    deadline = time.monotonic_ns() + 30_000 * MS
    for wrong in (b"", b"short", b"x" * 17):
        with pytest.raises(ClientMisused):
            client.begin(order(), deadline, wrong)
    venue.behave = lambda _tls, _request: True
    client.open()
    client.begin(numbered(1), deadline, b"i" * 16)
    with pytest.raises(ClientMisused, match="under way"):
        client.begin(numbered(2), deadline, b"i" * 16)
    until(lambda: venue.received)
    assert venue.received == [numbered(1)]


@pytest.mark.parametrize("how", ["begin", "pump", "ping", "beat"])
def test_a_fork_cannot_use_its_parents_session(client: RelayClient, how: str) -> None:
    """It would give a number to a second packet: under one key, the end of secrecy."""
    client.open()
    calls: dict[str, Callable[[], object]] = {
        "begin": lambda: client.begin(order(), time.monotonic_ns() + MS),
        "pump": client.pump,
        "ping": client.ping,
        "beat": lambda: client.beat(0, 1),
    }
    child = os.fork()
    if child == 0:
        status = 1
        try:
            calls[how]()
        except BadInput:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.exchange(order()).status == 200


class UsedUp:
    """Numbers that end, as those of a disk that is full do."""

    def __init__(self, left: int) -> None:
        self._left = iter(range(1, left + 1))

    def next(self) -> int:
        try:
            return next(self._left)
        except StopIteration:
            raise EnvironmentFault("the numbers cannot be written") from None


@pytest.mark.parametrize("left", [0, 1, 2, 5])
def test_without_numbers_nothing_is_sent(wire: Network, venue: Upstream, left: int) -> None:
    """Also when only the last pieces have none: what is not whole is not forwarded."""
    client = RelayClient(wire.address, PSK, UsedUp(left), host=HOST, limits=FAST)
    with pytest.raises(RelayUnreachable, match="no number"):
        client.exchange(order(10_000))
    time.sleep(0.1)
    assert venue.received == []
    with pytest.raises(NotSent):
        client.exchange(order())
    client.close()  # which would say goodbye, for which there is no number either
    assert client.fileno() == -1


def test_a_deadline_that_is_over_is_not_sent(client: RelayClient, venue: Upstream) -> None:
    with pytest.raises(RelayRefused) as refused:
        client.send(order(), time.monotonic_ns() - 10 * MS)
    assert refused.value.reason is Reason.EXPIRED
    assert venue.received == []


# --- on a bad network -------------------------------------------------------------------------


class Bad:
    """Loses, doubles and delays by chance."""

    def __init__(self, seed: int, loss: float) -> None:
        self.randomness = random.Random(seed)  # noqa: S311  the same each time
        self.loss = loss

    def __call__(self, _direction: str, datagram: bytes) -> Sequence[tuple[float, bytes]]:
        chance = self.randomness.random
        copies = [] if chance() < self.loss else [(chance() * 0.02 * (chance() < 0.3), datagram)]
        if chance() < 0.1:
            copies.append((chance() * 0.05, datagram))
        if chance() < 0.05:
            spoilt = bytearray(datagram)
            spoilt[self.randomness.randrange(len(spoilt))] ^= 1 << self.randomness.randrange(8)
            copies.append((0.0, bytes(spoilt)))
        if chance() < 0.03:
            copies.append((0.0, datagram[: self.randomness.randrange(len(datagram))]))
        return copies


@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_every_request_arrives_once_or_is_said_not_to_have(
    client: RelayClient, wire: Network, venue: Upstream, loss: float
) -> None:
    wire.fate = Bad(7, loss)
    sizes = random.Random(1)  # noqa: S311  the same each time
    answered = 0
    for number in range(60):
        raw = request("POST /order", b'{"n":%d}' % number + b" " * sizes.randrange(5_000))
        before = len(venue.received)
        try:
            client.exchange(raw)
            answered += 1
            assert venue.received[before:] == [raw]
        except NotSent:
            assert venue.received[before:] == []
        except OutcomeUnknown:
            assert venue.received[before:] in ([], [raw])
    assert answered > (55 if loss < 0.1 else 30)


def test_lost_answers_are_fetched_and_not_made_again(
    client: RelayClient, wire: Network, venue: Upstream
) -> None:
    venue.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + bytes(90_000)
    client.open()
    lost = iter([True] * 40 + [False, True] * 30)
    wire.fate = lambda direction, data: (
        [] if direction == TO_CLIENT and next(lost, False) else [(0.0, data)]
    )
    assert len(client.exchange(order()).body) == 90_000
    assert len(venue.received) == 1


def test_no_answer_at_all_is_unknown(client: RelayClient, wire: Network, venue: Upstream) -> None:
    client.open()
    wire.fate = lambda direction, data: [] if direction == TO_CLIENT else [(0.0, data)]
    with pytest.raises(OutcomeUnknown, match="in time"):
        client.send(order(), time.monotonic_ns() + 2_000 * MS)
    assert len(venue.received) == 1


def test_a_request_that_never_arrives_is_found_out_to_be_unsent(
    client: RelayClient, wire: Network, venue: Upstream
) -> None:
    client.open()
    start = time.monotonic()
    wire.fate = lambda direction, data: (
        [] if direction == TO_RELAY and time.monotonic() < start + 0.3 else [(0.0, data)]
    )
    with pytest.raises(RelayRefused) as refused:
        client.send(order(), time.monotonic_ns() + 200 * MS)
    assert refused.value.reason is Reason.EXPIRED
    assert venue.received == []


def test_what_is_held_back_beyond_its_deadline_is_not_forwarded(
    client: RelayClient, wire: Network, venue: Upstream, relay: Relay
) -> None:
    client.open()
    wire.fate = lambda direction, data: [(0.4 if direction == TO_RELAY else 0.0, data)]
    with pytest.raises(RelayRefused):
        client.send(order(), time.monotonic_ns() + 200 * MS)
    assert venue.received == []


def test_delays_never_make_a_deadline_later(wire: Network, venue: Upstream) -> None:
    """A challenge that comes late makes the client think the relay's clock earlier, not later."""
    wire.fate = lambda direction, data: [(0.3 if direction == TO_CLIENT else 0.0, data)]
    limits = replace(FAST, timing=replace(FAST.timing, first_ns=800 * MS, longest_ns=800 * MS))
    with client_of(wire.address, limits) as delayed:
        delayed.open()
        with pytest.raises(RelayRefused):
            delayed.send(order(), time.monotonic_ns() + 150 * MS)
        assert venue.received == []
        assert delayed.send(order(), time.monotonic_ns() + 30_000 * MS).status == 200


def test_old_packets_that_come_again_do_nothing(
    client: RelayClient, wire: Network, venue: Upstream, relay: Relay
) -> None:
    client.exchange(numbered(1))
    recorded = [data for direction, data in wire.seen if direction == TO_RELAY]
    before = dict(relay.counters.named()["refused"])
    forwarded = len(venue.received)
    wire.fate = lambda direction, data: (
        [(0.0, data), *((0.0, old) for old in recorded)] if direction == TO_RELAY else [(0.0, data)]
    )
    client.exchange(numbered(2))
    assert len(venue.received) == forwarded + 1
    until(lambda: relay.counters.named()["refused"].get("replayed", 0) > before.get("replayed", 0))


# --- the relay's own troubles -----------------------------------------------------------------


def test_a_broken_connection_upstream_is_unknown_and_not_doubled(
    client: RelayClient, venue: Upstream
) -> None:
    def close(tls: ssl.SSLSocket, _request: bytes) -> bool:
        tls.close()
        return True

    venue.behave = close
    with pytest.raises(OutcomeUnknown) as unknown:
        client.exchange(order())
    assert "upstream_broke" in str(unknown.value.actual)
    assert "never send it again" in unknown.value.remedy
    assert venue.received == [order()]


def test_a_silent_venue_is_unknown(client: RelayClient, venue: Upstream) -> None:
    venue.behave = lambda _tls, _request: True
    with pytest.raises(OutcomeUnknown) as unknown:
        client.exchange(order())
    assert "upstream_silent" in str(unknown.value.actual)


def test_a_relay_started_anew_is_noticed(tmp_path: Path) -> None:
    with upstream(tmp_path / "v") as server:
        with relay_to(server, LIMITS) as first, network(first.address) as wire:
            client = client_of(wire.address, FAST)
            assert client.exchange(numbered(1)).status == 200
            boot = client.boot
            with relay_to(server, LIMITS) as second:
                wire.relay = second.address
                # In flight with a relay that does not know the session: nobody can say.
                with pytest.raises(OutcomeUnknown, match="started anew"):
                    client.exchange(numbered(2))
                assert client.exchange(numbered(3)).status == 200
                assert client.boot != boot
                assert client.sessions == 2
                client.close()
        assert server.received == [numbered(1), numbered(3)]


def test_idle_clients_notice_by_their_pings(tmp_path: Path) -> None:
    with (
        upstream(tmp_path / "v") as server,
        relay_to(server, LIMITS) as first,
        relay_to(server, LIMITS) as second,
        network(first.address) as wire,
        client_of(wire.address, FAST) as client,
    ):
        client.open()
        wire.relay = second.address
        pump_for(client, 0.3)
        assert client.exchange(order()).status == 200, "before any order was lost"


def test_a_silent_relay_is_left_for_a_new_session(wire: Network, venue: Upstream) -> None:
    with client_of(wire.address, FAST) as client:
        client.open()
        wire.fate = lambda _direction, _data: []
        ends = time.monotonic() + 0.6
        while time.monotonic() < ends:
            client.pump(0.05)
        wire.fate = lambda _direction, data: [(0.0, data)]
        assert client.exchange(order()).status == 200
        assert client.sessions == 2


def test_a_request_without_a_session_leaves_as_soon_as_there_is_one(
    client: RelayClient, wire: Network, venue: Upstream
) -> None:
    wire.fate = lambda _direction, _data: []
    pending = client.begin(order(), time.monotonic_ns() + 30_000 * MS)
    client.pump(0.05)
    wire.fate = lambda _direction, data: [(0.0, data)]
    while not pending.done:
        client.pump(0.05)
    assert pending.result().status == 200
    assert venue.received == [order()]


def test_a_forged_reset_ends_nothing(client: RelayClient, wire: Network, venue: Upstream) -> None:
    client.open()
    session = client._talk().session
    forged = HandshakeKeys(OTHER_PSK).reset(session, 1)
    other = HandshakeKeys(PSK).reset(b"another!", 1)
    wire.fate = lambda direction, data: (
        [(0.0, forged), (0.0, other), (0.0, data)] if direction == TO_CLIENT else [(0.0, data)]
    )
    assert forged[3] == RESET
    for number in range(3):
        assert client.exchange(numbered(number)).status == 200
    assert client.sessions == 1


def test_what_is_under_way_when_a_session_fades_still_ends(wire: Network, venue: Upstream) -> None:
    with client_of(wire.address, FAST) as client:
        client.open()
        wire.fate = lambda direction, data: [] if direction == TO_CLIENT else [(0.0, data)]
        first = client.begin(numbered(1), time.monotonic_ns() + 5_000 * MS)
        ends = time.monotonic() + 0.6
        while time.monotonic() < ends:
            client.pump(0.02)
        wire.fate = lambda _direction, data: [(0.0, data)]
        assert client.exchange(numbered(2)).status == 200
        assert client.sessions == 2
        while not first.done:
            client.pump(0.05)
        assert first.result().status == 200, "the old session can still be asked"
        assert venue.received == [numbered(1), numbered(2)]


def test_draining_finishes_what_is_under_way(tmp_path: Path) -> None:
    with upstream(tmp_path / "v") as server:
        late_refused = threading.Event()

        def slow(tls: object, _request: bytes) -> bool:
            late_refused.wait(60)
            return False

        server.behave = slow
        with relay_to(server, LIMITS) as relay, client_of(relay.address, FAST) as client:
            client.open()
            pending = client.begin(numbered(1), time.monotonic_ns() + 60_000 * MS)
            until(lambda: server.received)
            relay.stop()
            until(lambda: relay._core.draining)
            late = client.begin(numbered(2), time.monotonic_ns() + 60_000 * MS)
            while not late.done:
                client.pump(0.1)
            with pytest.raises(RelayRefused, match="draining"):
                late.result()
            late_refused.set()
            while not pending.done:
                client.pump(0.1)
            assert pending.result().status == 200
        assert server.received == [numbered(1)]


# --- the dead man's switch --------------------------------------------------------------------

CANCEL = request("DELETE /cancel-all")


def pump_for(client: RelayClient, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        client.pump(0.01)


def pump_until(client: RelayClient, holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "it does not happen"
        client.pump(0.01)


def test_beats_hold_the_cancel_back_and_silence_lets_it_go(
    client: RelayClient, wire: Network, venue: Upstream
) -> None:
    client.open()
    wire.fate = Bad(3, 0.2)
    silence_s = 3.0  # which a busy machine does not fall into between two beats
    client.deposit(0, CANCEL, fire_after_s=silence_s, valid_s=60)
    ends = time.monotonic() + 1.5 * silence_s
    while time.monotonic() < ends:
        pump_for(client, 0.1)
        client.open()  # it may be lost on such a network
        client.beat(0, silence_s)
    pump_until(client, lambda: client.held(0) is HeldState.HELD)
    assert CANCEL not in venue.received
    until(lambda: CANCEL in venue.received, 60)
    client.open()  # after such a silence the session is lost
    client.beat(0, silence_s)
    pump_until(client, lambda: client.held(0) is HeldState.SENT)
    assert venue.received.count(CANCEL) == 1


def test_what_was_taken_back_is_not_sent(client: RelayClient, venue: Upstream) -> None:
    client.open()
    client.deposit(1, CANCEL, fire_after_s=0.3, valid_s=30)
    client.withdraw(1)
    pump_for(client, 0.6)
    assert client.held(1) is HeldState.NONE
    assert CANCEL not in venue.received


def test_only_cancels_can_be_left(client: RelayClient) -> None:
    with pytest.raises(MalformedRequest, match="cancel"):
        client.deposit(0, order(), 1, 10)
    with pytest.raises(MalformedRequest):
        client.deposit(0, b"x", 1, 10)


def test_a_deposit_fits_a_datagram_and_a_place(client: RelayClient) -> None:
    with pytest.raises(MalformedRequest, match="datagram"):
        client.deposit(0, request("DELETE /orders", b"x" * 1_200), 1, 10)
    for slot in (-1, 256):
        with pytest.raises(ClientMisused):
            client.deposit(slot, CANCEL, 1, 10)
        with pytest.raises(ClientMisused):
            client.beat(slot, 1)
        with pytest.raises(ClientMisused):
            client.withdraw(slot)
