"""Binance USD-M futures: fapi.binance.com; and dapi.binance.com, which lists nothing.

Paging: trades of one symbol within 7 days, 1,000 at a time, six months back, or from an id onwards;
income of all symbols, 1,000 at a time, three months back. The income list is also how a client
finds out which symbols were traded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from strongroom_host.venues.binance import (
    BinanceDesk,
    exact,
    filters,
    information,
    number,
    refused,
)
from strongroom_host.venues.errors import Refused
from strongroom_host.venues.history import Fill, Flow, History, Position
from strongroom_host.venues.limits import Meter
from strongroom_host.venues.market import HOUR_MS, MINUTE_MS, Instrument, Kind
from strongroom_host.venues.venue import Call, Handler, Reply, by_pair, text
from strongroom_host.venues.world import Account, World

__all__ = ["BinanceCoinM", "BinanceUsdM"]

_DAY_MS: Final = 24 * HOUR_MS
_WEEK_MS: Final = 7 * _DAY_MS
_TRADES_BACK_MS: Final = 183 * _DAY_MS
_INCOME_BACK_MS: Final = 90 * _DAY_MS
_ZERO: Final = Decimal(0)


class BinanceUsdM(BinanceDesk):
    """The USD-M futures wallet of an account, with the same keys as spot."""

    hosts: tuple[str, ...] = ("fapi.binance.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        super().__init__(world, Meter(2_400, MINUTE_MS, limits))
        self._known = by_pair(world.market, Kind.LINEAR)
        self._names = {item.symbol: name for name, item in self._known.items()}
        self._ledgers: dict[str, list[Flow]] = {}

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            ("GET", "/fapi/v1/time", self._time),
            ("GET", "/fapi/v1/exchangeInfo", self._exchange_info),
            ("GET", "/fapi/v1/klines", self._klines),
            ("GET", "/fapi/v1/markPriceKlines", self._klines),
            ("GET", "/fapi/v1/userTrades", self._user_trades),
            ("GET", "/fapi/v1/income", self._income),
            ("GET", "/fapi/v3/account", self._account),
            ("GET", "/fapi/v3/positionRisk", self._position_risk),
            ("GET", "/fapi/v1/leverageBracket", self._brackets),
        ]

    def _time(self, call: Call) -> object:
        return Reply({"serverTime": call.now_ms}, self.weigh(call, 1))

    def _exchange_info(self, call: Call) -> object:
        used = self.weigh(call, 1)
        symbols: list[dict[str, object]] = [
            {
                "symbol": name,
                "pair": name,
                "contractType": "PERPETUAL",
                "deliveryDate": 4_133_404_800_000,
                "onboardDate": instrument.listed_ms,
                "status": "TRADING" if instrument.trading(call.now_ms) else "SETTLING",
                "baseAsset": instrument.base,
                "quoteAsset": instrument.quote,
                "marginAsset": instrument.settle,
                "pricePrecision": 2,
                "quantityPrecision": 3,
                "baseAssetPrecision": 8,
                "quotePrecision": 8,
                "underlyingType": "COIN",
                "filters": filters(instrument),
                "orderTypes": ["LIMIT", "MARKET"],
                "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            }
            for name, instrument in self._known.items()
            if instrument.listed_ms <= call.now_ms
        ]
        return Reply(information(call, self._meter.limit, symbols), used)

    def _klines(self, call: Call) -> object:
        rows, limit = self.klines(call, self._known, 1_500)
        weight = next(
            w for most, w in ((99, 1), (499, 2), (1_000, 5), (1_500, 10)) if limit <= most
        )
        return Reply(rows, self.weigh(call, weight))

    def _user_trades(self, call: Call) -> object:
        used = self.weigh(call, 5)
        account, given = self.signer(call)
        instrument = self.instrument(given, self._known)
        limit = number(given, "limit", 500)
        if not 1 <= limit <= 1_000:
            raise refused(-1130, "Data sent for parameter 'limit' is not valid.")
        timed = "startTime" in given or "endTime" in given
        if "fromId" in given and timed:
            raise refused(-1128, "Combination of optional parameters invalid.")
        oldest = call.now_ms - _TRADES_BACK_MS
        if "fromId" in given:
            first = number(given, "fromId", 0)
            all_ = account.history.trades(oldest, call.now_ms, symbol=instrument.symbol)
            found = [fill for fill in all_ if int(fill.id) >= first][:limit]
        else:
            start, end = _window(call, number(given, "startTime", -1), number(given, "endTime", -1))
            found = account.history.trades(max(start, oldest), end, symbol=instrument.symbol)
            found = found[:limit] if "startTime" in given else found[-limit:]
        rows = call.rows(account, found)
        profit = {
            flow.id: flow.amount
            for flow in self._booked(account, oldest, call.now_ms)
            if flow.kind == "REALIZED_PNL"
        }
        name = given["symbol"]
        return Reply([_trade(fill, name, profit.get(fill.id, _ZERO)) for fill in rows], used)

    def _income(self, call: Call) -> object:
        used = self.weigh(call, 30)
        account, given = self.signer(call)
        limit = number(given, "limit", 100)
        if not 1 <= limit <= 1_000:
            raise refused(-1130, "Data sent for parameter 'limit' is not valid.")
        start, end = number(given, "startTime", -1), number(given, "endTime", call.now_ms)
        if start < 0:
            start = end - _WEEK_MS
        start = max(start, call.now_ms - _INCOME_BACK_MS)
        page = max(1, number(given, "page", 1))
        found = [
            flow
            for flow in self._booked(account, start, min(end, call.now_ms))
            if given.get("incomeType") in (None, flow.kind)
            and given.get("symbol") in (None, flow.symbol)
        ]
        rows = call.rows(account, found[(page - 1) * limit : page * limit])
        content = [
            {
                "symbol": flow.symbol,
                "incomeType": flow.kind,
                "income": text(flow.amount),
                "asset": flow.asset,
                "time": flow.time_ms,
                "info": flow.id if flow.kind in ("COMMISSION", "REALIZED_PNL") else flow.kind,
                "tranId": int(flow.id),
                "tradeId": flow.id if flow.kind in ("COMMISSION", "REALIZED_PNL") else "",
            }
            for flow in rows
        ]
        return Reply(content, used)

    def _booked(self, account: Account, start: int, end: int) -> list[Flow]:
        """What changed the futures wallet, oldest first, under Binance's own types."""
        booked = self._ledgers.get(account.name)
        if booked is None:
            booked = self._ledgers[account.name] = self._book(account.history)
        return [flow for flow in booked if start <= flow.time_ms <= end]

    def _book(self, history: History) -> list[Flow]:
        booked = [
            replace(flow, kind="FUNDING_FEE", symbol=self._names[flow.symbol])
            for flow in history.flows
            if flow.kind == "FUNDING"
        ]
        for move in history.moves:
            if "linear" in (move.source, move.target):
                amount = move.amount if move.target == "linear" else -move.amount
                booked.append(Flow(move.time_ms, move.id, move.asset, amount, "TRANSFER", "linear"))
        held: dict[str, Position] = {}
        for fill in history.fills:
            if fill.instrument.kind is not Kind.LINEAR:
                continue
            symbol = fill.instrument.symbol
            position = held.get(symbol, Position(fill.instrument))
            held[symbol], profit = position.filled(fill)
            name, asset = self._names[symbol], fill.instrument.settle
            for kind, amount in (("COMMISSION", -fill.fee), ("REALIZED_PNL", round(profit, 8))):
                if amount:
                    booked.append(
                        Flow(fill.time_ms, fill.id, asset, amount, kind, "linear", symbol=name)
                    )
        return sorted(booked, key=lambda flow: flow.time_ms)

    def _account(self, call: Call) -> object:
        used = self.weigh(call, 5)
        account, _ = self.signer(call)
        held = account.history.balances("linear", call.now_ms)
        profit = self._unrealised(account, call.now_ms)
        assets = [
            {
                "asset": asset,
                "walletBalance": exact(amount),
                "unrealizedProfit": exact(profit.get(asset, _ZERO)),
                "marginBalance": exact(amount + profit.get(asset, _ZERO)),
                "maintMargin": "0.00000000",
                "initialMargin": "0.00000000",
                "positionInitialMargin": "0.00000000",
                "openOrderInitialMargin": "0.00000000",
                "crossWalletBalance": exact(amount),
                "crossUnPnl": exact(profit.get(asset, _ZERO)),
                "availableBalance": exact(amount),
                "maxWithdrawAmount": exact(amount),
                "updateTime": call.now_ms,
            }
            for asset, amount in sorted(held.items())
        ]
        positions = [
            self._position(instrument, position, call.now_ms)
            for instrument, position in account.history.positions(call.now_ms).items()
        ]
        return Reply({"assets": assets, "positions": positions}, used)

    def _position_risk(self, call: Call) -> object:
        used = self.weigh(call, 5)
        account, given = self.signer(call)
        found = [
            self._position(instrument, position, call.now_ms)
            for instrument, position in account.history.positions(call.now_ms).items()
            if given.get("symbol") in (None, self._names[instrument.symbol])
        ]
        return Reply(found, used)

    def _brackets(self, call: Call) -> object:
        used = self.weigh(call, 1)
        self.signer(call)
        brackets = [
            {
                "bracket": 1,
                "initialLeverage": 20,
                "notionalCap": 50_000_000,
                "notionalFloor": 0,
                "maintMarginRatio": 0.01,
                "cum": 0.0,
            }
        ]
        return Reply([{"symbol": name, "brackets": brackets} for name in self._known], used)

    def _unrealised(self, account: Account, now_ms: int) -> dict[str, Decimal]:
        profit: dict[str, Decimal] = {}
        for instrument, position in account.history.positions(now_ms).items():
            mark = self._world.market.price(instrument, now_ms)
            gain = profit.get(instrument.settle, _ZERO) + position.gain(mark)
            profit[instrument.settle] = gain
        return profit

    def _position(
        self, instrument: Instrument, position: Position, now_ms: int
    ) -> dict[str, object]:
        mark = self._world.market.price(instrument, now_ms)
        return {
            "symbol": self._names[instrument.symbol],
            "positionSide": "BOTH",
            "positionAmt": text(position.quantity),
            "entryPrice": text(position.entry),
            "breakEvenPrice": text(position.entry),
            "markPrice": text(mark),
            "unRealizedProfit": exact(position.gain(mark)),
            "unrealizedProfit": exact(position.gain(mark)),
            "liquidationPrice": "0",
            "isolatedMargin": "0",
            "isolatedWallet": "0",
            "notional": exact(position.quantity * mark),
            "marginAsset": instrument.settle,
            "initialMargin": exact(abs(position.quantity * mark) / 20),
            "maintMargin": exact(abs(position.quantity * mark) / 100),
            "positionInitialMargin": exact(abs(position.quantity * mark) / 20),
            "openOrderInitialMargin": "0",
            "adl": 1,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": now_ms,
        }


class BinanceCoinM(BinanceDesk):
    """COIN-M futures without a single contract: clients list all of Binance's markets at once."""

    hosts: tuple[str, ...] = ("dapi.binance.com",)

    def __init__(self, world: World, *, limits: bool = True) -> None:
        super().__init__(world, Meter(2_400, MINUTE_MS, limits))

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [("GET", "/dapi/v1/exchangeInfo", self._exchange_info)]

    def _exchange_info(self, call: Call) -> object:
        return Reply(information(call, self._meter.limit, []), self.weigh(call, 1))


def _window(call: Call, start: int, end: int) -> tuple[int, int]:
    if start < 0 and end < 0:
        start, end = call.now_ms - _WEEK_MS, call.now_ms
    elif end < 0:
        end = start + _WEEK_MS
    elif start < 0:
        start = end - _WEEK_MS
    if end - start > _WEEK_MS:
        raise _interval()
    return start, min(end, call.now_ms)


def _interval() -> Refused:
    return refused(-4165, "Invalid time interval, the time between must not exceed 7 days.")


def _trade(fill: Fill, symbol: str, profit: Decimal) -> dict[str, object]:
    return {
        "symbol": symbol,
        "id": int(fill.id),
        "orderId": int(fill.order_id),
        "side": "BUY" if fill.side > 0 else "SELL",
        "price": text(fill.price),
        "qty": text(fill.amount),
        "realizedPnl": text(profit),
        "quoteQty": text(fill.cost),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "positionSide": "BOTH",
        "buyer": fill.side > 0,
        "maker": fill.maker,
    }
