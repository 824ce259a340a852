"""Two dead man's switches: the venue's own heartbeat, and a cancel that lies ready at the relay.

While this host is well, heartbeats reach the venue every few seconds, and the relay is told to wait
on. When it goes silent, the relay sends the cancel after seconds; when the relay goes silent too,
the venue takes the orders off by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from strongroom_host.errors import HostError
from strongroom_host.latency.stats import Counter, Figures
from strongroom_host.relay.errors import RelayUnreachable
from strongroom_host.relay.heartbeats import Heartbeats
from strongroom_host.relay.messages import HeldState

__all__ = ["Alive", "AliveLimits", "Depository"]

_END_S: Final = 1.0
_AGAIN_S: Final = 0.1


class Depository(Protocol):
    """Where a signed cancel can be left; `RelayClient` is one."""

    def deposit(self, slot: int, request: bytes, fire_after_s: float, valid_s: float) -> None:
        """See `RelayClient.deposit`."""

    def beat(self, slot: int, fire_after_s: float) -> None:
        """See `RelayClient.beat`."""

    def withdraw(self, slot: int) -> None:
        """See `RelayClient.withdraw`."""

    def held(self, slot: int) -> HeldState | None:
        """See `RelayClient.held`."""

    def pump(self, timeout_s: float = 0.0) -> bool:
        """See `RelayClient.pump`."""


@dataclass(frozen=True, slots=True)
class AliveLimits:
    """Times in seconds. The venue takes a cancel's own timestamp for about a minute, so that it is
    signed anew well before."""

    fire_after_s: float = 5.0
    beat_s: float = 1.0
    renew_s: float = 20.0
    valid_s: float = 45.0


class Alive:
    """Keeps both switches from firing. One thread, the loop's.

    Attributes:
        trouble: What went wrong last, or nothing.
    """

    def __init__(
        self,
        heartbeats: Heartbeats,
        depository: Depository | None,
        sign_cancel: Callable[[], bytes],
        figures: Figures,
        limits: AliveLimits,
        slot: int = 0,
    ) -> None:
        """Takes what it beats with.

        Args:
            heartbeats: The venue's.
            depository: The relay, if there is one.
            sign_cancel: Returns a signed cancel of everything.
            figures: Where beats are counted.
            limits: Times.
            slot: Where the cancel lies: the key's own, so that no other key's takes its place.
        """
        self._heartbeats, self._depository = heartbeats, depository
        self._sign_cancel, self._figures, self._limits = sign_cancel, figures, limits
        self._slot = slot
        self._renew_ns = self._beat_ns = self._answered = 0
        self._cancel, self._valid_ns = b"", 0
        self._lies_there = False
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """What went wrong last; empty while all is well."""
        beating = self._heartbeats.state
        return self._trouble or (beating.trouble if beating.failures else "")

    def turn(self, now_ns: int) -> None:
        """Does what is due."""
        self._heartbeats.turn(now_ns)
        answered = self._heartbeats.state.answered
        if answered > self._answered:
            self._figures.count(Counter.HEARTBEATS, answered - self._answered)
            self._answered = answered
        relay = self._depository
        if relay is None or now_ns < self._beat_ns:
            return
        limits = self._limits
        self._beat_ns = now_ns + int(limits.beat_s * 1e9)
        try:
            held = relay.held(self._slot)
            if now_ns >= self._renew_ns:
                self._cancel, self._lies_there = self._sign_cancel(), False
                self._renew_ns = now_ns + int(limits.renew_s * 1e9)
                self._valid_ns = now_ns + int(limits.valid_s * 1e9)
            # It is gone when the relay was started anew, or when it was sent. The one that is
            # signed goes there again: each signature is a leaf of the log.
            if not self._lies_there or held is not HeldState.HELD:
                valid_s = (self._valid_ns - now_ns) / 1e9
                self._lies_there = False
                relay.deposit(self._slot, self._cancel, limits.fire_after_s, valid_s)
                self._lies_there = True
            else:
                relay.beat(self._slot, limits.fire_after_s)
            refused = held is HeldState.REFUSED
            self._trouble = "the relay refuses the cancel that it is to hold" if refused else ""
        except HostError as error:
            self._trouble = f"the relay's dead man's switch: {error}"

    def end(self) -> None:
        """Takes the cancel back, as nothing of ours is open any more; waits a moment for the relay
        to say so, since a datagram can be lost and what is held would cancel the next session's."""
        relay = self._depository
        if relay is None:
            return
        until = monotonic() + _END_S
        try:
            while relay.held(self._slot) in (None, HeldState.HELD):
                if monotonic() > until:
                    raise RelayUnreachable("it does not say that it gave the cancel up")
                relay.withdraw(self._slot)
                relay.pump(_AGAIN_S)
        except HostError as error:
            self._trouble = f"the relay's dead man's switch: {error}"
