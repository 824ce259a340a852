"""A relay without sockets: its core, a venue that answers by script, clients that seal by hand."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from strongroom_host.relay.admission import Gate
from strongroom_host.relay.answers import Answered
from strongroom_host.relay.core import Core, CoreLimits
from strongroom_host.relay.counters import Counters
from strongroom_host.relay.door import Boot
from strongroom_host.relay.frames_v2 import (
    OVERHEAD,
    TO_RELAY,
    HandshakeKeys,
    Opener,
    Sealer,
)
from strongroom_host.relay.jobs import Failed, Job
from strongroom_host.relay.messages import Accepted, FromRelay, Request, read_from_relay
from strongroom_host.relay.sessions import Address

PSK = bytes.fromhex("6b1f0c52a97de3384c8e57b0f92d16c1d40a7395ee2861bf5802cb94367da91e")
OTHER_PSK = bytes(range(100, 132))[::-1] + PSK
HOST = "venue.test"
HERE: Address = ("192.0.2.7", 40_000)
ELSEWHERE: Address = ("198.51.100.9", 40_001)
SECOND = 1_000_000_000
WALL = 1_795_269_600 * SECOND
ANSWER = Answered(200, b"Content-Length: 2\r\n", b"ok")


def request(line: str = "DELETE /cancel-all", body: bytes = b"", host: str = HOST) -> bytes:
    """A plain request as the enclave makes them."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{line} HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive\r\n{length}\r\n"
    return head.encode() + body


def order(size: int = 700) -> bytes:
    return request("POST /order", b"1" * size)


class Venue:
    """A forwarder that answers at once, or when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.result: Answered | Failed | None = ANSWER

    def submit(self, job: Job, now_ns: int) -> None:
        self.jobs.append(job)
        if self.result is not None:
            job.done(self.result)


class World:
    """One relay; `now` and `wall` are its clocks, `sent` what it sent."""

    def __init__(
        self,
        psk: bytes = PSK,
        limits: CoreLimits | None = None,
        seed: int = 1,
        now: int = 1_000 * SECOND,
        wall: int = WALL,
    ) -> None:
        self.now, self.wall = now, wall
        self.venue, self.sent = Venue(), list[tuple[bytes, Address]]()
        self.log: list[str] = []
        randomness = random.Random(seed)  # noqa: S311  the same each time
        self.counters = Counters()
        self.core = Core(
            psk,
            Boot(randomness.randbytes(16), randomness.randbytes(32)),
            Gate(HOST, 443),
            self.venue,
            lambda datagram, address: self.sent.append((datagram, address)),
            random=randomness.randbytes,
            log=self.log.append,
            wall=lambda: self.wall,
            started_ns=self.now,
            counters=self.counters,
            limits=limits or CoreLimits(),
        )

    def pass_time(self, seconds: float, *, ticks: bool = True) -> None:
        self.now += int(seconds * SECOND)
        self.wall += int(seconds * SECOND)
        if ticks:
            self.core.tick(self.now)

    def give(self, datagram: bytes, address: Address = HERE) -> list[bytes]:
        """What the relay sends back to that address."""
        before = len(self.sent)
        self.core.datagram(datagram, address, self.now)
        return [data for data, to in self.sent[before:] if to == address]

    def forwarded(self) -> list[bytes]:
        return [job.request for job in self.venue.jobs]

    def refused(self) -> dict[str, int]:
        return self.counters.named()["refused"]


class Client:
    """One end of a session, by hand."""

    def __init__(
        self,
        world: World,
        *,
        address: Address = HERE,
        psk: bytes = PSK,
        name: bytes = b"bot",
        numbers: Callable[[], int] | None = None,
    ) -> None:
        self.world, self.address = world, address
        self.keys = HandshakeKeys(psk)
        seed = repr((name, world.now, address))
        self.salt = random.Random(seed).randbytes(16)  # noqa: S311  the same each time
        self.numbers = numbers or itertools.count(1).__next__
        self.hello = self.keys.hello(self.salt)
        [answer] = world.give(self.hello, address)
        self.challenge = self.keys.read_challenge(answer, self.salt)
        self.start = self.keys.start(self.challenge, self.numbers(), name.ljust(16, b"\0"))
        session = self.keys.session_keys(self.challenge)
        self.sealer = Sealer(session.to_relay, TO_RELAY, self.challenge.session, self.numbers)
        self.opener = Opener(session.to_client)

    def enter(self) -> Client:
        [accepted] = self.read(self.world.give(self.start, self.address))
        assert isinstance(accepted, Accepted)
        return self

    def read(self, datagrams: list[bytes]) -> list[FromRelay]:
        assert all(len(item) > OVERHEAD for item in datagrams)
        return [read_from_relay(self.opener.open(item)[1]) for item in datagrams]

    def say(self, message: bytes) -> list[FromRelay]:
        """Seals and sends a message; returns what the relay says."""
        return self.read(self.world.give(self.sealer.seal(message), self.address))

    def post(self, raw: bytes, identity: bytes = b"m" * 16, life_s: float = 2.0) -> list[FromRelay]:
        deadline = self.world.now + int(life_s * SECOND)
        return self.say(Request(identity, deadline, 0, 1, raw).pack())
