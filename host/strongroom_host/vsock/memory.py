"""Guest memory, mapped here: every address from outside is translated and bounds-checked.

The front-end describes memory as regions, each with two addresses: the guest's physical one, which
descriptors use, and the front-end's own (user) one, which locates the rings. A range must lie in
one region; it may end exactly where the region ends.

A front-end that shrinks the file under a mapping ends this process by SIGBUS. That costs nobody
else anything: one process serves one guest.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.vsock.errors import MemoryRefused

__all__ = ["MAX_REGIONS", "GuestMemory", "Region"]

MAX_REGIONS: Final = 8
"""What a front-end may describe without the protocol feature for more."""

_TOP: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Region:
    """One region of a memory table. Addresses, `size` and `offset` (into its file) in bytes."""

    guest: int
    size: int
    user: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Mapped:
    guest: int
    guest_end: int
    user: int
    user_end: int
    view: memoryview


class GuestMemory:
    """Regions mapped readable and writable. Views given out keep their mapping alive."""

    def __init__(self, regions: Sequence[Region], files: Sequence[int]) -> None:
        """Maps each region from its file; the descriptors may be closed afterwards.

        Raises:
            MemoryRefused: no region or too many, two overlap, one is empty, begins within a page,
                wraps around the 64-bit address space or exceeds its file, or a file cannot be
                mapped.
        """
        if not 1 <= len(regions) <= MAX_REGIONS or len(files) != len(regions):
            raise MemoryRefused(
                "the memory table and its files do not match",
                expected=f"1 to {MAX_REGIONS} regions, a file for each",
                actual=f"{len(regions)} regions, {len(files)} files",
            )
        for region in regions:
            highest = max(region.guest, region.user, region.offset)
            if not region.size or highest > _TOP - region.size:
                raise MemoryRefused("a memory region is empty or wraps around", actual=region)
            if (region.user | region.offset) % mmap.ALLOCATIONGRANULARITY:
                # What is aligned for the front-end and the guest has to be aligned here as well.
                raise MemoryRefused("a memory region does not begin on a page", actual=region)
        _refuse_overlap([(region.guest, region.size) for region in regions], "guest-physical")
        _refuse_overlap([(region.user, region.size) for region in regions], "user")
        self._regions = [
            _Mapped(
                region.guest,
                region.guest + region.size,
                region.user,
                region.user + region.size,
                _map(region, file),
            )
            for region, file in zip(regions, files, strict=True)
        ]

    def at_guest(self, address: int, length: int) -> memoryview | None:
        """Returns the bytes at a guest-physical address, or None if no region holds them all."""
        for region in self._regions:
            if region.guest <= address and address + length <= region.guest_end:
                start = address - region.guest
                return region.view[start : start + length]
        return None

    def at_user(self, address: int, length: int) -> memoryview | None:
        """Returns the bytes at an address of the front-end, or None if no region holds them all."""
        for region in self._regions:
            if region.user <= address and address + length <= region.user_end:
                start = address - region.user
                return region.view[start : start + length]
        return None


def _refuse_overlap(ranges: list[tuple[int, int]], kind: str) -> None:
    end = 0
    for start, size in sorted(ranges):
        if start < end:
            raise MemoryRefused(
                f"two memory regions overlap in {kind} addresses",
                expected=f"nothing below {end:#x}",
                actual=f"{start:#x}",
            )
        end = start + size


def _map(region: Region, file: int) -> memoryview:
    try:
        # Refuses what is larger than its file: it could be mapped, and reading it would kill us.
        return memoryview(mmap.mmap(file, region.size, offset=region.offset))
    except (OSError, ValueError, OverflowError) as error:
        raise MemoryRefused(f"a memory region cannot be mapped: {error}", actual=region) from error
