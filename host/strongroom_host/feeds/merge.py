"""Several connections to one stream as one stream: first arrival wins, and no hole goes unseen.

A connection *covers* when the stream published so far and its own are known to be without a hole
between them. The first to join covers. A later one, or one that skipped something, is a
*candidate*: its events wait until they overlap with what a covering connection brings, which proves
that nothing lies between; then those that are ahead are published. So one connection may go while
another covers and nothing is missed. When none covers any more, `on_break` is told before the next
event.

    join ──────────────> covering          (nobody else covers)
    join ──> candidate ──overlap──> covering
    covering ──demote──> candidate         (it skipped something)
    covering ──leave/demote, the last one──> on_break, one candidate covers

No clock and no socket in here. Keys identify events: two events are one if their keys are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = ["Merge"]

T = TypeVar("T")

_WINDOW: Final = 1 << 14


class _Peer(Generic[T]):
    __slots__ = ("covers", "first", "offered", "pending")

    def __init__(self, *, covers: bool) -> None:
        self.covers = covers
        self.pending: dict[int, tuple[T, int]] = {}
        self.offered = 0
        self.first = 0


class Merge(Generic[T]):
    """The connections of one feed, by number.

    Args:
        take: Called with each event once, with its connection and its time of arrival in ns.
        on_break: Called when no connection covers any more, before a candidate takes over.
        window: How many keys are remembered; duplicates further apart than half of it pass.
    """

    def __init__(
        self,
        take: Callable[[T, int, int], None],
        on_break: Callable[[], None],
        *,
        window: int = _WINDOW,
    ) -> None:
        self._take, self._on_break = take, on_break
        self._half = max(1, window // 2)
        # Key to epoch: an overlap with what was published before a break proves nothing.
        self._recent: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._epoch = 0
        self._peers: dict[int, _Peer[T]] = {}
        self._candidates = 0
        self.duplicates = 0
        self.overflowed = 0

    @property
    def connections(self) -> int:
        """How many have joined and not left."""
        return len(self._peers)

    def __contains__(self, connection: object) -> bool:
        return connection in self._peers

    def covers(self, connection: int) -> bool:
        """Whether that connection's stream is known to continue what was published."""
        peer = self._peers.get(connection)
        return peer is not None and peer.covers

    def covering(self) -> list[int]:
        """The connections that cover."""
        return [number for number, peer in self._peers.items() if peer.covers]

    def first_arrivals(self, connection: int) -> int:
        """How many events that connection was the first to bring."""
        peer = self._peers.get(connection)
        return 0 if peer is None else peer.first

    def behind_ns(self, connection: int) -> int:
        """How long before the others' latest event that connection's own latest came."""
        latest = max((peer.offered for peer in self._peers.values()), default=0)
        peer = self._peers.get(connection)
        return 0 if peer is None else latest - peer.offered

    def join(self, connection: int, now_ns: int) -> bool:
        """A connection has begun; True when it covers at once, because none did."""
        if connection in self._peers:
            self.leave(connection)
        covers = all(not peer.covers for peer in self._peers.values())
        peer: _Peer[T] = _Peer(covers=covers)
        peer.offered = now_ns
        self._peers[connection] = peer
        self._candidates += not covers
        return covers

    def leave(self, connection: int) -> None:
        """A connection is over."""
        peer = self._peers.pop(connection, None)
        if peer is None:
            return
        if peer.covers:
            self._check_cover()
        else:
            self._candidates -= 1

    def demote(self, connection: int) -> None:
        """A connection skipped something: it has to prove its overlap anew, or a hole is a hole."""
        peer = self._peers.get(connection)
        if peer is None:
            return
        if peer.covers:
            peer.covers = False
            self._candidates += 1
            self._check_cover()
        else:
            peer.pending.clear()

    def offer(self, connection: int, key: int, event: T, received_ns: int) -> None:
        """An event has come; it is taken, dropped as known, or kept until its place is known."""
        peer = self._peers[connection]
        peer.offered = received_ns
        known = self._recent.get(key)
        if known is None:
            known = self._older.get(key)
        if not peer.covers:
            if known is not None:
                self.duplicates += 1
                if known == self._epoch:
                    self._link(connection, peer)
                return
            if len(peer.pending) >= self._half:
                del peer.pending[next(iter(peer.pending))]
                self.overflowed += 1
            peer.pending[key] = (event, received_ns)
            return
        if known is not None:
            self.duplicates += 1
            return
        self._publish(connection, peer, key, event, received_ns)

    def _publish(
        self, connection: int, peer: _Peer[T], key: int, event: T, received_ns: int
    ) -> None:
        self._recent[key] = self._epoch
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        peer.first += 1
        self._take(event, connection, received_ns)
        if self._candidates:
            for number, other in list(self._peers.items()):
                if not other.covers and key in other.pending:
                    self._link(number, other)

    def _link(self, connection: int, peer: _Peer[T]) -> None:
        """It covers from here on; what it brought and nobody else did is published in its order.

        Some of that may lie before the overlap: what the covering one missed unawares, or was to
        bring yet, or what came before the epoch. Who takes events can tell from their numbers or
        times.
        """
        peer.covers = True
        self._candidates -= 1
        waiting, peer.pending = peer.pending, {}
        for key, (event, received_ns) in waiting.items():
            if key in self._recent or key in self._older:
                self.duplicates += 1
            else:
                self._publish(connection, peer, key, event, received_ns)

    def _check_cover(self) -> None:
        if any(peer.covers for peer in self._peers.values()):
            return
        self._epoch += 1
        self._on_break()
        # One takes over, with all that it has; what others kept may lie before that, and the break
        # stands for it.
        chosen: tuple[int, _Peer[T]] | None = None
        for number, peer in self._peers.items():
            if chosen is None or peer.offered > chosen[1].offered:
                chosen = number, peer
        if chosen is not None:
            for peer in self._peers.values():
                if peer is not chosen[1]:
                    peer.pending.clear()
            self._link(*chosen)
