"""The recorded Nitro documents of `STRONGROOM_VECTORS`, as test parameters.

Without the data the tests that need it are skipped and say so; where it is required
(STRONGROOM_REQUIRE_VECTORS=1) they fail instead.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.vectors.index import REQUIRED, VECTORS, absence

__all__ = ["ARCHIVE", "CASES", "MINIMUM_CASES", "Case", "each_case", "needs_vectors", "smallest"]

MINIMUM_CASES = 18
"""How many documents the index held when these tests were written; more is fine, fewer is not."""

ARCHIVE = VECTORS / "nitro"


@dataclass(frozen=True)
class Case:
    """One recorded document and what the index says about it."""

    name: str
    entry: dict[str, Any]

    @property
    def document(self) -> bytes:
        data = (ARCHIVE / self.name).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.entry["sha256"]:
            raise ValueError(f"{self.name} is not the file that the index describes")
        return data

    @property
    def pcrs(self) -> dict[int, bytes]:
        return {int(index): bytes.fromhex(value) for index, value in self.entry["pcrs"].items()}

    def expects(self, what: str) -> bool:
        return bool(self.entry["expect"][what])


def _load() -> list[Case]:
    if absence():
        return []
    index = json.loads((ARCHIVE / "index.json").read_bytes())
    return [Case(entry["file"], entry) for entry in index]


CASES = _load()

needs_vectors = pytest.mark.skipif(not CASES and not REQUIRED, reason=absence() or "no cases")
each_case = pytest.mark.parametrize("recorded", CASES, ids=lambda case: case.name)


def smallest(kind: str) -> Case:
    """Returns the smallest recorded production document whose payload map is of this kind."""
    fitting = [
        case
        for case in CASES
        if case.entry["payload_map"].startswith(kind)
        and case.expects("accept_in_production_at_document_time")
    ]
    if not fitting:
        pytest.fail(f"no recorded production document with a map of {kind} length at {ARCHIVE}")
    return min(fitting, key=lambda case: int(case.entry["size"]))
