"""Events and markets that contradict themselves are refused; all others have one order."""

from decimal import Decimal
from random import Random

import pytest
from msgspec.structs import replace
from strongroom_enclave.record.errors import EventDoubled, EventInvalid, MarketInvalid
from strongroom_enclave.record.events import (
    Event,
    Flow,
    FlowKind,
    Kind,
    Market,
    Side,
    Trade,
    canonical,
)
from strongroom_enclave.record.returns import Flag, Mark

ONE = Decimal(1)
TRADE = Trade(5, "7", "BTC/USDT", Side.BUY, ONE, Decimal(100), Decimal("0.1"), "BNB")
FLOW = Flow(5, "7", "BTC", ONE, FlowKind.TRANSFER)
NAN, HUGE, FINE = Decimal("NaN"), Decimal("1e30"), Decimal("1e-31")


@pytest.mark.parametrize(
    "change",
    [
        {"time_ms": -1},
        {"id": ""},
        {"amount": Decimal(0)},
        {"amount": -ONE},
        {"price": -ONE},
        {"fee_asset": ""},
        *({field: bad} for field in ("amount", "price", "fee") for bad in (NAN, HUGE, FINE)),
    ],
)
def test_bad_trades(change: dict[str, object]) -> None:
    with pytest.raises(EventInvalid):
        replace(TRADE, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"time_ms": -1},
        {"id": ""},
        {"asset": ""},
        {"kind": FlowKind.WITHDRAWAL},
        {"kind": FlowKind.DEPOSIT, "amount": -ONE},
        {"amount": NAN},
        {"amount": HUGE},
        {"amount": FINE},
    ],
)
def test_bad_flows(change: dict[str, object]) -> None:
    with pytest.raises(EventInvalid):
        replace(FLOW, **change)


@pytest.mark.parametrize("change", [{"price": -ONE}, {"price": NAN}, {"age_ms": -1}])
def test_bad_marks(change: dict[str, object]) -> None:
    with pytest.raises(EventInvalid):
        replace(Mark(ONE, "candle"), **change)


def test_what_is_allowed() -> None:
    replace(TRADE, fee=-ONE)  # a maker's rebate
    replace(TRADE, fee=Decimal(0), fee_asset="")
    replace(TRADE, price=Decimal(0))
    replace(FLOW, amount=-ONE)
    replace(FLOW, kind=FlowKind.FEE, amount=-ONE)
    replace(FLOW, kind=FlowKind.DEPOSIT)
    replace(FLOW, kind=FlowKind.WITHDRAWAL, amount=-ONE)


@pytest.mark.parametrize(
    ("kind", "settle", "size"),
    [
        (Kind.SPOT, "BTC", "1"),
        (Kind.SPOT, "USDT", "2"),
        (Kind.LINEAR, "BTC", "1"),
        (Kind.LINEAR, "USDC", "1"),
        (Kind.INVERSE, "USDT", "1"),
        (Kind.LINEAR, "USDT", "0"),
        (Kind.LINEAR, "USDT", "-1"),
        (Kind.LINEAR, "USDT", "NaN"),
    ],
)
def test_bad_markets(kind: Kind, settle: str, size: str) -> None:
    with pytest.raises((MarketInvalid, EventInvalid)):
        Market("X", "BTC", "USDT", settle, kind, Decimal(size))


def test_a_market_has_a_name_and_two_assets() -> None:
    for symbol, base in (("", "BTC"), ("X", "USDT")):
        with pytest.raises(MarketInvalid):
            Market(symbol, base, "USDT", "USDT", Kind.LINEAR)


def test_the_canonical_order() -> None:
    expected: list[Event] = [
        replace(TRADE, time_ms=4, id="99"),
        replace(FLOW, asset="ADA", id="4"),
        replace(FLOW, kind=FlowKind.DEPOSIT, id="8"),
        replace(FLOW, id="9"),
        replace(FLOW, id="10"),
        replace(FLOW, kind=FlowKind.OPENING, id="1"),
        replace(FLOW, kind=FlowKind.FUNDING, asset="AAA", id="1"),
        replace(FLOW, kind=FlowKind.REBATE, id="1"),
        replace(TRADE, symbol="ADA/USDT", id="100"),
        replace(TRADE, id="9"),
        replace(TRADE, id="10"),
        replace(TRADE, id="11"),
        replace(TRADE, id="1b"),
        replace(FLOW, time_ms=6, id="0"),
    ]
    shuffled = expected[:]
    Random(1).shuffle(shuffled)  # noqa: S311
    assert canonical(shuffled) == expected


@pytest.mark.parametrize("later", [5, 6])
def test_one_id_twice_is_an_error_whatever_its_time(later: int) -> None:
    for event in (TRADE, FLOW):
        with pytest.raises(EventDoubled) as caught:
            canonical([TRADE, FLOW, replace(event, time_ms=later)])
        assert caught.value.actual == "7"
    # The same id of another symbol, asset or kind is another event.
    canonical([TRADE, replace(TRADE, symbol="ETH/USDT"), FLOW, replace(FLOW, asset="ETH")])
    canonical([FLOW, replace(FLOW, kind=FlowKind.FEE), replace(FLOW, asset="BTC/USDT"), TRADE])


def test_numbers_that_are_stored_and_signed_never_change() -> None:
    assert {flag.name: flag.value for flag in Flag} == {
        "NO_EQUITY": 1,
        "NEGATIVE_EQUITY": 2,
        "MISSING_MARK": 4,
        "GAP": 8,
        "UNEXPLAINED": 16,
        "IDLE": 32,
        "STALE_MARK": 64,
    }
    flows = "DEPOSIT WITHDRAWAL TRANSFER OPENING FUNDING INTEREST DIVIDEND FEE REBATE"
    assert {kind.name: kind.value for kind in FlowKind} == {
        name: number for number, name in enumerate(flows.split())
    }
    assert {kind.name: kind.value for kind in Kind} == {"SPOT": 0, "LINEAR": 1, "INVERSE": 2}
    assert {side.name: side.value for side in Side} == {"SELL": -1, "BUY": 1}
    assert Mark(ONE, "candle").age_ms == 0
    assert Trade(5, "7", "BTC/USDT", Side.BUY, ONE, ONE).fee == 0
