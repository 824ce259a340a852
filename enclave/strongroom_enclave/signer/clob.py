"""The complete HTTP/1.1 requests of the Polymarket CLOB that this enclave may authenticate.

Each is serialised here from typed values, to the last byte: order, signature, body, L2 HMAC,
header. Method and path come from one enumeration. The API secret thereby authenticates what this
module wrote and nothing a caller brought along. Bodies are compact JSON in the official clients'
key order, without an apostrophe anywhere: those clients replace it before the HMAC.

Not covered by the HMAC, hence free for the host to change: the query string and every header.
"""

import re
from collections.abc import Sequence
from enum import Enum, IntEnum

from msgspec import Struct

from strongroom_enclave.signer import errors
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.eip712 import check_bytes, check_uint, checksum_address
from strongroom_enclave.signer.orders import Account, SignedOrder

__all__ = ["MAX_CANCELS", "MAX_ORDERS", "Endpoint", "OrderType", "RequestBuilder", "Terms"]

MAX_ORDERS = 15
"""Orders in one `POST /orders`, as the official client has it."""

MAX_CANCELS = 1000
"""Order ids in one `DELETE /orders`; the official client stops at 3000."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
_HEARTBEAT = re.compile(r"[A-Za-z0-9-]{0,64}")
_CURSOR = re.compile(r"[A-Za-z0-9+/_-]{0,256}={0,2}")
_BOOL = {False: "false", True: "true"}


class Endpoint(Enum):
    """Every method and path that exists here. `GET_ORDER`'s path is completed by the order id."""

    POST_ORDER = ("POST", "/order")
    POST_ORDERS = ("POST", "/orders")
    CANCEL_ORDER = ("DELETE", "/order")
    CANCEL_ORDERS = ("DELETE", "/orders")
    CANCEL_ALL = ("DELETE", "/cancel-all")
    CANCEL_MARKET = ("DELETE", "/cancel-market-orders")
    HEARTBEAT = ("POST", "/v1/heartbeats")
    GET_ORDER = ("GET", "/data/order/")
    GET_ORDERS = ("GET", "/data/orders")
    GET_TRADES = ("GET", "/data/trades")


class OrderType(IntEnum):
    """Good till cancelled, good till date, fill or kill, fill and kill; in the wire's order."""

    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3


class Terms(Struct, frozen=True, gc=False):
    """What a posted order says outside its signature; `expiration` in unix s, 0 for none.

    Raises:
        TermsContradict: a GTD without an expiration, an expiration without GTD, or postOnly on an
            order that cannot rest.
        FieldOutOfRange: an expiration that is not an unsigned 64-bit integer.
    """

    order_type: OrderType = OrderType.GTC
    expiration: int = 0
    post_only: bool = False
    defer_exec: bool = False

    def __post_init__(self) -> None:
        check_uint("expiration", self.expiration, 64)
        if bool(self.expiration) is not (self.order_type is OrderType.GTD):
            raise errors.TermsContradict("expiration", "one if and only if GTD", self.expiration)
        if self.post_only and self.order_type > OrderType.GTD:
            raise errors.TermsContradict("order type of postOnly", "GTC or GTD", self.order_type)


class RequestBuilder:
    """Builds the requests of one account, with one API credential, for one CLOB host.

    `timestamp` is always unix seconds, for POLY_TIMESTAMP; every method raises `FieldOutOfRange`
    when it is not an unsigned 64-bit integer. The header lines up to the HMAC never vary, and are
    serialised once.

    Raises:
        TextMalformed: `host` is not a lower-case host name with an optional port.
    """

    def __init__(self, host: str, account: Account, credential: ApiCredential) -> None:
        self._account, self._credential = account, credential
        self._maker, self._signer = map(checksum_address, (account.maker, account.signer))
        self._type = int(account.signature_type)
        self._headers = (
            f" HTTP/1.1\r\nHost: {_text('host', _HOST, host)}\r\nUser-Agent: strongroom"
            "\r\nAccept: application/json\r\nContent-Type: application/json"
            f"\r\nConnection: keep-alive\r\nPOLY_ADDRESS: {checksum_address(account.key)}"
            f"\r\nPOLY_API_KEY: {credential.api_key}\r\nPOLY_PASSPHRASE: {credential.passphrase}"
            "\r\nPOLY_SIGNATURE: "
        )

    def post(self, orders: Sequence[tuple[SignedOrder, Terms]], timestamp: int) -> bytes:
        """Returns `POST /order` for one order, `POST /orders` for 2 to 15.

        Raises:
            BatchSizeOutOfRange: none, or more than 15.
            AccountMismatch: an order is another account's.
        """
        if not 1 <= len(orders) <= MAX_ORDERS:
            raise errors.BatchSizeOutOfRange("orders", f"1 to {MAX_ORDERS}", len(orders))
        if len(orders) == 1:
            return self._build(Endpoint.POST_ORDER, timestamp, self._order(*orders[0]))
        body = ",".join(self._order(signed, terms) for signed, terms in orders)
        return self._build(Endpoint.POST_ORDERS, timestamp, f"[{body}]")

    def cancel(self, order_hashes: Sequence[bytes], timestamp: int) -> bytes:
        """Returns `DELETE /order` for one order id, `DELETE /orders` for 2 to 1000.

        Raises:
            BatchSizeOutOfRange: none, or more than 1000.
            FieldOutOfRange: an id is not 32 bytes.
        """
        if not 1 <= len(order_hashes) <= MAX_CANCELS:
            raise errors.BatchSizeOutOfRange("ids", f"1 to {MAX_CANCELS}", len(order_hashes))
        ids = '","'.join(_hex32("order hash", order_hash) for order_hash in order_hashes)
        if len(order_hashes) == 1:
            return self._build(Endpoint.CANCEL_ORDER, timestamp, f'{{"orderID":"{ids}"}}')
        return self._build(Endpoint.CANCEL_ORDERS, timestamp, f'["{ids}"]')

    def cancel_all(self, timestamp: int) -> bytes:
        """Returns `DELETE /cancel-all`."""
        return self._build(Endpoint.CANCEL_ALL, timestamp)

    def cancel_market(self, condition: bytes, token_id: int, timestamp: int) -> bytes:
        """Returns `DELETE /cancel-market-orders` for one outcome token of one condition id.

        Raises:
            FieldOutOfRange: the condition id is not 32 bytes, or the token not a uint256.
        """
        check_uint("token id", token_id, 256)
        body = f'{{"market":"{_hex32("condition id", condition)}","asset_id":"{token_id}"}}'
        return self._build(Endpoint.CANCEL_MARKET, timestamp, body)

    def heartbeat(self, heartbeat_id: str, timestamp: int) -> bytes:
        """Returns `POST /v1/heartbeats`; the first of a chain has the empty id.

        Raises:
            TextMalformed: the id holds something else than letters, digits and hyphens.
        """
        body = f'{{"heartbeat_id":"{_text("heartbeat id", _HEARTBEAT, heartbeat_id)}"}}'
        return self._build(Endpoint.HEARTBEAT, timestamp, body)

    def get_order(self, order_hash: bytes, timestamp: int) -> bytes:
        """Returns `GET /data/order/{id}`. Raises `FieldOutOfRange` unless the hash is 32 bytes."""
        return self._build(Endpoint.GET_ORDER, timestamp, tail=_hex32("order hash", order_hash))

    def get_orders(self, cursor: str, timestamp: int) -> bytes:
        """Returns `GET /data/orders` at `cursor` ("": first page), or raises `TextMalformed`."""
        return self._build(Endpoint.GET_ORDERS, timestamp, query=_page(cursor))

    def get_trades(self, cursor: str, timestamp: int) -> bytes:
        """Returns `GET /data/trades` at `cursor` ("": first page), or raises `TextMalformed`."""
        return self._build(Endpoint.GET_TRADES, timestamp, query=_page(cursor))

    def _order(self, signed: SignedOrder, terms: Terms) -> str:
        """Returns one order's JSON, as `POST /order` has it."""
        order = signed.order
        self._account.check(order, self._account.key)
        return (
            f'{{"order":{{"salt":{order.salt},"maker":"{self._maker}","signer":"{self._signer}",'
            f'"tokenId":"{order.token_id}","makerAmount":"{order.maker_amount}",'
            f'"takerAmount":"{order.taker_amount}","side":"{"SELL" if order.side else "BUY"}",'
            f'"expiration":"{terms.expiration}","signatureType":{self._type},'
            f'"timestamp":"{order.timestamp}","metadata":"0x{order.metadata.hex()}",'
            f'"builder":"0x{order.builder.hex()}","signature":"{signed.signature}"}},'
            f'"owner":"{self._credential.api_key}","orderType":"{terms.order_type.name}",'
            f'"deferExec":{_BOOL[terms.defer_exec]},"postOnly":{_BOOL[terms.post_only]}}}'
        )

    def _build(
        self, endpoint: Endpoint, timestamp: int, body: str = "", *, tail: str = "", query: str = ""
    ) -> bytes:
        """Returns the request for `endpoint`, `tail` completing its path."""
        check_uint("timestamp", timestamp, 64)
        method, path = endpoint.value
        mac = self._credential.l2_signature(timestamp, method, path + tail, body)
        length = f"\r\nContent-Length: {len(body)}" if body else ""
        head = f"{method} {path}{tail}{query}{self._headers}{mac}\r\nPOLY_TIMESTAMP: {timestamp}"
        return f"{head}{length}\r\n\r\n{body}".encode("ascii")


def _hex32(what: str, value: bytes) -> str:
    check_bytes(what, value, 32)
    return "0x" + value.hex()


def _text(what: str, pattern: re.Pattern[str], value: str) -> str:
    if type(value) is not str or not pattern.fullmatch(value):
        raise errors.TextMalformed(what, pattern.pattern, value)
    return value


def _page(cursor: str) -> str:
    # In a query, base64 needs escaping only for +, which many servers read as a space.
    query = f"?next_cursor={_text('cursor', _CURSOR, cursor).replace('+', '%2B')}"
    return query if cursor else ""
