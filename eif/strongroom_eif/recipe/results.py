"""Where a built part is kept: in the cache, or under a folder of the caller's who wants it anew.

An auditor builds everything twice and compares; neither build may lean on the cache, nor may it
change what others take from there.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from strongroom_eif.recipe.machine import writing
from strongroom_eif.recipe.store import Store

__all__ = ["Results"]


@dataclass(frozen=True, slots=True)
class Results:
    """How the parts of one build are to be kept.

    Attributes:
        store: Inputs, and results of earlier builds.
        fresh: Whether to make parts that the store has already.
        work: With `fresh`, gets the parts instead of the store. Left out, they replace the
            store's.
    """

    store: Store
    fresh: bool = False
    work: Path | None = None

    def make(self, kind: str, key: str, build: Callable[[Path], None]) -> Path:
        """Returns the folder of a part, filled by `build` if need be.

        Args:
            kind: What it is.
            key: A hash of everything that goes in.
            build: Fills the new, empty folder it is given.
        """
        if not self.fresh or self.work is None:
            return self.store.built(kind, key, build, fresh=self.fresh)
        place = self.work / f"{kind}-{key[:16]}"
        with writing(place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            build(place)
        return place

    def scratch(self) -> Path:
        """Returns a folder on the file system that the parts go to, for temporary files."""
        folder = self.store.cache / "work" if self.work is None else self.work / "scratch"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
