"""A measurement of leakage as plain values, for JSON."""

from collections.abc import Sequence

from strongroom_host.leakage.reader import Leakage, Tally
from strongroom_host.leakage.words import LIMITS, findings

__all__ = ["plain_leakage"]

_ASSETS = 20


def plain_leakage(found: Sequence[Leakage]) -> dict[str, object]:
    """Returns all tallies and sentences. It names assets: as confidential as the positions are."""
    return {
        "tiers": [
            {
                "hours": each.view.hours,
                "grid": f"{each.view.grid}e-12",
                "name": each.view.name,
                "given": each.given,
                "one_position": [
                    {
                        "periods": reading.periods,
                        "seen": _tally(reading.seen),
                        "by_chance": _tally(reading.chance),
                    }
                    for reading in each.readings
                ],
                "several_positions": [
                    {
                        "periods": several.periods,
                        "windows": several.windows,
                        "explained": several.explained,
                        "by_chance": several.by_chance,
                        "median_positions": several.positions,
                    }
                    for several in each.portfolios
                ],
            }
            for each in found
        ],
        "findings": list(findings(found)),
        "limits": list(LIMITS),
    }


def _tally(tally: Tally) -> dict[str, object]:
    return {
        "windows": tally.windows,
        **{kind.name.lower(): count for kind, count in tally.found.items()},
        "size_error": tally.size_error,
        "assets": dict(tally.assets[:_ASSETS]),
    }
