"""Bitget V2 with separate spot and USDT-M accounts: api.bitget.com.

Paging: backwards by id (`idLessThan`), 100 at a time; spot trades of one symbol within 90 days and
90 days back, contract trades and bills within 7 and 30 days of each other, deposits, withdrawals
and transfers of one coin within 90. A client signs with a passphrase too. Limits are calls per
second and path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from strongroom_host.venues.bitget_desk import BitgetDesk, refused
from strongroom_host.venues.history import Fill, Flow, Move, Position
from strongroom_host.venues.market import Instrument, Kind
from strongroom_host.venues.venue import Call, Handler, text
from strongroom_host.venues.world import Account

__all__ = ["Bitget"]

_WALLETS: Final = {"spot": "spot", "linear": "usdt_futures"}


class Bitget(BitgetDesk):
    """A classic account: spot and USDT-M futures apart."""

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """The endpoints."""
        return [
            *self.market_routes(),
            ("GET", "/api/v3/account/settings", self._settings),
            ("GET", "/api/v2/spot/account/info", self._info),
            ("GET", "/api/v2/spot/account/assets", self._assets),
            ("GET", "/api/v2/spot/account/bills", self._spot_bills),
            ("GET", "/api/v2/spot/account/transferRecords", self._transfers),
            ("GET", "/api/v2/spot/wallet/deposit-records", self._deposits),
            ("GET", "/api/v2/spot/wallet/withdrawal-records", self._withdrawals),
            ("GET", "/api/v2/spot/trade/fills", self._spot_fills),
            ("GET", "/api/v2/mix/order/fills", self._mix_fills),
            ("GET", "/api/v2/mix/account/accounts", self._accounts),
            ("GET", "/api/v2/mix/account/bill", self._mix_bills),
            ("GET", "/api/v2/mix/position/all-position", self._positions),
        ]

    # ------------------------------------------------------------------------ account

    def _settings(self, call: Call) -> object:
        """A classic account has no unified settings, which is how clients tell."""
        self.signed(call)
        raise refused("40084", "You are in Classic Account mode", call.now_ms)

    def _info(self, call: Call) -> object:
        account, _ = self.signed(call)
        held = {"userId": str(account.number), "authorities": ["stor", "wtor"], "parentId": 1}
        return self.ok(call, held)

    def _assets(self, call: Call) -> object:
        account, given = self.signed(call)
        held = account.history.balances("spot", call.now_ms)
        rows = [
            {
                "coin": asset,
                "available": text(amount),
                "frozen": "0",
                "locked": "0",
                "limitAvailable": "0",
                "uTime": str(call.now_ms),
            }
            for asset, amount in sorted(held.items())
            if given.get("coin") in (None, asset)
        ]
        return self.ok(call, rows)

    def _accounts(self, call: Call) -> object:
        account, given = self.signed(call)
        self.need(call, given, "productType")
        history, market = account.history, self.world.market
        gain = sum(
            place.gain(market.price(item, call.now_ms))
            for item, place in history.positions(call.now_ms).items()
        )
        rows = [
            {
                "marginCoin": asset,
                "locked": "0",
                "available": text(amount),
                "maxTransferOut": text(amount),
                "accountEquity": text(round(amount + gain, 8)),
                "usdtEquity": text(round(amount + gain, 8)),
                "unrealizedPL": text(round(amount * 0 + gain, 8)),
                "crossedUnrealizedPL": text(round(amount * 0 + gain, 8)),
            }
            for asset, amount in sorted(history.balances("linear", call.now_ms).items())
        ]
        return self.ok(call, rows)

    def _positions(self, call: Call) -> object:
        account, given = self.signed(call)
        self.need(call, given, "productType")
        rows = [
            self._position(instrument, position, call.now_ms)
            for instrument, position in account.history.positions(call.now_ms).items()
        ]
        return self.ok(call, rows)

    def _position(
        self, instrument: Instrument, position: Position, now_ms: int
    ) -> dict[str, object]:
        mark = self.world.market.price(instrument, now_ms)
        return {
            "symbol": self.names[instrument.symbol],
            "marginCoin": instrument.settle,
            "holdSide": "long" if position.quantity > 0 else "short",
            "marginSize": text(round(abs(position.cost) / 10, 8)),
            "available": text(abs(position.quantity)),
            "locked": "0",
            "total": text(abs(position.quantity)),
            "leverage": "10",
            "achievedProfits": "0",
            "openPriceAvg": text(position.entry),
            "marginMode": "crossed",
            "posMode": "one_way_mode",
            "unrealizedPL": text(round(position.gain(mark), 8)),
            "liquidationPrice": "0",
            "keepMarginRate": "0.004",
            "markPrice": text(mark),
            "cTime": str(now_ms),
            "uTime": str(now_ms),
        }

    # ---------------------------------------------------------------------- movements

    def _deposits(self, call: Call) -> object:
        account, given = self.signed(call)
        page = self._money(call, account, given, "DEPOSIT")
        rows = [
            {
                "orderId": flow.id,
                "tradeId": f"0x{int(flow.id):064x}",
                "coin": flow.asset,
                "type": "deposit",
                "size": text(flow.amount),
                "status": "success",
                "toAddress": "0x" + "ab" * 20,
                "dest": "on_chain",
                "chain": "ERC20",
                "fromAddress": "0x" + "cd" * 20,
                "cTime": str(flow.time_ms),
                "uTime": str(flow.time_ms),
            }
            for flow in page
        ]
        return self.ok(call, rows)

    def _withdrawals(self, call: Call) -> object:
        account, given = self.signed(call)
        page = self._money(call, account, given, "WITHDRAWAL")
        rows = [
            {
                "orderId": flow.id,
                "tradeId": f"0x{int(flow.id):064x}",
                "coin": flow.asset,
                "dest": "on_chain",
                "type": "withdraw",
                # Here the size is all that left, the fee within it.
                "size": text(-flow.amount),
                "fee": text(-flow.fee),
                "status": "success",
                "toAddress": "0x" + "cd" * 20,
                "chain": "ERC20",
                "confirm": "12",
                "cTime": str(flow.time_ms),
                "uTime": str(flow.time_ms),
            }
            for flow in page
        ]
        return self.ok(call, rows)

    def _money(
        self, call: Call, account: Account, given: Mapping[str, str], kind: str
    ) -> list[Flow]:
        self.need(call, given, "startTime")
        self.need(call, given, "endTime")
        start, end = self.window(call, given, 90)
        found = [
            flow
            for flow in account.history.changes(start, end, kind)
            if given.get("coin") in (None, flow.asset)
        ]
        return call.rows(account, self.page(call, given, found, 100))

    def _transfers(self, call: Call) -> object:
        account, given = self.signed(call)
        coin = self.need(call, given, "coin")
        start, end = self.window(call, given, 90)
        found = [
            move
            for move in account.history.transfers(start, end)
            if move.asset == coin and given.get("fromType") in (None, "", _WALLETS.get(move.source))
        ]
        rows = [_transfer(move) for move in call.rows(account, self.page(call, given, found, 500))]
        return self.ok(call, rows)

    def _spot_bills(self, call: Call) -> object:
        """Everything that changed the spot wallet: how a client finds the coins it traded."""
        account, given = self.signed(call)
        start, end = self.window(call, given, 90)
        booked: list[Flow] = []
        for fill in account.history.trades(start, end, kind=Kind.SPOT):
            for asset, amount in (
                (fill.instrument.base, fill.side * fill.amount),
                (fill.instrument.quote, -fill.side * fill.cost),
            ):
                fee = fill.fee if fill.fee_asset == asset else fill.fee * 0
                kind = "BUY" if fill.side > 0 else "SELL"
                booked.append(Flow(fill.time_ms, fill.id, asset, amount, kind, "spot", fee))
        for move in account.history.transfers(start, end):
            inward = move.target == "spot"
            amount = move.amount if inward else -move.amount
            kind = "TRANSFER_IN" if inward else "TRANSFER_OUT"
            booked.append(Flow(move.time_ms, move.id, move.asset, amount, kind, "spot"))
        booked += account.history.changes(start, end, "DEPOSIT", "WITHDRAWAL")
        found = [flow for flow in booked if given.get("coin") in (None, flow.asset)]
        found.sort(key=lambda flow: int(flow.id))
        rows = [
            {
                "billId": flow.id,
                "coin": flow.asset,
                "groupType": "transaction" if flow.kind in ("BUY", "SELL") else "transfer",
                "businessType": flow.kind,
                "size": text(flow.amount),
                "balance": "0",
                "fees": text(-flow.fee),
                "cTime": str(flow.time_ms),
            }
            for flow in call.rows(account, self.page(call, given, found, 500))
        ]
        return self.ok(call, rows)

    def _mix_bills(self, call: Call) -> object:
        account, given = self.signed(call)
        self.need(call, given, "productType")
        start, end = self.window(call, given, 30)
        booked = [
            flow
            for flow in account.history.changes(start, end, "FUNDING")
            if given.get("symbol") in (None, self.names[flow.symbol])
            and given.get("businessType") in (None, "contract_settle_fee")
        ]
        rows = [
            {
                "billId": flow.id,
                "symbol": self.names[flow.symbol],
                "amount": text(flow.amount),
                "fee": "0",
                "feeByCoupon": "",
                "businessType": "contract_settle_fee",
                "coin": flow.asset,
                "balance": "0",
                "cTime": str(flow.time_ms),
            }
            for flow in call.rows(account, self.page(call, given, booked, 100))
        ]
        return self.ok(call, {"bills": rows, "endId": rows[-1]["billId"] if rows else ""})

    # ------------------------------------------------------------------------- trades

    def _spot_fills(self, call: Call) -> object:
        account, given = self.signed(call)
        instrument = self.instrument(call, given, self.spot)
        start, end = self.window(call, given, 90)
        found = account.history.trades(start, end, symbol=instrument.symbol)
        page = call.rows(account, self.page(call, given, found, 100))
        rows = [
            {
                "userId": str(account.number),
                "symbol": given["symbol"],
                "orderId": fill.order_id,
                "tradeId": fill.id,
                "orderType": "limit" if fill.maker else "market",
                "side": "buy" if fill.side > 0 else "sell",
                "priceAvg": text(fill.price),
                "size": text(fill.amount),
                "amount": text(fill.cost),
                "feeDetail": _fee(fill),
                "tradeScope": "maker" if fill.maker else "taker",
                "cTime": str(fill.time_ms),
                "uTime": str(fill.time_ms),
            }
            for fill in page
        ]
        return self.ok(call, rows)

    def _mix_fills(self, call: Call) -> object:
        account, given = self.signed(call)
        self.need(call, given, "productType")
        symbol = None
        if given.get("symbol"):
            symbol = self.instrument(call, given, self.linear).symbol
        start, end = self.window(call, given, 7)
        found = account.history.trades(start, end, symbol=symbol, kind=Kind.LINEAR)
        page = call.rows(account, self.page(call, given, found, 100))
        rows = [
            {
                "tradeId": fill.id,
                "symbol": self.names[fill.instrument.symbol],
                "marginCoin": fill.instrument.settle,
                "orderId": fill.order_id,
                "price": text(fill.price),
                "baseVolume": text(fill.amount),
                "feeDetail": [_fee(fill)],
                "side": "buy" if fill.side > 0 else "sell",
                "quoteVolume": text(fill.cost),
                "profit": "0",
                "posMode": "one_way_mode",
                "tradeScope": "maker" if fill.maker else "taker",
                "cTime": str(fill.time_ms),
            }
            for fill in page
        ]
        return self.ok(call, {"fillList": rows, "endId": rows[-1]["tradeId"] if rows else ""})


def _fee(fill: Fill) -> dict[str, object]:
    # Negative is paid.
    return {
        "deduction": "no",
        "feeCoin": fill.fee_asset,
        "totalDeductionFee": "",
        "totalFee": text(-fill.fee),
    }


def _transfer(move: Move) -> dict[str, object]:
    return {
        "transferId": move.id,
        "coin": move.asset,
        "status": "Successful",
        "toType": _WALLETS[move.target],
        "fromType": _WALLETS[move.source],
        "size": text(move.amount),
        "ts": str(move.time_ms),
        "clientOid": move.id,
    }
