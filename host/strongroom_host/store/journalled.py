"""What journals say of orders, read beside the desk that is writing them: nothing is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from strongroom_host.store.journal import JournalBroken
from strongroom_host.store.states import OrderState

__all__ = ["journalled"]


def journalled(paths: Iterable[Path]) -> dict[bytes, OrderState]:
    """The state of every order in these journals, by its hash.

    Unlike `Journal`, this neither locks nor recovers: an order that is being sent just now is
    `SENT`.

    Raises:
        JournalBroken: one of them cannot be read.
    """
    found: dict[bytes, OrderState] = {}
    for path in paths:
        try:
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                rows = database.execute("SELECT order_hash, state FROM orders").fetchall()
            finally:
                database.close()
            found.update((bytes(order_hash), OrderState(state)) for order_hash, state in rows)
        except (sqlite3.Error, ValueError) as error:
            raise JournalBroken(f"cannot read the journal {path}", actual=error) from error
    return found
