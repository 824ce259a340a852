"""Logs to archive, and the orders that archive them."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from strongroom_host.archive.export import Exported, Order, export
from strongroom_host.archive.store import DAY_MS, Store
from strongroom_host.log.boots import Boots
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog

from tests.host.log.boots_made import Kept, Running, manifest

__all__ = ["KEY", "NOW", "YEAR", "archived", "log_of", "order_for", "order_of"]

NOW = int(time.time() * 1000)
"""This moment in ms: the store's clock is a real one, so each test has its own (`conftest`)."""
YEAR = 366 * DAY_MS
KEY = bytes(range(32))


@cache
def _log_of(leaves: int) -> Kept:
    outcomes = [n % 3 != 0 for n in range(leaves - 2)]
    return Kept().start(Running(manifest())).decide(*outcomes).model()


def log_of(leaves: int) -> Kept:
    """Return a log of one boot; 600 leaves are segments of 512 and 88."""
    return _log_of(leaves).copy()


def order_for(kept: Kept, folder: Path, **changes: Any) -> Order:
    """Return the order to archive the log, which is put into the folder first."""
    return order_of(kept.store(folder), **changes)


def order_of(log: Path, **changes: Any) -> Order:
    """Return the order to archive the log in a folder."""
    found = Order(
        StoredLog(log), Boots(log), Openings(log), b"", YEAR, NOW, "auditor <a@example.org>"
    )
    return replace(found, **changes)


def archived(kept: Kept, folder: Path, store: Store, **changes: Any) -> Exported:
    """Archive the log."""
    return export(order_for(kept, folder, **changes), store)
