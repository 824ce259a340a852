"""Endpoints that need L1 or L2 headers: keys, orders, cancels, own queries, heartbeats."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.testnet.auth import ApiKey
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.contracts import Address
from strongroom_host.testnet.endpoints import Call, Handler, json_response, route
from strongroom_host.testnet.errors import (
    ApiError,
    EngineRestarting,
    InvalidOrderPayload,
    ModeRefusal,
    NotFound,
)
from strongroom_host.testnet.orders import (
    OrderRequest,
    order_id_from,
    parse_cancel,
    parse_cancels,
    parse_order,
    parse_orders,
)
from strongroom_host.testnet.records import StoredOrder, Trade
from strongroom_host.testnet.views import (
    Json,
    open_order_view,
    page,
    placement_view,
    refusal_view,
    trade_view,
)
from strongroom_host.testnet.wallets import WalletKind

__all__ = ["TradingApi"]

_ASSET_TYPES: Final = ("COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2")


class _Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    heartbeat_id: str


class _MarketCancel(msgspec.Struct, forbid_unknown_fields=True):
    market: str = ""
    asset_id: str = ""


class TradingApi:
    """The authenticated part of the CLOB."""

    def __init__(self, clob: Clob) -> None:
        self._clob = clob

    def routes(self) -> list[Route]:
        """The routes of this group."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/auth/api-key", self._create_key),
            ("GET", "/auth/derive-api-key", self._derive_key),
            ("GET", "/auth/api-keys", self._list_keys),
            ("DELETE", "/auth/api-key", self._delete_key),
            ("GET", "/auth/ban-status/closed-only", self._closed_only),
            ("POST", "/order", self._post_order),
            ("POST", "/orders", self._post_orders),
            ("DELETE", "/order", self._cancel_order),
            ("DELETE", "/orders", self._cancel_orders),
            ("DELETE", "/cancel-all", self._cancel_all),
            ("DELETE", "/cancel-market-orders", self._cancel_market),
            ("GET", "/data/order/{order_id}", self._get_order),
            ("GET", "/data/orders", self._get_orders),
            ("GET", "/data/trades", self._get_trades),
            ("POST", "/v1/heartbeats", self._heartbeat),
            ("GET", "/balance-allowance", self._balance),
            ("GET", "/balance-allowance/update", self._balance),
            ("GET", "/v1/user/rate-limit-tier", self._tier),
        ]
        return [route(self._clob, method, path, handler) for method, path, handler in table]

    # --- keys ---------------------------------------------------------------------------------

    async def _create_key(self, call: Call) -> Response:
        address, nonce = self._clob.auth.l1(call.headers, self._clob.now_s)
        return _credentials(self._clob.auth.create(address, nonce))

    async def _derive_key(self, call: Call) -> Response:
        address, nonce = self._clob.auth.l1(call.headers, self._clob.now_s)
        return _credentials(self._clob.auth.derive(address, nonce))

    async def _list_keys(self, call: Call) -> Response:
        key = call.l2(self._clob)
        return json_response({"apiKeys": self._clob.auth.keys_of(key.address)})

    async def _delete_key(self, call: Call) -> Response:
        self._clob.auth.delete(call.l2(self._clob))
        return json_response("OK")

    async def _closed_only(self, call: Call) -> Response:
        call.l2(self._clob)
        return json_response({"closed_only": False})

    async def _tier(self, call: Call) -> Response:
        call.l2(self._clob)
        return json_response({"tier": "testnet"})

    # --- orders -------------------------------------------------------------------------------

    def _count(self, key: ApiKey, kind: str, cost: int) -> dict[str, str]:
        return self._clob.limits.take(key.address, kind, cost, self._clob.now_ms).headers()

    async def _post_order(self, call: Call) -> Response:
        key = call.l2(self._clob)
        limits = self._count(key, "order", 1)
        placement = self._clob.place(parse_order(call.body), key)
        return json_response(placement_view(placement), headers=limits)

    async def _post_orders(self, call: Call) -> Response:
        key = call.l2(self._clob)
        requests = parse_orders(call.body)
        limits = self._count(key, "order", len(requests))
        return json_response([self._entry(item, key) for item in requests], headers=limits)

    def _entry(self, request: OrderRequest | InvalidOrderPayload, key: ApiKey) -> Json:
        if isinstance(request, InvalidOrderPayload):
            return refusal_view(request)
        try:
            return placement_view(self._clob.place(request, key))
        except (EngineRestarting, ModeRefusal):
            raise  # these refuse the batch, not the order
        except ApiError as error:
            return refusal_view(error)

    async def _cancel_order(self, call: Call) -> Response:
        key = call.l2(self._clob)
        return self._cancel(key, (parse_cancel(call.body),), extra=0)

    async def _cancel_orders(self, call: Call) -> Response:
        key = call.l2(self._clob)
        return self._cancel(key, parse_cancels(call.body), extra=0)

    async def _cancel_all(self, call: Call) -> Response:
        key = call.l2(self._clob)
        orders = self._clob.open_orders(key)
        return self._cancel(key, tuple(stored.order_id for stored in orders), extra=1)

    async def _cancel_market(self, call: Call) -> Response:
        key = call.l2(self._clob)
        try:
            wanted = msgspec.json.decode(call.body, type=_MarketCancel)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidOrderPayload(actual=str(error)) from error
        if not wanted.market and not wanted.asset_id:
            raise InvalidOrderPayload(expected="market or asset_id")
        orders = self._clob.open_orders(key)
        ids = tuple(
            item.order_id for item in orders if _selected(item, wanted.market, wanted.asset_id)
        )
        return self._cancel(key, ids, extra=1)

    def _cancel(self, key: ApiKey, order_ids: tuple[bytes, ...], *, extra: int) -> Response:
        limits = self._count(key, "cancel", len(order_ids) + extra)
        canceled, refused = self._clob.cancel(order_ids, key)
        body = {
            "canceled": ["0x" + order_id.hex() for order_id in canceled],
            "not_canceled": {"0x" + order_id.hex(): why for order_id, why in refused.items()},
        }
        return json_response(body, headers=limits)

    # --- own data -----------------------------------------------------------------------------

    async def _get_order(self, call: Call) -> Response:
        key = call.l2(self._clob)
        stored = self._clob.orders.get(order_id_from(call.parameters["order_id"]))
        if stored is None or not self._clob.may_see(key, stored):
            raise NotFound("order not found")
        return json_response(open_order_view(stored))

    async def _get_orders(self, call: Call) -> Response:
        key = call.l2(self._clob)
        market, asset = call.query.get("market", ""), call.query.get("asset_id", "")
        wanted = call.query.get("id", "")
        views = [
            open_order_view(stored)
            for stored in self._clob.open_orders(key)
            if _selected(stored, market, asset) and wanted in ("", "0x" + stored.order_id.hex())
        ]
        return json_response(page(views, call.query.get("next_cursor", "")))

    async def _get_trades(self, call: Call) -> Response:
        key = call.l2(self._clob)
        views = [
            trade_view(trade, as_taker=side is trade.taker)
            for trade in reversed(self._clob.trades)
            for side in (trade.taker, trade.maker)
            if self._clob.may_see(key, side) and _asked_for(trade, side, call)
        ]
        return json_response(page(views, call.query.get("next_cursor", "")))

    async def _heartbeat(self, call: Call) -> Response:
        key = call.l2(self._clob)
        try:
            beat = msgspec.json.decode(call.body, type=_Heartbeat)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiError("Invalid payload", actual=str(error)) from error
        fresh = self._clob.heartbeats.beat(key.key, beat.heartbeat_id, self._clob.now_ms)
        return json_response({"heartbeat_id": fresh, "error_msg": None})

    async def _balance(self, call: Call) -> Response:
        key = call.l2(self._clob)
        kind = call.query.get("asset_type", "")
        if kind not in _ASSET_TYPES:
            raise ApiError("Invalid asset type", expected=_ASSET_TYPES, actual=kind)
        asset: int | None = None
        if kind != "COLLATERAL":
            text = call.query.get("token_id", "")
            if not (text.isascii() and text.isdecimal() and int(text) in self._clob.markets):
                raise ApiError("Invalid token id", actual=text)
            asset = int(text)
        holder = self._holder(key.address, call.query.get("signature_type", "0"))
        accounts = self._clob.accounts
        return json_response(
            {
                "balance": str(accounts.balance(holder, asset)),
                "allowances": {
                    exchange.contract: str(accounts.allowance(holder, asset, exchange.contract))
                    for exchange in self._clob.contracts.live
                },
            }
        )

    def _holder(self, address: Address, signature_type: str) -> Address:
        """The wallet whose funds `signature_type` means for the key's address."""
        if signature_type not in ("0", "1", "2", "3"):
            raise ApiError("Invalid signature_type", actual=signature_type)
        kind = WalletKind(int(signature_type))
        if kind is WalletKind.EOA:
            return address
        return self._clob.wallets.wallet_of(address, kind) or address


def _credentials(key: ApiKey) -> Response:
    return json_response({"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase})


def _selected(stored: StoredOrder, market: str, asset: str) -> bool:
    return market in ("", stored.market.condition_id) and asset in (
        "",
        str(stored.order.token_id),
    )


def _asked_for(trade: Trade, side: StoredOrder, call: Call) -> bool:
    after, before = call.query.get("after", ""), call.query.get("before", "")
    if any(text and not (text.isascii() and text.isdecimal()) for text in (after, before)):
        raise ApiError("Invalid trade params payload", actual=(after, before))
    return (
        _selected(side, call.query.get("market", ""), call.query.get("asset_id", ""))
        and call.query.get("id", "") in ("", trade.trade_id)
        and call.query.get("maker_address", "").lower() in ("", side.order.maker.lower())
        and (not after or trade.matched_s >= int(after))
        and (not before or trade.matched_s <= int(before))
    )
