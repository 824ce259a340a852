"""How Bybit V5 writes its rows: instruments, executions, money that moved, positions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from strongroom_host.venues.history import Fill, Flow, Move, Position
from strongroom_host.venues.market import Instrument, Kind
from strongroom_host.venues.venue import text

__all__ = [
    "LOG_TYPES",
    "deposit",
    "execution",
    "funding",
    "held_position",
    "listing",
    "log_row",
    "transfer",
    "withdrawal",
]

# What the transaction log calls a kind of flow, where it has a name of its own.
LOG_TYPES: Final = {"FUNDING": "SETTLEMENT"}


def listing(name: str, instrument: Instrument) -> dict[str, object]:
    """An instrument of the list."""
    spot = instrument.kind is Kind.SPOT
    lots: dict[str, str] = (
        {"basePrecision": text(instrument.step), "quotePrecision": "0.00000001"}
        if spot
        else {"qtyStep": text(instrument.step)}
    )
    return {
        "symbol": name,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "status": "Trading",
        "innovation": "0",
        "marginTrading": "none",
        "lotSizeFilter": {
            **lots,
            "minOrderQty": text(instrument.step),
            "maxOrderQty": "1000000",
            "minOrderAmt": "1",
        },
        "priceFilter": {"tickSize": text(instrument.tick)},
        **(
            {}
            if spot
            else {
                "contractType": "LinearPerpetual"
                if instrument.kind is Kind.LINEAR
                else "InversePerpetual",
                "settleCoin": instrument.settle,
                "launchTime": str(instrument.listed_ms),
                "deliveryTime": "0",
                "leverageFilter": {"minLeverage": "1", "maxLeverage": "100"},
                "fundingInterval": 480,
            }
        ),
    }


def execution(fill: Fill, names: Mapping[str, str]) -> dict[str, object]:
    """A trade of the execution list."""
    return {
        "symbol": names[fill.instrument.symbol],
        "orderId": fill.order_id,
        "orderLinkId": "",
        "side": "Buy" if fill.side > 0 else "Sell",
        "orderPrice": text(fill.price),
        "orderQty": text(fill.amount),
        "leavesQty": "0",
        "orderType": "Limit" if fill.maker else "Market",
        "execFee": text(fill.fee),
        "execId": fill.id,
        "execPrice": text(fill.price),
        "execQty": text(fill.amount),
        "execType": "Trade",
        # Spot executions have none, which is how clients tell the two apart.
        **({} if fill.instrument.kind is Kind.SPOT else {"createType": "CreateByUser"}),
        "execValue": text(fill.cost),
        "execTime": str(fill.time_ms),
        "feeCurrency": fill.fee_asset if fill.instrument.kind is Kind.SPOT else "",
        "isMaker": fill.maker,
        "feeRate": "0.001",
        "closedSize": "0",
        "seq": fill.time_ms,
    }


def funding(flow: Flow, names: Mapping[str, str]) -> dict[str, object]:
    """A funding payment of the execution list."""
    return {
        "symbol": names[flow.symbol],
        "orderId": flow.id,
        "orderLinkId": "",
        "side": "Buy" if flow.held > 0 else "Sell",
        "orderType": "UNKNOWN",
        # Paid is positive here, as every fee is; a balance changes by the negative of it.
        "execFee": text(-flow.amount),
        "execId": flow.id,
        "execPrice": "0",
        "execQty": text(abs(flow.held)),
        "execType": "Funding",
        "createType": "",
        "execValue": "0",
        "execTime": str(flow.time_ms),
        "feeCurrency": "",
        "isMaker": False,
        "feeRate": "0.0001",
        "closedSize": "0",
        "seq": flow.time_ms,
    }


def deposit(flow: Flow) -> dict[str, object]:
    """A deposit that arrived."""
    return {
        "id": flow.id,
        "coin": flow.asset,
        "chain": "ETH",
        "amount": text(flow.amount),
        "txID": "0x" + flow.id.replace("-", "") * 2,
        "status": 3,
        "toAddress": "0x" + "ab" * 20,
        "tag": "",
        "depositFee": "",
        "successAt": str(flow.time_ms),
        "confirmations": "12",
        "txIndex": "0",
        "depositType": "0",
    }


def withdrawal(flow: Flow) -> dict[str, object]:
    """A withdrawal that left; its fee comes on top of its amount."""
    return {
        "withdrawId": flow.id,
        "coin": flow.asset,
        "chain": "ETH",
        "amount": text(-flow.amount - flow.fee),
        "withdrawFee": text(flow.fee),
        "txID": "0x" + flow.id.replace("-", "") * 2,
        "status": "success",
        "toAddress": "0x" + "cd" * 20,
        "tag": "",
        "withdrawType": 0,
        "createTime": str(flow.time_ms),
        "updateTime": str(flow.time_ms),
    }


def transfer(move: Move) -> dict[str, object]:
    """A transfer between two wallets."""
    return {
        "transferId": move.id,
        "coin": move.asset,
        "amount": text(move.amount),
        "fromAccountType": move.source,
        "toAccountType": move.target,
        "timestamp": str(move.time_ms),
        "status": "SUCCESS",
    }


def held_position(name: str, position: Position, mark: Decimal, now_ms: int) -> dict[str, object]:
    """An open position."""
    return {
        "symbol": name,
        "positionIdx": 0,
        "side": "Buy" if position.quantity > 0 else "Sell",
        "size": text(abs(position.quantity)),
        "avgPrice": text(position.entry),
        "positionValue": text(abs(position.cost)),
        "leverage": "10",
        "markPrice": text(mark),
        "liqPrice": "",
        "positionIM": text(round(abs(position.cost) / 10, 8)),
        "positionMM": text(round(abs(position.cost) / 100, 8)),
        "positionBalance": "0",
        "unrealisedPnl": text(round(position.gain(mark), 8)),
        "curRealisedPnl": "0",
        "createdTime": str(now_ms),
        "updatedTime": str(now_ms),
        "positionStatus": "Normal",
    }


def log_row(event: Flow, names: Mapping[str, str]) -> dict[str, object]:
    """A row of the transaction log."""
    return {
        "id": f"{event.id}_{names.get(event.symbol, '')}",
        "symbol": names.get(event.symbol, ""),
        "category": "linear",
        "transactionTime": str(event.time_ms),
        "type": LOG_TYPES.get(event.kind, event.kind),
        "currency": event.asset,
        "change": text(event.amount),
        "fee": text(event.fee),
        "funding": text(event.amount) if event.kind == "FUNDING" else "",
        "tradeId": event.id if event.kind == "TRADE" else "",
    }
