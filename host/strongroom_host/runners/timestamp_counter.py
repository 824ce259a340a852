"""How fast this processor's timestamp counter runs, for a guest that has no way to find out.

QEMU without KVM hands the guest the host's own counter, and a Nitro machine has no other good
clock. The guest's kernel measures the counter against an emulated timer, which fails as soon as the
host is busy; then it counts interrupts instead, loses those that come late, and its clock falls
behind: by a quarter and more, seen on two busy cores. The enclave compares its clock with the
security module's, and rightly signs nothing when they differ by two seconds. So the runner tells
the kernel what it could not measure. It is an argument that QEMU puts behind the image's own, as it
does with its devices; no PCR changes.
"""

import ctypes
import mmap
import platform
import time
from collections.abc import Callable
from typing import Final

__all__ = ["clock_arguments", "counter_khz"]

_READ_COUNTER: Final = bytes.fromhex("0f3148c1e2204809d0c3")
"""rdtsc; shl rdx, 32; or rax, rdx; ret"""
_ROUNDS: Final = 5
_ROUND_S: Final = 0.02
_READINGS: Final = 20
_PLAUSIBLE_KHZ: Final = range(100_000, 10_000_000)
_SPREAD: Final = 1_000
"""Rounds must agree to one part in this many."""


def clock_arguments() -> tuple[str, ...]:
    """Returns QEMU's arguments for a guest without KVM; none where the counter cannot be read."""
    khz = counter_khz()
    if khz is None:
        return ()
    # The watchdog would hold the counter against those late interrupts, and drop it.
    return ("-append", f"tsc_early_khz={khz} tsc=nowatchdog")


def counter_khz() -> int | None:
    """Returns the frequency in kHz, to a few parts in a million; None if it cannot be told.

    Takes a tenth of a second.
    """
    if platform.machine() != "x86_64":
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        # Some systems allow no page that is both written and executed.
        return None
    page.write(_READ_COUNTER)
    code = ctypes.c_char.from_buffer(page)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))
    found = sorted(_round(read) for _ in range(_ROUNDS))
    middle = found[_ROUNDS // 2]
    agree = (found[-1] - found[0]) * _SPREAD <= middle
    return middle if agree and middle in _PLAUSIBLE_KHZ else None


def _round(read: Callable[[], int]) -> int:
    before, first = _pair(read)
    time.sleep(_ROUND_S)
    after, last = _pair(read)
    return (last - first) * 1_000_000 // (after - before)


def _pair(read: Callable[[], int]) -> tuple[int, int]:
    """Returns nanoseconds and counter of one moment: of some readings, the least interrupted."""
    best = (1 << 63, 0, 0)
    for _ in range(_READINGS):
        before = time.monotonic_ns()
        counter = int(read())
        after = time.monotonic_ns()
        best = min(best, (after - before, (before + after) // 2, counter))
    return best[1], best[2]
