"""A folder in memory for each test's rings, which must be empty again after it."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_MEMORY = "/dev/shm" if sys.platform == "linux" else None  # noqa: S108


@pytest.fixture(autouse=True)
def ring_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's rings are, also for the processes that it starts."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY, prefix="ring-test-") as folder:
        monkeypatch.setenv("STRONGROOM_RING_DIR", folder)
        yield Path(folder)
