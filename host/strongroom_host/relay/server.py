"""The relay as a process: one UDP socket, connections to the venue, one thread for both.

The thread never waits for anything but its descriptors: names are resolved and connections made by
a thread of their own (`dialing`).
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from strongroom_host.errors import EnvironmentFault
from strongroom_host.relay.admission import Gate
from strongroom_host.relay.core import Core, CoreLimits
from strongroom_host.relay.counters import Counters, Event, RateLimited
from strongroom_host.relay.dialing import Dialer, Venue
from strongroom_host.relay.door import Boot
from strongroom_host.relay.poller import Poller
from strongroom_host.relay.sessions import Address
from strongroom_host.relay.upstream import Pool, PoolLimits

__all__ = ["PortBusy", "Relay", "RelayLimits"]

_LARGEST: Final = 65_535
_BATCH: Final = 64
_SECOND: Final = 1_000_000_000
_TAKEN_PACKET: Final = int(Event.TAKEN_PACKET)
_PROBE_AGENT: Final = "strongroom-relay"


class PortBusy(EnvironmentFault):
    """The UDP port cannot be bound."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Sizes and times.

    `awake_s` is how long the thread polls after an authentic packet before it sleeps: who is asleep
    takes three times as long for what comes next, and not only to wake up (`latency.md`). With
    infinity it never sleeps, and takes a core.

    `buffer` is what the socket may hold, in bytes: more survives longer bursts, and lets packets
    wait longer when there are more than can be read.
    """

    core: CoreLimits = field(default_factory=CoreLimits)
    pool: PoolLimits = field(default_factory=PoolLimits)
    probe_path: str = "/ok"
    buffer: int = 1 << 20
    drain_s: float = 10.0
    awake_s: float = 0.0


class Relay:
    """Serves until it is stopped. A context manager, so that its descriptors are closed.

    Args:
        psk: The pre-shared key.
        venue: Where requests go.
        listen: IP address and UDP port; port 0 takes a free one.
        log: Takes a line for the operator.
        limits: See there.

    Raises:
        PortBusy: the port is taken or may not be bound.
    """

    def __init__(
        self,
        psk: bytes,
        venue: Venue,
        listen: tuple[str, int],
        *,
        log: Callable[[str], None],
        limits: RelayLimits | None = None,
    ) -> None:
        self._limits = limits or RelayLimits()
        self._socket = _bound(listen, self._limits.buffer)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self.counters = Counters()
        self._log = log
        self._stop, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self._poller = Poller()
        probe = (
            f"GET {self._limits.probe_path} HTTP/1.1\r\nHost: {venue.host}\r\n"
            f"User-Agent: {_PROBE_AGENT}\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
        ).encode()
        self._pool = Pool(
            Dialer(venue),
            self._poller,
            probe,
            self.counters,
            RateLimited(log),
            time.monotonic_ns,
            self._limits.pool,
        )
        self.boot = Boot(secrets.token_bytes(16), secrets.token_bytes(32))
        self._core = Core(
            psk,
            self.boot,
            Gate(venue.host, venue.port, self._limits.core.session.max_request),
            self._pool,
            self._send,
            random=secrets.token_bytes,
            log=log,
            wall=time.time_ns,
            started_ns=time.monotonic_ns(),
            counters=self.counters,
            limits=self._limits.core,
        )
        self._stopping = False
        # After the connections: what the venue has closed by now takes no request any more.
        self._poller.watch(self._socket.fileno(), self._readable, last=True)
        self._poller.watch(self._stop, self._stopped)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.close()
        self._poller.close()
        self._socket.close()
        os.close(self._stop)
        os.close(self._bell)

    @property
    def ready(self) -> int:
        """How many connections to the venue stand idle."""
        return self._pool.ready

    def stop(self) -> None:
        """Ends `run` once requests under way are answered; from any thread or signal handler."""
        with contextlib.suppress(OSError):
            os.write(self._bell, b"\0")

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Serves until `stop`; then takes no new requests, and waits for answers under way."""
        started()
        clock, wait, taken = time.monotonic_ns, self._poller.wait, self.counters.events
        awake_ns = self._limits.awake_s * _SECOND
        sleepy_ns = awake_ns if math.isinf(awake_ns) else 0.0
        due_ns, heard = 0, taken[_TAKEN_PACKET]
        while not self._stopping:
            now_ns = clock()
            if now_ns >= due_ns:
                self._tick(now_ns)
                due_ns = self._due_ns(now_ns)
            if not wait(0.0 if now_ns < sleepy_ns else (due_ns - now_ns) / 1e9):
                continue
            now_ns = clock()
            # What has just come may be due earlier than all that was known of.
            due_ns = self._due_ns(now_ns)
            if taken[_TAKEN_PACKET] != heard:  # strangers keep nobody awake
                heard, sleepy_ns = taken[_TAKEN_PACKET], now_ns + awake_ns
        self._drain()

    def _drain(self) -> None:
        """Takes nothing new, and answers what is under way as long as that may take."""
        self._core.draining = True
        if self._core.deposits:
            self._log(
                f"{self._core.deposits} deposits end with this relay: the venue's heartbeat is what"
                " cancels now"
            )
        until_ns = time.monotonic_ns() + int(self._limits.drain_s * _SECOND)
        while not self._core.idle and (now_ns := time.monotonic_ns()) < until_ns:
            self._tick(now_ns)
            due_ns = min(self._due_ns(now_ns), now_ns + _SECOND // 20)
            self._poller.wait(max(0, due_ns - now_ns) / 1e9)

    def _tick(self, now_ns: int) -> None:
        self._core.tick(now_ns)
        self._pool.tick(now_ns)

    def _due_ns(self, now_ns: int) -> int:
        return max(now_ns, min(self._core.next_ns(), self._pool.next_ns(now_ns)))

    def _stopped(self, _events: int) -> None:
        os.read(self._stop, 16)
        self._stopping = True

    def _readable(self, _events: int) -> None:
        """Reads what is there, but not for so long that answers of the venue wait."""
        receive, core = self._socket.recvfrom, self._core
        for _ in range(_BATCH):
            try:
                data, address = receive(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # an ICMP message about something sent earlier: none of ours to mend
                continue
            core.datagram(data, address, time.monotonic_ns())

    def _send(self, datagram: bytes, address: Address) -> None:
        # A full buffer is a lost packet: who needs it asks again.
        try:  # noqa: SIM105  a context manager costs half as much as sending
            self._socket.sendto(datagram, address)
        except OSError:
            pass


def _bound(listen: tuple[str, int], buffer: int) -> socket.socket:
    host, port = listen
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise PortBusy(
            f"cannot listen on {host}:{port} (UDP)",
            actual=error,
            remedy="stop what holds the port, or name another address with --listen",
        ) from error
    return made
