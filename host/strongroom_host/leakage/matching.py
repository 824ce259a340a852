"""The attack: which asset's price moved as the account did, and how much of it was held.

An account that holds a quantity q of one asset, and otherwise nothing that moves, has over every
period `E' - E = q (P' - P)`. Over the first equity E0 and the first price P0 of a window, that is

    y = size · x,   y = (E' - E) / E0,   x = (P' - P) / P0,   size = q P0 / E0

y follows from the returns alone, so size, the share of equity in that asset, is all there is to
fit. Returns that were rounded leave y known within a bound, and so is size, without any statistics.

Floats: an estimate for people. Their error, below 1e-13 of equity, is part of every bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from operator import mul
from typing import Final

__all__ = ["Fit", "Moves", "Portfolio", "best_fits", "consistent", "moves", "portfolio"]

_SLACK: Final = 1e-13


@dataclass(frozen=True, slots=True)
class Moves:
    """How equity moved over a window, in parts of the equity at its start, and the bound to which
    each move is known."""

    values: tuple[float, ...]
    bounds: tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether nothing moved that could be told from rounding."""
        return all(abs(y) <= bound for y, bound in zip(self.values, self.bounds, strict=True))


def moves(returns: Sequence[float], half: float) -> Moves:
    """Returns the moves behind returns of which each is known to ± half."""
    level, off, values, bounds = 1.0, 0.0, list[float](), list[float]()
    for value in returns:
        values.append(level * value)
        # Both the return and the equity that it is of were rounded.
        bounds.append((level + off) * half + off * abs(value) + _SLACK)
        off = (level + off) * (1 + value + half) - level * (1 + value)
        level *= 1 + value
    return Moves(tuple(values), tuple(bounds))


@dataclass(frozen=True, slots=True)
class Fit:
    """One asset as the explanation of a window.

    Attributes:
        asset: Its name.
        size: Share of equity held in it at the start; below 0 is short. Within ± `error` of the
            truth if this is the asset, and its bound is known.
        error: Half the width of what the bounds leave possible, or one standard error.
        unexplained: The share of the squared moves that it leaves.
    """

    asset: str
    size: float
    error: float
    unexplained: float


def consistent(seen: Moves, assets: Mapping[str, Sequence[float]]) -> list[Fit]:
    """Returns the assets of which some size explains every move of the window within its bound.

    If one of them was held, and nothing else, it is among these: nothing here is a matter of
    chance. Sizes of 0 explain only what is flat.
    """
    found = list[Fit]()
    for asset, changes in assets.items():
        low, high = -inf, inf
        for y, bound, x in zip(seen.values, seen.bounds, changes, strict=True):
            if x > 0:
                low, high = max(low, (y - bound) / x), min(high, (y + bound) / x)
            elif x < 0:
                low, high = max(low, (y + bound) / x), min(high, (y - bound) / x)
            elif abs(y) > bound:
                low, high = inf, -inf
            if low > high:
                break
        else:
            if high < inf:
                size = (low + high) / 2
                found.append(Fit(asset, size, (high - low) / 2, _left(seen, changes, size)))
    return found


def best_fits(seen: Moves, assets: Mapping[str, Sequence[float]], count: int = 2) -> list[Fit]:
    """Returns the assets that leave least unexplained, best first, each with its least-squares size
    and that size's standard error. Names one whether or not any was held."""
    fits = list[Fit]()
    for asset, changes in assets.items():
        if power := _dot(changes, changes):
            size = _dot(seen.values, changes) / power
            left = _left(seen, changes, size)
            noise = left * _dot(seen.values, seen.values) / max(1, len(changes) - 1)
            fits.append(Fit(asset, size, sqrt(noise / power), left))
    return sorted(fits, key=lambda fit: fit.unexplained)[:count]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(map(mul, one, other), 0.0)


def _left(seen: Moves, changes: Sequence[float], size: float) -> float:
    rest = [y - size * x for y, x in zip(seen.values, changes, strict=True)]
    whole = _dot(seen.values, seen.values)
    return _dot(rest, rest) / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Assets and shares of equity that explain a window together.

    `unexplained` is the share of the squared moves that they leave in the window they were found
    in, `beyond` in what came after it and had no part in finding them (None without such).
    """

    sizes: dict[str, float]
    unexplained: float
    beyond: float | None


def portfolio(
    seen: Moves, assets: Mapping[str, Sequence[float]], most: int, held_out: int = 0
) -> Portfolio:
    """Returns up to `most` positions by orthogonal matching pursuit.

    Each step takes the asset that is most alike to what is still unexplained and fits all sizes
    anew; it stops where the rest is within the bounds. The last `held_out` moves are kept from it.
    """
    part = len(seen.values) - held_out
    target = list(seen.values[:part])
    bound = max(seen.bounds[:part], default=0.0)
    columns = {asset: changes[:part] for asset, changes in assets.items()}
    norms = {asset: sqrt(_dot(column, column)) for asset, column in columns.items()}
    chosen, basis, steps = list[str](), list[list[float]](), list[list[float]]()
    rest = target
    while len(chosen) < most and max(map(abs, rest), default=0.0) > bound:
        scores = {
            asset: abs(_dot(column, rest)) / norms[asset]
            for asset, column in columns.items()
            if norms[asset] and asset not in chosen
        }
        if not scores:
            break
        asset = max(scores, key=lambda name: scores[name])
        vector, step = _orthogonal(columns[asset], basis)
        length = sqrt(_dot(vector, vector))
        # What the chosen ones already span tells nothing more.
        if length <= 1e-9 * norms[asset]:
            break
        unit = [each / length for each in vector]
        chosen.append(asset)
        basis.append(unit)
        steps.append([*step, length])
        share = _dot(unit, rest)
        rest = [r - share * u for r, u in zip(rest, unit, strict=True)]
    sizes = dict(zip(chosen, _solved(steps, [_dot(unit, target) for unit in basis]), strict=True))
    whole = _dot(target, target)
    beyond = _beyond(seen, assets, sizes, part) if held_out else None
    return Portfolio(sizes, _dot(rest, rest) / whole if whole else 0.0, beyond)


def _orthogonal(
    column: Sequence[float], basis: Sequence[Sequence[float]]
) -> tuple[list[float], list[float]]:
    """Returns what of a column is new beside a basis of unit vectors, and its shares in those."""
    vector, shares = list(column), [0.0] * len(basis)
    # Twice: after one pass over nearly dependent columns, what is left is not quite orthogonal.
    for _ in range(2):
        for place, unit in enumerate(basis):
            share = _dot(unit, vector)
            shares[place] += share
            vector = [v - share * u for v, u in zip(vector, unit, strict=True)]
    return vector, shares


def _solved(steps: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Returns the solution of a triangular system: column j of the matrix is steps[j]."""
    solution = list(right)
    for column in range(len(steps) - 1, -1, -1):
        solution[column] /= steps[column][column]
        for row in range(column):
            solution[row] -= steps[column][row] * solution[column]
    return solution


def _beyond(
    seen: Moves, assets: Mapping[str, Sequence[float]], sizes: Mapping[str, float], part: int
) -> float | None:
    rest = list(seen.values[part:])
    whole = _dot(rest, rest)
    for asset, size in sizes.items():
        rest = [y - size * x for y, x in zip(rest, assets[asset][part:], strict=True)]
    return _dot(rest, rest) / whole if whole else None
