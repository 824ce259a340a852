"""Sleeping on a word of shared memory and waking who sleeps there, by Linux's own calls.

A futex keeps nothing in the kernel but its sleepers: it survives the death of either side, leaves
no file behind, and compares before it sleeps: a wake-up between the last look and the sleep is not
lost. What remains is order (see `membarrier` below). Where there is no futex, a consumer sleeps in
short steps instead; `Futex.find` says which it is.
"""

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["Futex"]

_WAIT: Final = 0
_WAKE: Final = 1
_EVERYBODY: Final = 2**31 - 1
_NUMBERS: Final = {"x86_64": (202, 324), "aarch64": (98, 283), "riscv64": (98, 283)}
_BARRIER: Final = 1 << 1  # MEMBARRIER_CMD_GLOBAL_EXPEDITED
_REGISTER: Final = 1 << 2  # MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED


@dataclass(frozen=True, slots=True)
class Futex:
    """The two system calls, where they are known."""

    futex_number: int
    membarrier_number: int

    @classmethod
    def find(cls) -> Self | None:
        """Returns the calls of this machine, or None where there are none that we know."""
        if sys.platform != "linux" or platform.machine() not in _NUMBERS:
            return None
        found = cls(*_NUMBERS[platform.machine()])
        word = ctypes.c_uint32(1)
        # With another value than the word's it returns at once: is the call allowed here at all?
        if found.wait(ctypes.addressof(word), 0, 0.0) == _ENOSYS:
            return None
        return found

    def wait(self, address: int, value: int, seconds: float) -> int:
        """Sleeps while the u32 at `address` is `value`, up to `seconds`; returns 0 or the error.

        It may return early, and does so on a signal: whoever calls it looks again.
        """
        whole = int(seconds)
        limit = (ctypes.c_int64 * 2)(whole, int((seconds - whole) * 1e9))
        return self._call(self.futex_number, address, _WAIT, value, ctypes.addressof(limit), 0, 0)

    def wake(self, address: int) -> None:
        """Wakes everybody who sleeps at `address`."""
        self._call(self.futex_number, address, _WAKE, _EVERYBODY, 0, 0, 0)

    def register(self) -> None:
        """Lets `membarrier` calls of other processes reach this process: for the producer."""
        self._call(self.membarrier_number, _REGISTER, 0, 0)

    def membarrier(self) -> bool:
        """Puts a full barrier into this thread and into every running producer's; returns whether
        it could.

        A consumer says "I am going to sleep" and looks once more; the producer publishes and looks
        whether somebody sleeps. Each stores, then loads, and any processor may do the load first:
        both could miss each other. One barrier on each side would end that. This puts both on the
        side that has time, and publishing stays as it is.
        """
        return self._call(self.membarrier_number, _BARRIER, 0, 0) == 0

    def _call(self, *arguments: int) -> int:
        if _SYSCALL(*map(ctypes.c_long, arguments)) == -1:
            return ctypes.get_errno()
        return 0


_ENOSYS: Final = 38
if sys.platform == "linux":
    _SYSCALL = ctypes.CDLL(None, use_errno=True).syscall
    _SYSCALL.restype = ctypes.c_long
else:

    def _SYSCALL(*_: object) -> int:  # noqa: N802
        raise OSError(os.strerror(_ENOSYS))
