"""A folder for sockets."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets, which pytest's own may not."""
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)
