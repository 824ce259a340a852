"""One tick, read in place: no copy, and nothing allocated but the number that was asked for."""

import sys
from collections.abc import Sequence
from typing import Final

from strongroom_host.errors import EnvironmentFault

__all__ = ["TickView"]

_SIZE: Final = 64


class TickView:
    """A window of 64 bytes on a buffer of ticks: a reader's own record, or a whole tape.

    Made once and moved from tick to tick (`at`); a reader that fills the same 64 bytes over and
    over needs no moving at all. Layout: `ring.tick`, whose fields have the same names.
    """

    __slots__ = ("_buffer", "_bytes", "_ints", "_longs", "_number", "_words")

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        """Opens a window on the first tick.

        Raises:
            EnvironmentFault: this machine is big-endian, so ticks cannot be read in place.
            ValueError: the buffer's length is no multiple of 64.
        """
        if sys.byteorder != "little":
            raise EnvironmentFault(
                "ticks are little-endian and are read in place, which this machine cannot do",
                expected="x86-64 or arm64",
                actual=f"a {sys.byteorder}-endian machine",
            )
        whole = memoryview(buffer).cast("B")
        if len(whole) % _SIZE:
            raise ValueError(f"{len(whole)} bytes are no whole number of ticks")
        self._buffer = whole
        self._words: Sequence[int] = whole.cast("Q")
        self._longs: Sequence[int] = whole.cast("q")
        self._ints: Sequence[int] = whole.cast("I")
        self._bytes: Sequence[int] = whole
        self._number = 0

    def at(self, number: int) -> "TickView":
        """Moves the window to the tick of that number in the buffer, from 0, and returns it."""
        self._number = number
        return self

    @property
    def sequence(self) -> int:
        """The ring's own count, from 1."""
        return self._words[self._number << 3]

    @property
    def received_ns(self) -> int:
        """CLOCK_MONOTONIC when its frame arrived."""
        return self._words[(self._number << 3) + 1]

    @property
    def venue_ns(self) -> int:
        """The venue's timestamp, ns since the epoch; 0 if it gave none."""
        return self._words[(self._number << 3) + 2]

    @property
    def price(self) -> int:
        """1e-8 of the quote unit."""
        return self._longs[(self._number << 3) + 3]

    @property
    def size(self) -> int:
        """1e-8 of the base unit."""
        return self._longs[(self._number << 3) + 4]

    @property
    def instrument(self) -> int:
        """Index in the ring's instrument table; 0 if it is about none."""
        return self._ints[(self._number << 4) + 10]

    @property
    def epoch(self) -> int:
        """Continuity epoch of its feed."""
        return self._ints[(self._number << 4) + 11]

    @property
    def number(self) -> int:
        """Count of the feed's ticks, modulo 2^32."""
        return self._ints[(self._number << 4) + 12]

    @property
    def kind(self) -> int:
        """A `Kind`, as the number it is."""
        return self._bytes[(self._number << 6) + 52]

    @property
    def side(self) -> int:
        """A `Side`, as the number it is."""
        return self._bytes[(self._number << 6) + 53]

    @property
    def feed(self) -> int:
        """The feed's id."""
        return self._bytes[(self._number << 6) + 54]

    @property
    def flags(self) -> int:
        """`Flag` bits."""
        return self._bytes[(self._number << 6) + 55]

    @property
    def detail(self) -> int:
        """By kind: trade id, first bytes of a txid, tick size, state of a feed."""
        return self._words[(self._number << 3) + 7]

    @property
    def told(self) -> memoryview:
        """All of it but the ring's own count, 56 bytes in place: what was told, wherever from."""
        start = self._number << 6
        return self._buffer[start + 8 : start + _SIZE]

    def copy(self) -> bytes:
        """Returns the record, 64 bytes, to be kept."""
        start = self._number << 6
        return bytes(self._buffer[start : start + _SIZE])
