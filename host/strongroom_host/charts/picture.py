"""The curve as a PNG, for where no browser is at hand: two panels, gaps hatched.

It says less than the page: no metrics, no months. It is made of whole pixels, so the same series is
the same file everywhere.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from strongroom_host.charts.curve import Curve, Point
from strongroom_host.charts.letters import ADVANCE, HEIGHT, dots
from strongroom_host.charts.scales import percent, steps, time_ticks, told_apart

__all__ = ["png"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT = 1600, 900, 150, 30
_TOP, _EQUITY, _BETWEEN, _DRAWDOWN = 90, 500, 70, 160
_SCALE: Final = 3
"""Pixels of a letter's dot."""
_PALETTE: Final = bytes.fromhex("ffffff 1c2430 5d6b7c d9dfe7 31449b a3121f f0d0d2 8a5200")
_PAPER, _INK, _DIM, _RULE, _LINE, _FALL, _BELOW, _HATCH = range(8)
_STROKE: Final = 3
_HATCHED: Final = 12


class _Sheet:
    """Pixels, each a colour of the palette."""

    def __init__(self) -> None:
        self._rows = [bytearray(_WIDTH) for _ in range(_HEIGHT)]

    def fill(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        """Paints a rectangle; what lies outside of the sheet is left out."""
        left, right = max(0, x), min(_WIDTH, x + width)
        if right > left:
            for row in self._rows[max(0, y) : max(0, y + height)]:
                row[left:right] = bytes([colour]) * (right - left)

    def hatch(self, x: int, y: int, width: int, height: int) -> None:
        """Paints slanted lines into a rectangle."""
        for down in range(height):
            for across in range(width):
                if (across + down) % _HATCHED < 2:
                    self._rows[y + down][x + across] = _HATCH

    def write(self, text: str, x: int, y: int, colour: int, *, right: bool = False) -> None:
        """Writes a text from `x` on, or up to there."""
        start = x - len(text) * ADVANCE * _SCALE if right else x
        for column, row in dots(text):
            self.fill(start + column * _SCALE, y + row * _SCALE, _SCALE, _SCALE, colour)

    def png(self) -> bytes:
        """Returns the file: eight bits a pixel, indexed."""
        pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in self._rows), 9)
        header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 3, 0, 0, 0)
        parts = (b"IHDR", header), (b"PLTE", _PALETTE), (b"IDAT", pixels), (b"IEND", b"")
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


@dataclass(frozen=True, slots=True)
class _Panel:
    curve: Curve
    sheet: _Sheet
    top: int
    height: int
    low: float
    high: float
    value: Callable[[Point], float]

    def x(self, time_ms: int) -> int:
        """Returns in which column a time stands."""
        whole = max(1, self.curve.end_ms - self.curve.start_ms)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT - 1) * (time_ms - self.curve.start_ms) // whole

    def y(self, value: float) -> int:
        """Returns in which row a value stands."""
        span = self.high - self.low
        return self.top + round(self.height * ((self.high - value) / span if span > 0 else 0.5))

    def rules(self, base: float, ticks: list[float]) -> None:
        """Draws lines across with their values beside them."""
        nearest = min((after - before for before, after in pairwise(ticks)), default=0.0001)
        places = 0 if nearest >= 0.0099 else 1 if nearest >= 0.00099 else 2
        for value in told_apart(ticks, base, places):
            y = self.y(value)
            colour = _DIM if abs(value - base) < 1e-9 else _RULE
            self.sheet.fill(_LEFT, y, _WIDTH - _LEFT - _RIGHT, 1, colour)
            text = percent(value - base, places=places)
            self.sheet.write(text, _LEFT - 12, y - HEIGHT, _INK, right=True)

    def gaps(self) -> None:
        """Hatches where there is no return; never too narrow to be seen."""
        for gap in self.curve.gaps:
            left = self.x(gap.start_ms)
            width = max(4, self.x(gap.end_ms) - left)
            self.sheet.hatch(left, self.top, min(width, _WIDTH - left), self.height)

    def lines(self, colour: int, below: int | None = None) -> None:
        """Draws every line; with `below` what lies between it and the top is filled."""
        for line in self.curve.lines:
            for before, after in pairwise(line):
                self._segment(before, after, colour, below)

    def _segment(self, before: Point, after: Point, colour: int, below: int | None) -> None:
        left, right = self.x(before.time_ms), self.x(after.time_ms)
        start, end = self.y(self.value(before)), self.y(self.value(after))
        for x in range(left, right + 1):
            ends = [
                start + (end - start) * (at - left) // max(1, right - left)
                for at in (x, min(x + 1, right))
            ]
            high, low = (min(start, end), max(start, end)) if left == right else sorted(ends)
            if below is not None:
                self.sheet.fill(x, self.top, 1, high - self.top, below)
            self.sheet.fill(x, high - 1, _STROKE, low - high + _STROKE, colour)


def png(curve: Curve, title: str) -> bytes:
    """Returns the picture as a file."""
    sheet = _Sheet()
    low, high = curve.levels
    equity = _Panel(curve, sheet, _TOP, _EQUITY, low, high, lambda point: point.level)
    deepest = min(curve.deepest, -1e-6)
    lower = _TOP + _EQUITY + _BETWEEN
    drawdown = _Panel(curve, sheet, lower, _DRAWDOWN, deepest, 0.0, lambda point: point.below)
    sheet.write(title, _LEFT, 18, _INK)
    sheet.write("growth of 1, less 1", _LEFT, _TOP - 34, _DIM)
    sheet.write("below the highest point so far", _LEFT, lower - 34, _DIM)
    drawdown.lines(_FALL, _BELOW)
    equity.rules(1.0, [1 + each for each in steps(low - 1, high - 1, 6)])
    drawdown.rules(0.0, steps(deepest, 0.0, 3))
    equity.gaps()
    drawdown.gaps()
    equity.lines(_LINE)
    drawdown.lines(_FALL)
    if curve.gaps:
        sheet.write("hatched: no return", _WIDTH - _RIGHT, 18, _HATCH, right=True)
    bottom = lower + _DRAWDOWN
    for time_ms, name in time_ticks(curve.start_ms, curve.end_ms, 9):
        x = equity.x(time_ms)
        sheet.fill(x, bottom, 2, 8, _DIM)
        width = len(name) * ADVANCE * _SCALE
        sheet.write(name, max(_LEFT, min(x - width // 2, _WIDTH - width - 8)), bottom + 16, _INK)
    return sheet.png()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
