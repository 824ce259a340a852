"""What real venues once answered, read by the rules; nothing goes over a network here."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from strongroom_enclave.record.connectors.rules import Cursor, Page, Reason, Stream
from strongroom_enclave.record.events import Kind, Market, Trade

from tests.enclave.record_connectors.conftest import DAY_MS, Site

CASES = {
    "mexc": ("mexc", Stream("trades", "ATLAS/USDT"), 1707671871000),
    "coinbase_spot": ("coinbase", Stream("trades"), 1700993987504),
    "coinbase_swap": ("coinbase", Stream("trades"), 1712663150552),
}
LISTED = Market("ATLAS/USDT", "ATLAS", "USDT", "USDT", Kind.SPOT)
ADA = Market("ADA/USDT", "ADA", "USDT", "USDT", Kind.SPOT)


def answered(site: Site, venue: str, answer: Any, stream: Stream, time_ms: int) -> Page:
    """The page that a stream makes of one recorded answer, around the time of its row."""
    line = site.line(venue)
    line.skew_ms = time_ms + DAY_MS - site.now_ms
    for market in (LISTED, ADA):
        line.connector.markets[market.symbol] = market
        line.connector.ids[market.symbol] = market.symbol.replace("/", "")
    rest = iter([answer])
    nothing = [] if isinstance(answer, list) else {"fills": [], "cursor": ""}
    line.session.ask = lambda *_: next(rest, nothing)  # type: ignore[method-assign]
    return next(line.connector.pages(stream, Cursor(time_ms - 10), time_ms + 10))


@pytest.mark.parametrize("case", ["mexc", "coinbase_spot"])
def test_recorded_trades_are_read_to_the_last_digit(
    site: Site, vectors: Path, record_vector_case: Callable[[str, str], None], case: str
) -> None:
    recorded = json.loads((vectors / "exchanges" / "ccxt_recorded_mytrades.json").read_text())
    venue, stream, time_ms = CASES[case]
    page = answered(site, venue, recorded[case], stream, time_ms)
    assert page.gap is None
    [trade] = page.events
    assert isinstance(trade, Trade)
    row = recorded[case][0] if case == "mexc" else recorded[case]["fills"][0]
    assert (trade.time_ms, trade.side.name) == (time_ms, "SELL")
    assert trade.id == row.get("trade_id", row.get("id"))
    assert trade.amount == Decimal(row.get("size", row.get("qty")))
    assert (trade.price, trade.fee) == (Decimal(row["price"]), Decimal(row["commission"]))
    assert (trade.symbol, trade.fee_asset) == (
        "ATLAS/USDT" if venue == "mexc" else "ADA/USDT",
        "USDT",
    )
    record_vector_case("exchanges/trades", case)


def test_a_recorded_fill_of_a_contract_is_refused_by_name(
    site: Site, vectors: Path, record_vector_case: Callable[[str, str], None]
) -> None:
    """Coinbase tells perpetuals in the same list; what they settle in is told nowhere."""
    recorded = json.loads((vectors / "exchanges" / "ccxt_recorded_mytrades.json").read_text())
    venue, stream, time_ms = CASES["coinbase_swap"]
    page = answered(site, venue, recorded["coinbase_swap"], stream, time_ms)
    assert page.gap is Reason.UNKNOWN_MARKET
    record_vector_case("exchanges/trades", "coinbase_swap")
