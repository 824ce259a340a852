"""Floods at a relay: forged, replayed, cut and stale packets, none of which gets anywhere.

A few ten thousand, or a million with STRONGROOM_SOAK=1. Most go to the relay's core: no sockets
are in the way, so none is lost uncounted. Others go over real sockets, while somebody trades.
"""

from __future__ import annotations

import gc
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom_host.relay import frames_v1
from strongroom_host.relay.counters import Event
from strongroom_host.relay.frames_v2 import MAGIC, HandshakeKeys
from strongroom_host.relay.messages import Ping, Request
from strongroom_host.relay.reasons import Reason

from tests.host.relay.relays import client_of, relay_to
from tests.host.relay.upstreams import upstream
from tests.host.relay.world import ELSEWHERE, HERE, OTHER_PSK, PSK, SECOND, Client, World, order

SOAK = os.environ.get("STRONGROOM_SOAK") == "1"
PACKETS = 1_000_000 if SOAK else 30_000
SENT = 200_000 if SOAK else 4_000


class Attacker:
    """Makes hostile datagrams of every kind, and knows what each has to be counted as."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)  # noqa: S311  the same attack each time
        self.client = Client(world).enter()
        world.pass_time(20)
        fresh = [frames_v1.build(PSK, n, world.wall - n, order(100 + n)) for n in range(50)]
        sealed = [
            self.client.sealer.seal(Request(b"%016d" % n, world.now + SECOND, 0, 1, order()).pack())
            for n in range(50)
        ]
        for datagram in [*fresh, *sealed]:
            world.give(datagram)
        self.taken_v1, self.taken_v2 = fresh, sealed
        self.kinds: list[tuple[Callable[[], bytes], set[str]]] = [
            (self.noise, {"v1_forged", "truncated"}),
            (self.forged_v1, {"v1_forged"}),
            (self.spoilt_v1, {"v1_forged", "truncated"}),
            (lambda: self.random.choice(self.taken_v1), {"v1_replayed"}),
            (self.stale_v1, {"v1_stale", "v1_ahead"}),
            (self.before_start_v1, {"v1_stale", "v1_before_start"}),
            (lambda: self.cut(self.random.choice(self.taken_v1)), {"v1_forged", "truncated"}),
            (lambda: self.random.choice(self.taken_v2), {"replayed"}),
            (self.spoilt_v2, {"forged", "unknown_session", "unknown_type", "v1_forged"}),
            (self.forged_v2, {"forged"}),
            (self.cut_v2, {"forged", "truncated"}),
            (self.foreign_session, {"unknown_session"}),
            (lambda: self.client.start, {"start_outdated"}),
            (self.forged_hello, {"hello_forged"}),
            (self.forged_start, {"start_outdated"}),
            (self.other_type, {"unknown_type"}),
        ]

    def noise(self) -> bytes:
        return b"\x01" + self.random.randbytes(self.random.randrange(1, 1_500))

    def forged_v1(self) -> bytes:
        return frames_v1.build(OTHER_PSK, self.random.randrange(1 << 20), self.world.wall, order())

    def flipped(self, datagram: bytes, first: int = 0) -> bytes:
        spoilt = bytearray(datagram)
        spoilt[self.random.randrange(first, len(spoilt))] ^= 1 << self.random.randrange(8)
        return bytes(spoilt)

    def spoilt_v1(self) -> bytes:
        # Not its first byte: that could make another kind of frame of it.
        return self.flipped(self.random.choice(self.taken_v1), 1)

    def stale_v1(self) -> bytes:
        offset = self.random.choice((-1, 1)) * self.random.randrange(5 * SECOND + 1, 500 * SECOND)
        return frames_v1.build(PSK, 1, self.world.wall + offset, order())

    def before_start_v1(self) -> bytes:
        stamp = self.world.wall - 20 * SECOND + self.random.randrange(5 * SECOND)
        return frames_v1.build(PSK, 1, stamp, order())

    def cut(self, datagram: bytes) -> bytes:
        return datagram[: self.random.randrange(len(datagram))]

    def spoilt_v2(self) -> bytes:
        return self.flipped(self.random.choice(self.taken_v2))

    def forged_v2(self) -> bytes:
        session = self.taken_v2[0][4:12]
        number = self.random.randrange(1, 1 << 62).to_bytes(8, "big")
        size = self.random.randrange(17, 1_200)
        return MAGIC + b"\x04" + session + number + self.random.randbytes(size)

    def cut_v2(self) -> bytes:
        datagram = self.random.choice(self.taken_v2)
        return datagram[: self.random.randrange(4, len(datagram))]

    def foreign_session(self) -> bytes:
        return MAGIC + b"\x04" + self.random.randbytes(16 + self.random.randrange(17, 900))

    def forged_hello(self) -> bytes:
        return HandshakeKeys(OTHER_PSK).hello(self.random.randbytes(16))

    def forged_start(self) -> bytes:
        return MAGIC + b"\x03" + self.random.randbytes(96)

    def other_type(self) -> bytes:
        kind = self.random.choice([0, 2, 5, 6, *range(7, 256)])
        return MAGIC + bytes((kind,)) + self.random.randbytes(self.random.randrange(200))


def test_none_is_forwarded_and_each_is_counted_by_its_reason() -> None:
    world = World()
    attacker = Attacker(world, 23)
    forwarded, taken = len(world.venue.jobs), world.counters.taken
    assert forwarded == 100
    for number in range(PACKETS):
        make, reasons = attacker.kinds[number % len(attacker.kinds)]
        datagram = make()
        before = world.counters.reasons.copy()
        answers = world.give(datagram, HERE if number % 3 else ELSEWHERE)
        after = world.counters.reasons
        [counted] = [at for at, value in enumerate(after) if value != before[at]]
        assert after[counted] == before[counted] + 1
        assert Reason(counted).label in reasons, datagram.hex()
        world.sent.clear()
        assert sum(map(len, answers)) <= len(datagram), "nothing is amplified"
    assert len(world.venue.jobs) == forwarded
    assert world.counters.taken == taken
    assert world.counters.refused == PACKETS
    assert world.counters.events[Event.RESETS] <= 100
    # The session has lost nothing by it: neither its window nor its messages.
    assert attacker.client.post(order(5), b"after the flood!")
    assert len(world.venue.jobs) == forwarded + 1


def test_neither_flood_nor_trade_leaves_cycles_behind() -> None:
    """The relay runs without the collector of cycles: what it made has to go by itself."""
    world = World()
    attacker = Attacker(world, 8)

    def turn(number: int) -> None:
        for make, _ in attacker.kinds:
            world.give(make())
        attacker.client.post(order(50), b"%016d" % number)
        world.pass_time(0.01)
        world.sent.clear()
        world.venue.jobs.clear()

    for number in range(50):
        turn(number)
    gc.collect()
    gc.disable()
    try:
        for number in range(50, 350):
            turn(number)
        found = gc.collect()
    finally:
        gc.enable()
    assert found < 20, "some, but none for each packet"


def test_the_log_of_a_flood_is_short() -> None:
    world = World()
    attacker = Attacker(world, 5)
    for number in range(5_000):
        world.give(attacker.kinds[number % len(attacker.kinds)][0]())
    assert len(world.log) <= 20


def test_every_replayed_handshake_opens_nothing() -> None:
    """Each datagram of a session's life, at any later time, from anywhere, in any order."""
    world = World()
    client = Client(world).enter()
    life = [client.hello, client.start]
    life += [client.sealer.seal(Ping(number).pack()) for number in range(3)]
    life.append(client.sealer.seal(Request(b"i" * 16, world.now + SECOND, 0, 1, order()).pack()))
    for datagram in life[2:]:
        world.give(datagram)
    sessions = world.counters.events[Event.SESSIONS_OPENED]
    randomness = random.Random(2)  # noqa: S311  the same order each time
    for _ in range(40):
        for datagram in randomness.sample(life, len(life)):
            world.give(datagram, randomness.choice([HERE, ELSEWHERE]))
        world.pass_time(randomness.uniform(0, 15))
    assert len(world.venue.jobs) == 1
    assert world.counters.events[Event.SESSIONS_OPENED] == sessions
    assert not world.core._door or client.challenge.session in world.core._door._sessions


@pytest.fixture
def flooded(tmp_path: Path) -> Iterator[tuple[tuple[str, int], Callable[[], None]]]:
    """A relay's address, and what floods it once."""
    with upstream(tmp_path / "v") as server, relay_to(server) as relay:
        attacker = Attacker(World(), 31)
        datagrams = [attacker.kinds[n % len(attacker.kinds)][0]() for n in range(1_000)]
        # Those of another world's session are of none here.
        before = relay.counters.taken

        def flood() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for number in range(SENT):
                    sender.sendto(datagrams[number % len(datagrams)], relay.address)
                    if number % 50 == 0:
                        time.sleep(0.001)

        yield relay.address, flood
        counted = relay.counters
        assert counted.refused > SENT // 10, "what the kernel had no room for is its own matter"
        assert counted.refused <= SENT
        assert counted.taken > before
        assert counted.events[Event.FORWARDED] == len(server.received)
        assert set(server.received) <= {order(n) for n in range(1, 200)}


def test_trade_goes_on_during_a_flood(
    flooded: tuple[tuple[str, int], Callable[[], None]],
) -> None:
    address, flood = flooded
    attack = threading.Thread(target=flood)
    with client_of(address) as client:
        client.open()
        attack.start()
        answered = 0
        while attack.is_alive() and answered < 150:
            answered += 1
            assert client.exchange(order(answered)).status == 200
        attack.join()
    assert answered > 5
