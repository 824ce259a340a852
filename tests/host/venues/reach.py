"""How a client reaches the local venues: by their real names, through the house's own proxy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any

import ccxt
from strongroom_host.egress.proxy import EgressProxy
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.history import Fill

__all__ = ["Proxy", "amounts", "client", "fills", "flows"]


class Proxy:
    """An egress proxy in a thread; every venue's name leads to the local server."""

    def __init__(self, mapping: Mapping[str, tuple[str, int]]) -> None:
        self._proxy = EgressProxy([*mapping], tcp=("127.0.0.1", 0), mapping=mapping)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._proxy.start(), self._loop).result(10)
        host, port = self._proxy.tcp_address
        return f"http://{host}:{port}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def client(
    venue: str, login: Login, proxy: str, ca: str, wall: Callable[[], int], **options: Any
) -> Any:
    """The unmodified ccxt for a venue: real URLs, exact strings, our CA, our proxy, our clock."""
    exchange = getattr(ccxt, venue)(
        {
            "apiKey": login.key,
            "secret": login.secret,
            "password": login.passphrase,
            "enableRateLimit": False,
            "httpsProxy": proxy,
            "validateServerSsl": ca,
            "options": options,
        }
    )
    exchange.number = str
    exchange.milliseconds = wall
    exchange.seconds = lambda: wall() // 1_000
    return exchange


def fills(rows: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """ccxt's trades as what a record is made of, sorted; numbers from its exact strings."""
    return sorted(
        (
            row["timestamp"],
            row["id"],
            row["symbol"],
            1 if row["side"] == "buy" else -1,
            Decimal(row["amount"]),
            Decimal(row["price"]),
            Decimal(row["fee"]["cost"] or 0),
            row["fee"]["currency"] or "",
        )
        for row in rows
    )


def amounts(truth: Iterable[Fill]) -> list[tuple[Any, ...]]:
    """The truth in the same form."""
    return sorted(
        (
            fill.time_ms,
            fill.id,
            fill.instrument.symbol,
            fill.side,
            fill.amount,
            fill.price,
            fill.fee,
            fill.fee_asset if fill.fee else "",
        )
        for fill in truth
    )


def flows(rows: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """ccxt's deposits or withdrawals, sorted: time, id, asset, amount, fee."""
    return sorted(
        (
            row["timestamp"],
            row["id"],
            row["currency"],
            Decimal(row["amount"]),
            Decimal(row["fee"]["cost"]) if row["fee"] else Decimal(0),
        )
        for row in rows
    )
