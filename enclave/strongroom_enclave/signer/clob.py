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

from strongroom_wire.frames import Intent, Kind, OrderIntent

from strongroom_enclave.signer import auth, eip712, errors, orders

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


# Good till cancelled, good till date, fill or kill, fill and kill; numbered from 0, as on the wire.
OrderType = IntEnum("OrderType", "GTC GTD FOK FAK", start=0)
_NAMES = tuple(OrderType.__members__)

# Bits of an order intent's flags that say how it rests; the other makes it a market order.
_POST_ONLY, _DEFER = 2, 4


def check_terms(order: OrderIntent) -> None:
    """Proves that what a posted order says outside its signature goes together.

    Raises:
        TermsContradict: a GTD without an expiration, an expiration without GTD, or postOnly on an
            order that cannot rest.
    """
    if bool(order.expiration) is not (order.order_type == OrderType.GTD):
        raise errors.TermsContradict("expiration", "one if and only if GTD", order.expiration)
    if order.flags & _POST_ONLY and order.order_type > OrderType.GTD:
        raise errors.TermsContradict("order type of postOnly", "GTC or GTD", order.order_type)


# Signed orders, each with the intent that says what is not signed.
Batch = Sequence[tuple[orders.SignedOrder, OrderIntent]]


class RequestBuilder:
    """Builds the requests of one account, with one API credential, for one CLOB host.

    The header lines up to the HMAC never vary, and are serialised once. How many orders there are,
    and how long an argument, `Intent.parse` has checked.
    """

    def __init__(self, host: str, account: orders.Account, credential: auth.ApiCredential) -> None:
        self._credential = credential
        self._maker, self._signer = map(eip712.checksum_address, (account.maker, account.signer))
        self._type, address = int(account.signature_type), eip712.checksum_address(account.key)
        self._headers = (
            f" HTTP/1.1\r\nHost: {host}\r\nUser-Agent: strongroom"
            "\r\nAccept: application/json\r\nContent-Type: application/json"
            f"\r\nConnection: keep-alive\r\nPOLY_ADDRESS: {address}"
            f"\r\nPOLY_API_KEY: {credential.api_key}\r\nPOLY_PASSPHRASE: {credential.passphrase}"
            "\r\nPOLY_SIGNATURE: "
        )

    def post(self, batch: Batch, timestamp: int) -> bytes:
        """Returns `POST /order` for one order, `POST /orders` for more; `timestamp` in unix s.

        Of an intent it takes what is not signed: order type, expiration, postOnly and deferExec.
        """
        body = ",".join(self._order(*each) for each in batch)
        if len(batch) == 1:
            return self._build(Endpoint.POST_ORDER, timestamp, body)
        return self._build(Endpoint.POST_ORDERS, timestamp, f"[{body}]")

    def other(self, intent: Intent) -> bytes:
        """Returns the request of an intent that signs no order.

        Raises:
            TextMalformed: a heartbeat id or cursor holds something else than its alphabet.
        """
        argument, time = intent.argument, intent.timestamp
        words = ["0x" + argument[at : at + 32].hex() for at in range(0, len(argument), 32)]
        match intent.kind:
            case Kind.CANCEL if len(words) == 1:
                return self._build(Endpoint.CANCEL_ORDER, time, f'{{"orderID":"{words[0]}"}}')
            case Kind.CANCEL:
                ids = ",".join(f'"{word}"' for word in words)
                return self._build(Endpoint.CANCEL_ORDERS, time, f"[{ids}]")
            case Kind.CANCEL_ALL:
                return self._build(Endpoint.CANCEL_ALL, time)
            case Kind.CANCEL_MARKET:
                body = f'{{"market":"{words[0]}","asset_id":"{int(words[1], 16)}"}}'
                return self._build(Endpoint.CANCEL_MARKET, time, body)
            case Kind.HEARTBEAT:
                body = f'{{"heartbeat_id":"{_text("heartbeat id", _HEARTBEAT, argument)}"}}'
                return self._build(Endpoint.HEARTBEAT, time, body)
            case Kind.QUERY_ORDER:
                return self._build(Endpoint.GET_ORDER, time, tail=words[0])
            case Kind.QUERY_OPEN:
                return self._build(Endpoint.GET_ORDERS, time, query=_page(argument))
            case Kind.QUERY_TRADES:
                return self._build(Endpoint.GET_TRADES, time, query=_page(argument))
        raise errors.TextMalformed("kind", "one that signs no order", intent.kind)

    def _order(self, signed: orders.SignedOrder, terms: OrderIntent) -> str:
        """Returns one order's JSON, as `POST /order` has it."""
        order, kind = signed.order, _NAMES[terms.order_type]
        post_only, defer = (_BOOL[bool(terms.flags & bit)] for bit in (_POST_ONLY, _DEFER))
        return (
            f'{{"order":{{"salt":{order.salt},"maker":"{self._maker}","signer":"{self._signer}",'
            f'"tokenId":"{order.token_id}","makerAmount":"{order.maker_amount}",'
            f'"takerAmount":"{order.taker_amount}","side":"{"SELL" if order.side else "BUY"}",'
            f'"expiration":"{terms.expiration}","signatureType":{self._type},'
            f'"timestamp":"{order.timestamp}","metadata":"0x{order.metadata.hex()}",'
            f'"builder":"0x{order.builder.hex()}","signature":"{signed.signature}"}},'
            f'"owner":"{self._credential.api_key}","orderType":"{kind}",'
            f'"deferExec":{defer},"postOnly":{post_only}}}'
        )

    def _build(
        self, endpoint: Endpoint, timestamp: int, body: str = "", *, tail: str = "", query: str = ""
    ) -> bytes:
        """Returns the request for `endpoint`, `tail` completing its path."""
        method, path = endpoint.value
        mac = self._credential.l2_signature(timestamp, method, path + tail, body)
        length = f"\r\nContent-Length: {len(body)}" if body else ""
        head = f"{method} {path}{tail}{query}{self._headers}{mac}\r\nPOLY_TIMESTAMP: {timestamp}"
        return f"{head}{length}\r\n\r\n{body}".encode("ascii")


def _text(what: str, pattern: re.Pattern[str], value: bytes) -> str:
    text = value.decode("ascii", "replace")
    errors.TextMalformed.unless(pattern.fullmatch(text), what, pattern.pattern, text)
    return text


def _page(cursor: bytes) -> str:
    # In a query, base64 needs escaping only for +, which many servers read as a space.
    query = f"?next_cursor={_text('cursor', _CURSOR, cursor).replace('+', '%2B')}"
    return query if cursor else ""
