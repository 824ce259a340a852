"""The recurrent network, in integers: the same output on every machine and every runtime.

A gated recurrent unit, whose numbers are small multiples of powers of two and whose sigmoid and
hyperbolic tangent are straight lines with ends. Each sum stays below 2^24 of its unit, so float32
holds it exactly, whatever the order of adding, fused or not. So onnxruntime, torch on a CPU or a
GPU and the integers below cannot differ, and neither can the decisions. `Network` proves the bounds
for its very weights.

Units: features 1/128, hidden state and candidate 1/1024, gates 1/128, weights 1/64, score 1/128.
With features x, state h and rounding to nearest, halves up (`//` is exact below):

    gate g    = clip((8 x·Wg + h·Ug + bg) / 2^11 + 64, 0, 128)          for reset r and update z
    memory m  = clip((h·Um + bm) / 2^6, -8192, 8192)
    new n     = clip((16 x·Wn + r m + bn) / 2^7, -1024, 1024)
    state h'  = n + z (h - n) / 2^7
    score     = clip((h'·V + c) / 2^9, -1024, 1024)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.strategy.errors import ModelUnfit
from strongroom_host.strategy.features import HIGHEST

__all__ = ["HIGHEST_HIDDEN", "HIGHEST_WEIGHT", "Matrix", "Network", "Vector"]

Vector = tuple[int, ...]
Matrix = tuple[Vector, ...]

HIGHEST_WEIGHT: Final = 127
HIGHEST_HIDDEN: Final = 1024
_EXACT: Final = 1 << 24
_GATE: Final = 128
_MEMORY: Final = 8192


@dataclass(frozen=True, slots=True)
class Network:
    """Weights. Each matrix has one row per output.

    Attributes:
        gate_x, gate_h, gate_b: Of reset (first half) and update: 2H by F, 2H by H, 2H (1/2^16).
        memory_h, memory_b: H by H, H (1/2^16).
        new_x, new_b: H by F, H (1/2^17).
        score_h, score_b: H, and one (1/2^16).

    Raises:
        ModelUnfit: a shape or a bound does not hold.
    """

    gate_x: Matrix
    gate_h: Matrix
    gate_b: Vector
    memory_h: Matrix
    memory_b: Vector
    new_x: Matrix
    new_b: Vector
    score_h: Vector
    score_b: int

    def __post_init__(self) -> None:
        hidden, features = self.hidden, self.features
        for name, rows, height, width in (
            ("gate_x", self.gate_x, 2 * hidden, features),
            ("gate_h", self.gate_h, 2 * hidden, hidden),
            ("memory_h", self.memory_h, hidden, hidden),
            ("new_x", self.new_x, hidden, features),
            ("score_h", (self.score_h,), 1, hidden),
        ):
            if len(rows) != height or any(len(row) != width for row in rows):
                found = f"{len(rows)} rows of {sorted({len(row) for row in rows})}"
                raise ModelUnfit(
                    f"the model's {name} has another shape",
                    expected=f"{height} rows of {width}",
                    actual=found,
                )
            if any(abs(value) > HIGHEST_WEIGHT for row in rows for value in row):
                raise ModelUnfit(f"a weight of {name} is too large", expected=HIGHEST_WEIGHT)
        if (len(self.gate_b), len(self.memory_b), len(self.new_b)) != (2 * hidden, hidden, hidden):
            raise ModelUnfit("the model's biases have another shape", expected=f"{hidden} units")
        if (largest := self.largest()) >= _EXACT:
            raise ModelUnfit(
                "the model's sums can grow beyond what float32 holds exactly",
                expected=f"below {_EXACT}",
                actual=largest,
                remedy="train it with smaller weights or fewer units",
            )

    @property
    def hidden(self) -> int:
        """Units of state."""
        return len(self.memory_h)

    @property
    def features(self) -> int:
        """How many features it is shown."""
        return len(self.new_x[0]) if self.new_x else 0

    def largest(self) -> int:
        """Returns a bound of every sum in it, in its finest unit, partial sums included."""
        bounds = [0]
        for x, h, b in zip(self.gate_x, self.gate_h, self.gate_b, strict=True):
            bounds.append(8 * HIGHEST * _sum(x) + HIGHEST_HIDDEN * _sum(h) + abs(b) + (65 << 11))
        for h, b in zip(self.memory_h, self.memory_b, strict=True):
            bounds.append(HIGHEST_HIDDEN * _sum(h) + abs(b) + (1 << 6))
        for x, b in zip(self.new_x, self.new_b, strict=True):
            bounds.append(16 * HIGHEST * _sum(x) + _GATE * _MEMORY + abs(b) + (1 << 7))
        last = HIGHEST_HIDDEN * _sum(self.score_h) + abs(self.score_b) + (1 << 9)
        return max(*bounds, last)

    def step(self, features: Sequence[int], hidden: Sequence[int]) -> tuple[int, Vector]:
        """Returns score and next state: the reference, which every runtime equals."""
        units = self.hidden
        gates = [
            max(0, min(_GATE, (8 * _dot(x, features) + _dot(h, hidden) + b + (129 << 10)) >> 11))
            for x, h, b in zip(self.gate_x, self.gate_h, self.gate_b, strict=True)
        ]
        memory = [
            max(-_MEMORY, min(_MEMORY, (_dot(h, hidden) + b + 32) >> 6))
            for h, b in zip(self.memory_h, self.memory_b, strict=True)
        ]
        state = list[int]()
        for unit, (x, b) in enumerate(zip(self.new_x, self.new_b, strict=True)):
            new = (16 * _dot(x, features) + gates[unit] * memory[unit] + b + 64) >> 7
            new = max(-HIGHEST_HIDDEN, min(HIGHEST_HIDDEN, new))
            state.append(new + ((gates[units + unit] * (hidden[unit] - new) + 64) >> 7))
        score = (_dot(self.score_h, state) + self.score_b + 256) >> 9
        return max(-1024, min(1024, score)), tuple(state)


def _dot(row: Vector, values: Sequence[int]) -> int:
    return sum([a * b for a, b in zip(row, values, strict=True)])


def _sum(row: Vector) -> int:
    return sum(map(abs, row))
