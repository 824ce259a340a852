"""The operator's switches of the testnet: accounts, faults, modes, and a look inside.

None of this exists on a real venue. Calls carry the token that the ready line prints, so that a
page or a program that merely reaches the port cannot use them.
"""

from __future__ import annotations

import hmac
from decimal import Decimal, InvalidOperation

import msgspec
from eth_utils.crypto import keccak
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.testnet.clob import Clob, Mode
from strongroom_host.testnet.contracts import address_from
from strongroom_host.testnet.endpoints import Call, Handler, json_response, route
from strongroom_host.testnet.errors import ApiError, ConfigError, Unauthorized
from strongroom_host.testnet.faults import Fault, FaultKind, Faults
from strongroom_host.testnet.units import BASE
from strongroom_host.testnet.wallets import WalletKind

__all__ = ["ADMIN_HEADER", "AdminApi"]

ADMIN_HEADER = "X-Testnet-Admin"


class _Account(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    owner: str
    wallet: str | None = None
    funds: str = "0"


class _Mode(msgspec.Struct, forbid_unknown_fields=True):
    mode: Mode


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind
    method: str = "POST"
    path: str = "/order"
    count: int = 1
    status: int = 502
    seconds: float = 0.0


class AdminApi:
    """Endpoints under ``/testnet``."""

    def __init__(self, clob: Clob, faults: Faults, token: str) -> None:
        self._clob = clob
        self._faults = faults
        self._token = token

    def routes(self) -> list[Route]:
        """The routes of this group."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/testnet/accounts", self._account),
            ("POST", "/testnet/faults", self._fault),
            ("DELETE", "/testnet/faults", self._clear),
            ("POST", "/testnet/mode", self._mode),
            ("GET", "/testnet/state", self._state),
        ]
        return [route(self._clob, method, path, handler) for method, path, handler in table]

    def _check(self, call: Call) -> None:
        given = call.headers.get(ADMIN_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Unauthorized(expected="the admin token")

    async def _account(self, call: Call) -> Response:
        """Open an account. A deposit wallet without an address gets one made from its owner's."""
        self._check(call)
        try:
            body = msgspec.json.decode(call.body, type=_Account)
            kind = WalletKind[body.kind.upper()]
            owner = address_from(body.owner)
            funds = Decimal(body.funds) * BASE
            if body.wallet is not None:
                wallet = address_from(body.wallet)
            elif kind is WalletKind.EOA:
                wallet = owner
            else:
                made = keccak(text=f"strongroom testnet {kind.name} of {owner}")[12:]
                wallet = address_from("0x" + made.hex())
            if funds < 0 or funds != funds.to_integral_value():
                raise ValueError("funds must be a decimal with at most 6 places")
            self._clob.open_account(wallet, kind, owner, funds=int(funds))
        except (
            msgspec.MsgspecError,
            UnicodeDecodeError,
            KeyError,
            ValueError,
            InvalidOperation,
            ConfigError,
        ) as error:
            raise ApiError(f"invalid account: {error}") from error
        return json_response({"wallet": wallet, "owner": owner, "kind": kind.name})

    async def _fault(self, call: Call) -> Response:
        self._check(call)
        try:
            body = msgspec.json.decode(call.body, type=_Fault)
            self._faults.arm(
                Fault(body.kind, body.method, body.path, body.count, body.status, body.seconds)
            )
        except (msgspec.MsgspecError, UnicodeDecodeError, ConfigError) as error:
            raise ApiError(f"invalid fault: {error}") from error
        return json_response("OK")

    async def _clear(self, call: Call) -> Response:
        self._check(call)
        self._faults.clear()
        return json_response("OK")

    async def _mode(self, call: Call) -> Response:
        self._check(call)
        try:
            self._clob.mode = msgspec.json.decode(call.body, type=_Mode).mode
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiError(f"invalid mode: {error}") from error
        return json_response({"mode": self._clob.mode.value})

    async def _state(self, call: Call) -> Response:
        """Every order submitted: how often it arrived, and what became of it."""
        self._check(call)
        return json_response(
            {
                "mode": self._clob.mode.value,
                "trades": len(self._clob.trades),
                "orders": {
                    "0x" + order_id.hex(): {
                        "submissions": count,
                        "status": self._clob.orders[order_id].status.value
                        if order_id in self._clob.orders
                        else None,
                    }
                    for order_id, count in self._clob.submissions.items()
                },
            }
        )
