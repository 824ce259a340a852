"""The recorded Nitro documents of `STRONGROOM_VECTORS` (default: ../shared/vectors).

The data is not part of the repository. Without it the tests that need it are skipped and say so;
with STRONGROOM_REQUIRE_VECTORS=1 (CI) they fail instead.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["ARCHIVE", "CASES", "MINIMUM_CASES", "Case", "case", "needs_vectors", "required", "vectors_root"]

MINIMUM_CASES = 18
"""How many documents the index held when these tests were written; more is fine, fewer is not."""


def vectors_root() -> Path:
    """Returns the folder of recorded data, whether or not it exists."""
    default = Path(__file__).resolve().parents[2].parent / "shared" / "vectors"
    return Path(os.environ.get("STRONGROOM_VECTORS") or default)


ARCHIVE = vectors_root() / "nitro"


def required() -> bool:
    """Whether missing vectors are a failure."""
    return os.environ.get("STRONGROOM_REQUIRE_VECTORS") == "1"


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
    index = ARCHIVE / "index.json"
    if not index.is_file():
        return []
    return [Case(entry["file"], entry) for entry in json.loads(index.read_text())]


CASES = _load()

needs_vectors = pytest.mark.skipif(
    not CASES and not required(),
    reason=f"no recorded documents at {ARCHIVE}: set STRONGROOM_VECTORS to the folder of vectors",
)


def case(*, kind: str) -> Case:
    """Returns the smallest recorded production document whose payload map is of this kind."""
    fitting = [
        c
        for c in CASES
        if c.entry["payload_map"].startswith(kind)
        and c.expects("accept_in_production_at_document_time")
    ]
    if not fitting:
        pytest.fail(f"no recorded production document with a map of {kind} length at {ARCHIVE}")
    return min(fitting, key=lambda c: int(c.entry["size"]))
