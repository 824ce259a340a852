"""How a consumer waits for the next tick, and how it is woken."""

import ctypes
import time
from enum import Enum
from typing import Final

from strongroom_host.ring import layout
from strongroom_host.ring.futex import Futex

__all__ = ["Doorbell", "Sleeper", "Wait"]

_LONGEST_S: Final = 0.05
"""A sleeper looks by itself so often: how late a wake-up is that died with its producer."""
_UNORDERED_S: Final = 0.002
"""The same where `Futex.membarrier` is refused, so that a wake-up can get lost."""
_STEP_S: Final = 0.0005
"""The same without a futex."""


class Wait(Enum):
    """What a consumer does while there is nothing new, from the fastest to the most frugal."""

    SPIN = "spin"
    """Looks again at once. Takes a whole core; the latency is that of the memory."""
    YIELD = "yield"
    """Looks again after letting others run. Takes a core that nobody else wants."""
    BLOCK = "block"
    """Sleeps until the producer wakes it: tens of microseconds later, but no core is taken."""


class Doorbell:
    """The producer's side: wakes whoever sleeps."""

    def __init__(self, region: memoryview, words: memoryview) -> None:
        """Takes the consumers' region, and the same in words; both stay the caller's."""
        self._words, self._futex = words, Futex.find()
        self._address = _address(region)
        if self._futex:
            self._futex.register()

    def ring(self) -> None:
        """Wakes all sleepers, and those who are about to sleep."""
        words = self._words
        # In this order: whoever says in between that it will sleep has read the old count, and the
        # kernel compares it. So a flag that is cleared here too early keeps nobody asleep.
        words[layout.WAITING] = 0
        words[layout.BELL] = (words[layout.BELL] + 1) & 0xFFFF_FFFF
        if self._futex:
            self._futex.wake(self._address)


class Sleeper:
    """A consumer's side, in three steps: `announce`, look once more, `sleep`."""

    def __init__(self, region: memoryview, words: memoryview) -> None:
        """Takes the consumers' region, writable, and the same in words; both stay the caller's."""
        self._words, self._futex = words, Futex.find()
        self._address = _address(region)
        self._seen, self._longest = 0, _STEP_S

    def announce(self) -> None:
        """Says that this consumer is going to sleep: what is published from here on wakes it."""
        self._seen = self._words[layout.BELL]
        self._words[layout.WAITING] = 1
        if self._futex:
            self._longest = _LONGEST_S if self._futex.membarrier() else _UNORDERED_S

    def sleep(self, seconds: float) -> None:
        """Sleeps until woken since `announce`, up to `seconds`, or shorter: look again."""
        limit = min(seconds, self._longest)
        if self._futex:
            self._futex.wait(self._address, self._seen & 0xFFFF_FFFF, limit)
        else:
            time.sleep(limit)


def _address(region: memoryview) -> int:
    """Returns where the bell is in this process's memory, good for as long as it is mapped."""
    return ctypes.addressof(ctypes.c_uint32.from_buffer(region, 8 * layout.BELL))
