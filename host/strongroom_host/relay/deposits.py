"""The dead man's switch: signed cancels that are sent when their owner stops saying that he lives.

A deposit has a time at which it is sent. Beats move that time; a newer deposit takes its place.
What is authentic but late (held back on its way, say) never undoes what came after it. Nothing here
survives the relay: behind it stands the venue's own heartbeat.

Pure: times are nanoseconds of the relay's monotonic clock, and come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from strongroom_host.relay.messages import HeldState
from strongroom_host.relay.reasons import Reason, Rejected

__all__ = ["MAX_DEPOSITS", "MAX_VALID_NS", "Deposits", "Due", "Place"]

MAX_DEPOSITS: Final = 64
MAX_VALID_NS: Final = 300_000_000_000
"""A signed request is old after a minute at the venue; nobody needs more than five."""

_FORGOTTEN_NS: Final = MAX_VALID_NS


class Place(NamedTuple):
    """Where a deposit lies: a client may have several, by number."""

    client_id: bytes
    slot: int


class Due(NamedTuple):
    """A request whose time has come; worthless after `valid_until_ns`."""

    place: Place
    request: bytes
    valid_until_ns: int


@dataclass(slots=True)
class _Held:
    order: tuple[int, int]
    request: bytes
    fire_at_ns: int
    valid_until_ns: int
    state: HeldState


class Deposits:
    """All deposits. `order` is when a packet was sent: its session's number, then its own."""

    def __init__(self, limit: int = MAX_DEPOSITS) -> None:
        self._limit = limit
        self._held: dict[Place, _Held] = {}

    def __len__(self) -> int:
        return sum(1 for held in self._held.values() if held.state is HeldState.HELD)

    def put(
        self,
        place: Place,
        order: tuple[int, int],
        request: bytes,
        fire_at_ns: int,
        valid_until_ns: int,
        now_ns: int,
    ) -> HeldState:
        """Takes a deposit in and returns what is in its place now.

        Raises:
            Rejected: too many, its validity is over, or ends too far ahead.
        """
        known = self._held.get(place)
        if known is not None and known.order >= order:
            return known.state
        if valid_until_ns <= now_ns:
            raise Rejected(Reason.EXPIRED, "a deposit")
        if valid_until_ns - now_ns > MAX_VALID_NS:
            raise Rejected(Reason.DEADLINE_TOO_FAR, "a deposit")
        if known is None and len(self._held) >= self._limit:
            raise Rejected(Reason.DEPOSITS_FULL)
        self._held[place] = _Held(order, request, fire_at_ns, valid_until_ns, HeldState.HELD)
        return HeldState.HELD

    def beat(self, place: Place, order: tuple[int, int], fire_at_ns: int) -> HeldState:
        """Moves the time of what is held, or with 0 gives it up; returns what is there then."""
        held = self._held.get(place)
        if held is None:
            return HeldState.NONE
        if held.order >= order:
            return held.state
        held.order = order
        if held.state is HeldState.HELD:
            held.fire_at_ns = fire_at_ns
            if not fire_at_ns:
                held.state, held.request = HeldState.NONE, b""
        return held.state

    def due(self, now_ns: int) -> list[Due]:
        """What is to be sent now; each is returned once."""
        found = []
        for place, held in list(self._held.items()):
            if held.state is HeldState.HELD:
                if now_ns >= held.valid_until_ns:
                    held.state, held.request = HeldState.LAPSED, b""
                elif now_ns >= held.fire_at_ns:
                    found.append(Due(place, held.request, held.valid_until_ns))
                    held.state, held.request = HeldState.SENT, b""
            elif now_ns - held.valid_until_ns > _FORGOTTEN_NS:
                del self._held[place]
        return found

    def next_ns(self) -> int | None:
        """When `due` has something to do, at the latest."""
        return min(
            (
                min(held.fire_at_ns, held.valid_until_ns)
                for held in self._held.values()
                if held.state is HeldState.HELD
            ),
            default=None,
        )
