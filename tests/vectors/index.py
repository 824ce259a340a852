"""Which recorded cases exist, and which of them a test run has covered.

A test reports each case it checked through the `record_vector_case` fixture. At the end of a whole
run the reports of all xdist workers meet in the controller, which compares them with the index.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["REQUIRED", "ROOT", "VECTORS", "absence", "indexed_cases", "uncovered"]

ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("STRONGROOM_VECTORS") or ROOT.parent / "shared" / "vectors")
REQUIRED = os.environ.get("STRONGROOM_REQUIRE_VECTORS") == "1"

_POLYMARKET_SECTIONS = (
    "typeHashes", "domains", "orders", "sessionKey", "amounts", "l1", "l2", "hmac",
)  # fmt: skip


def absence(folder: Path = VECTORS) -> str | None:
    """Return why the recorded cases cannot be read, or None when they can."""
    if folder.is_dir():
        return None
    return f"no recorded vectors at {folder}; set STRONGROOM_VECTORS to their folder"


def indexed_cases(folder: Path = VECTORS) -> dict[str, int]:
    """Return how many cases each family's index lists; empty without the folder."""
    if absence(folder):
        return {}
    nitro = json.loads((folder / "nitro" / "index.json").read_bytes())
    polymarket = json.loads((folder / "polymarket" / "vectors.json").read_bytes())
    counts = {f"polymarket/{name}": len(polymarket[name]) for name in _POLYMARKET_SECTIONS}
    trades = json.loads((folder / "exchanges" / "ccxt_recorded_mytrades.json").read_bytes())
    counts["exchanges/trades"] = len(trades.keys() - {"source"})
    return {"nitro": len(nitro), **counts}


def uncovered(
    indexed: dict[str, int], covered: Iterable[tuple[str, str]]
) -> dict[str, tuple[int, int]]:
    """Return the families of which fewer distinct cases ran than are indexed: (ran, indexed)."""
    seen = set(covered)
    ran = {family: sum(name == family for name, _ in seen) for family in indexed}
    return {name: (ran[name], total) for name, total in indexed.items() if ran[name] < total}
