"""Which descriptors are ready: epoll where there is one, else whatever `selectors` finds."""

from __future__ import annotations

import select
import selectors
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Final

__all__ = ["READ", "WRITE", "Poller"]

READ: Final = 1
WRITE: Final = 4
"""The values of EPOLLIN and EPOLLOUT, used under every system."""

Ready = Callable[[int], None]


class Poller:
    """Calls back for each descriptor that is ready, with what it is ready for.

    `looked_ns` is when it last found something: by CLOCK_MONOTONIC, before anybody was called.
    """

    def __init__(self) -> None:
        self._calls: dict[int, Ready] = {}
        self._last = -1
        self.looked_ns = 0
        self._other: selectors.BaseSelector | None = None
        if sys.platform == "linux":
            self._epoll = select.epoll()
        else:
            self._other = selectors.DefaultSelector()

    def watch(
        self, descriptor: int, ready: Ready, events: int = READ, *, last: bool = False
    ) -> None:
        """Calls `ready` from now on; one descriptor may be seen to after all others."""
        self._calls[descriptor] = ready
        if last:
            self._last = descriptor
        if self._other is not None:
            self._other.register(descriptor, _to_selector(events))
        elif sys.platform == "linux":
            self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Watches a known descriptor for other events."""
        if self._other is not None:
            self._other.modify(descriptor, _to_selector(events))
        elif sys.platform == "linux":
            self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Watches a descriptor no longer; before it is closed. One that is unknown is no error."""
        if self._calls.pop(descriptor, None) is None:
            return
        if self._other is not None:
            self._other.unregister(descriptor)
        elif sys.platform == "linux":
            self._epoll.unregister(descriptor)

    def wait(self, timeout_s: float) -> bool:
        """Waits until something is ready or the time is over, and calls back; whether it did."""
        if self._other is not None:
            found = [
                (key.fd, (mask & 1) | (mask & 2) << 1)
                for key, mask in self._other.select(timeout_s)
            ]
        elif sys.platform == "linux":
            found = self._epoll.poll(timeout_s)
        if not found:
            return False
        self.looked_ns = monotonic_ns()
        if len(found) > 1:
            found.sort(key=lambda each: each[0] == self._last)
        for descriptor, events in found:
            call = self._calls.get(descriptor)
            if call is not None:  # an earlier call may have ended it
                call(events)
        return True

    def close(self) -> None:
        """Frees the descriptor of its own."""
        if self._other is not None:
            self._other.close()
        elif sys.platform == "linux":
            self._epoll.close()


def _to_selector(events: int) -> int:
    """`selectors` has 1 for reading and 2 for writing."""
    return (events & READ) | (events & WRITE) >> 1
