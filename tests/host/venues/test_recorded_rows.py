"""Rows have the fields that recorded ones of the real venues have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from strongroom_host.venues.ibkr_flex import _execution, _transaction

from tests.host.venues.conftest import Site


def _recorded(vectors: Path, name: str) -> Any:
    return json.loads((vectors / "exchanges" / name).read_text())


def test_mexc_and_coinbase_trades_have_the_recorded_fields(site: Site, vectors: Path) -> None:
    recorded = _recorded(vectors, "ccxt_recorded_mytrades.json")
    [mexc] = site.client("mexc").spotPrivateGetMyTrades({"symbol": "BTCUSDT", "limit": 1})
    assert set(mexc) == set(recorded["mexc"][0])
    exchange = site.client("coinbase")
    [fill] = exchange.v3PrivateGetBrokerageOrdersHistoricalFills({"limit": 1})["fills"]
    fields = set(recorded["coinbase_spot"]["fills"][0]) - {"cursor"}
    assert fields <= set(fill)


@pytest.mark.parametrize(
    ("kind", "case"),
    [("trade", "TradeTestCase"), ("cash", "CashTransactionTestCase")],
)
def test_flex_rows_have_fields_of_recorded_ones(
    site: Site, vectors: Path, kind: str, case: str
) -> None:
    account = site.account("ibkr")
    written = (
        _execution(account, account.history.fills[0])
        if kind == "trade"
        else _transaction(account, account.history.flows[0])
    )
    [sample, *_] = _recorded(vectors, "ibflex_samples.json")[case]
    known = set(ElementTree.fromstring(sample).attrib)  # noqa: S314
    # Fields of a newer version of the service, in today's guides but not in the old samples.
    known |= {"dateTime", "ibExecID", "levelOfDetail"}
    assert set(ElementTree.fromstring(written).attrib) <= known  # noqa: S314
