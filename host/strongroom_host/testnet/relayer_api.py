"""The relayer's paths for deposit wallets and session keys, in front of the stand-in chain.

Bodies and signatures are the official client's: an owner's `Batch` over the wallet's own calldata,
sent under a builder key. What a real deployment does in a transaction happens here at once.
"""

from __future__ import annotations

import secrets
from typing import TypeVar

import msgspec
from eth_utils.crypto import keccak
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.contracts import Address, address_from
from strongroom_host.testnet.endpoints import Call, Handler, json_response, route
from strongroom_host.testnet.errors import ApiError, NotFound
from strongroom_host.testnet.wallets import (
    Batch,
    WalletKind,
    authorize_calldata,
    revoke_calldata,
)

__all__ = ["RelayerApi"]


class _Revocation(msgspec.Struct, forbid_unknown_fields=True):
    deadline: str
    nonce: str
    sessionSignerAddress: str
    signature: str
    walletAddress: str


class _Authorization(_Revocation, forbid_unknown_fields=True):
    scopes: list[str]
    validUntil: str


_BodyT = TypeVar("_BodyT", bound=_Revocation)


def _uint(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 78):
        raise ApiError("invalid request", expected="a decimal integer", actual=text)
    return int(text)


def _address(text: str) -> Address:
    try:
        return address_from(text)
    except ValueError as error:
        raise ApiError("invalid request", expected="an address", actual=text) from error


class RelayerApi:
    """Session keys come and go here."""

    def __init__(self, clob: Clob) -> None:
        self._clob = clob
        self._transactions: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """The routes of this group."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/auth/builder-api-key", self._create_builder),
            ("GET", "/deployed", self._deployed),
            ("GET", "/v1/account/transactions/params", self._params),
            ("GET", "/v1/account/transactions/{transaction}", self._transaction),
            ("POST", "/v1/session-signers/authorizations", self._authorize),
            ("POST", "/v1/session-signers/revocations", self._revoke),
            ("GET", "/v1/user/session-signers", self._session_keys),
        ]
        return [route(self._clob, method, path, handler) for method, path, handler in table]

    async def _create_builder(self, call: Call) -> Response:
        call.l2(self._clob)
        key = self._clob.auth.create_builder(self._clob.now_ms, secrets.token_bytes(16))
        return json_response({"key": key.key, "secret": key.secret, "passphrase": key.passphrase})

    async def _deployed(self, call: Call) -> Response:
        wallet = _address(call.query.get("address", ""))
        return json_response({"deployed": self._clob.wallets.kind_of(wallet) is not None})

    async def _params(self, call: Call) -> Response:
        owner = _address(call.query.get("address", ""))
        wallet = self._clob.wallets.wallet_of(owner, WalletKind.DEPOSIT)
        if wallet is None:
            raise NotFound("wallet not found")
        nonce = self._clob.wallets.nonce_of(wallet)
        return json_response({"address": wallet, "nonce": str(nonce)})

    async def _transaction(self, call: Call) -> Response:
        transaction = call.parameters["transaction"]
        if transaction not in self._transactions:
            raise NotFound("transaction not found")
        return json_response(
            {
                "state": "STATE_CONFIRMED",
                "transaction_id": transaction,
                "transaction_hash": self._transactions[transaction],
            }
        )

    async def _authorize(self, call: Call) -> Response:
        body = self._body(call, _Authorization)
        key = _address(body.sessionSignerAddress)
        calldata = authorize_calldata(key, _uint(body.validUntil))
        transaction = self._execute(body, calldata, {key: frozenset(body.scopes)})
        return json_response(
            {
                "status": "REGISTERED",
                "transactionId": transaction,
                "transactionHash": self._transactions[transaction],
            }
        )

    async def _revoke(self, call: Call) -> Response:
        body = self._body(call, _Revocation)
        calldata = revoke_calldata(_address(body.sessionSignerAddress))
        transaction = self._execute(body, calldata, {})
        return json_response({"status": "CONFIRMED", "fenced": True, "transactionId": transaction})

    def _body(self, call: Call, kind: type[_BodyT]) -> _BodyT:
        self._clob.auth.builder(call.headers, call.method, call.path, call.body, self._clob.now_s)
        try:
            return msgspec.json.decode(call.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiError("invalid request", actual=str(error)) from error

    def _execute(
        self, body: _Revocation, calldata: bytes, scopes: dict[Address, frozenset[str]]
    ) -> str:
        wallet = _address(body.walletAddress)
        try:
            signature = bytes.fromhex(body.signature.removeprefix("0x"))
        except ValueError as error:
            raise ApiError("invalid request", expected="a hex signature") from error
        batch = Batch(
            wallet=wallet,
            nonce=_uint(body.nonce),
            deadline_s=_uint(body.deadline),
            calls=((wallet, 0, calldata),),
            signature=signature,
        )
        self._clob.execute(batch, scopes)
        transaction = secrets.token_hex(16)
        self._transactions[transaction] = "0x" + keccak(transaction.encode()).hex()
        return transaction

    async def _session_keys(self, call: Call) -> Response:
        key = call.l2(self._clob)
        wallet = self._clob.wallets.wallet_of(key.address, WalletKind.DEPOSIT)
        if wallet is None:
            raise NotFound("wallet not found")
        live = [
            {
                "address": session.address,
                "scopes": sorted(session.scopes),
                "valid_until": session.valid_until_s,
            }
            for session in self._clob.wallets.session_keys(wallet)
            if self._clob.now_s < session.valid_until_s
        ]
        return json_response({"wallet": wallet, "signers": live})
