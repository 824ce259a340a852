"""Memory order: what keeps a tick's bytes behind its sequence, on each kind of processor.

The README has the argument. In short: on x86-64 loads stay in order among loads and stores among
stores, which is all that the ring's protocol asks, so there is no fence and it costs nothing.
Elsewhere (arm64) both may be reordered, and a real barrier has to stand between them. Pure Python
has one within reach: giving up a lock that one holds, and taking it again. Its release keeps
everything before it before, its acquisition keeps everything after it after, and an acquisition is
not moved before a release that precedes it. (The other way round, lock and unlock, is no barrier:
both sides may move inwards.)
"""

import os
import platform
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["new_fence"]

_STRONG: Final = frozenset({"x86_64", "amd64"})


def new_fence() -> Callable[[], None] | None:
    """Returns what one end of a ring calls between accesses that may not change places, or None
    where the processor sees to it. STRONGROOM_RING_FENCES=1 demands one everywhere."""
    forced = os.environ.get("STRONGROOM_RING_FENCES") == "1"
    if platform.machine().lower() in _STRONG and not forced:
        return None
    lock = threading.Lock()
    lock.acquire()
    release, acquire = lock.release, lock.acquire

    def fence() -> None:
        release()
        acquire()

    return fence
