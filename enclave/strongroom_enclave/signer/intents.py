"""From an authenticated intent to a complete signed request, or a refusal that says why.

The order of things matters: permission, deadline, amounts, policy (which counts the exposure), and
only then a signature. A failure after the count costs budget and never widens it.
"""

import secrets
from collections.abc import Callable
from itertools import count
from typing import Final

from strongroom_wire.errors import Code, Malformed, Refused, WireError
from strongroom_wire.frames import Intent, Kind, OrderIntent, Reply
from strongroom_wire.manifest import Call, Client

from strongroom_enclave.signer import clob, policy
from strongroom_enclave.signer.amounts import Amounts, Side, Tick, limit_amounts, market_amounts
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.errors import SignerError
from strongroom_enclave.signer.keyring import TradingKey
from strongroom_enclave.signer.orders import Order
from strongroom_enclave.signer.template import fill_template

__all__ = ["Desk"]

_TICKS: Final = tuple(Tick)
_MARKET, _POST_ONLY, _DEFER = 1, 2, 4
_CALLS: Final[dict[Kind, Call]] = {
    Kind.ORDERS: "order",
    Kind.TEMPLATE: "template",
    Kind.CANCEL: "cancel",
    Kind.CANCEL_ALL: "cancel",
    Kind.CANCEL_MARKET: "cancel",
    Kind.HEARTBEAT: "heartbeat",
    Kind.QUERY_ORDER: "query",
    Kind.QUERY_OPEN: "query",
    Kind.QUERY_TRADES: "query",
}


class Desk:
    """Answers intents for the keys of this boot. One at a time: clients cannot race a limit."""

    def __init__(self, keys: list[TradingKey], now_ms: Callable[[], int]) -> None:
        self._keys, self._now, self._decisions = keys, now_ms, count(1)

    def answer(self, plaintext: bytes, client: Client) -> Reply:
        """Returns the reply to one decrypted frame; never raises, and says no more than codes."""
        decision = next(self._decisions)
        try:
            return self._answer(Intent.parse(plaintext), client, decision)
        except (WireError, SignerError) as error:
            return Reply(error.code, decision)
        except Exception:  # a bug of ours must not tell the host anything, nor end the process
            return Reply(Code.INTERNAL, decision)

    def _answer(self, intent: Intent, client: Client, decision: int) -> Reply:
        if _CALLS[intent.kind] not in client.calls:
            raise Refused(Code.CALL_NOT_PERMITTED, "call", client.calls, intent.kind)
        if intent.key >= len(self._keys):
            raise Refused(Code.UNKNOWN_KEY, "key", len(self._keys), intent.key)
        key = self._keys[intent.key]
        if key.builder is None:
            raise Refused(Code.NO_CREDENTIAL, f"key {key.spec.name}", "enrolled", "not")
        if intent.orders:
            return self._orders(intent, key, key.builder, decision)
        return Reply(Code.OK, decision, request=_other(intent, key.builder))

    def _orders(
        self, intent: Intent, key: TradingKey, builder: clob.RequestBuilder, decision: int
    ) -> Reply:
        try:
            if self._now() > intent.deadline:
                raise Refused(Code.EXPIRED, "deadline", intent.deadline, "later")
        except SignerError:
            pass  # no time at all: the policy's clock rule denies, with the figures
        amounts = [_amounts(order) for order in intent.orders]
        proposed = [
            _proposed(order, amount, key.engine.exchange(order.token))
            for order, amount in zip(intent.orders, amounts, strict=True)
        ]
        verdict = key.engine.decide(proposed, self._now)
        if isinstance(verdict, policy.Denied):
            rule, at, limit, actual = verdict.rule, verdict.order, verdict.limit, verdict.actual
            return Reply(Code.DENIED, decision, rule, at, limit, actual)
        if not isinstance(verdict, policy.Approved):
            return Reply(Code.INTERNAL, decision)
        posts, rules = [], key.spec.policy
        pinned = bytes.fromhex(rules.metadata), bytes.fromhex(rules.builder)
        for order, amount in zip(intent.orders, amounts, strict=True):
            account, salt = key.account, order.salt or secrets.randbits(53)
            unsigned = Order(
                salt, account.maker, account.signer, order.token, *amount, Side(order.side),
                account.signature_type, order.timestamp, *pinned,
            )  # fmt: skip
            exchange = Exchange.named(key.spec.chain_id, key.engine.exchange(order.token))
            signed = key.signing.sign_order(unsigned, exchange, key.account)
            flags = bool(order.flags & _POST_ONLY), bool(order.flags & _DEFER)
            terms = clob.Terms(clob.OrderType(order.order_type), order.expiration, *flags)
            posts.append((signed, terms))
        request = builder.post(posts, intent.timestamp)
        if intent.kind is Kind.TEMPLATE:
            request = _filled(intent.argument, request)
        hashes = tuple(signed.order_hash for signed, _ in posts)
        return Reply(Code.OK, decision, order_hashes=hashes, request=request)


def _amounts(order: OrderIntent) -> Amounts:
    compute = market_amounts if order.flags & _MARKET else limit_amounts
    return compute(Side(order.side), order.price, order.size, _TICKS[order.tick])


def _proposed(order: OrderIntent, amounts: Amounts, exchange: str) -> policy.ProposedOrder:
    kinds = Side(order.side), clob.OrderType(order.order_type)
    times = order.timestamp, order.expiration
    return policy.ProposedOrder(order.token, exchange, *kinds, order.price, *amounts, *times)


def _filled(argument: bytes, request: bytes) -> bytes:
    """Returns the template's bytes with its two holes filled, if it is the approved request."""
    if len(argument) < 8:
        raise Malformed("template", "two u32 offsets and the request", len(argument))
    offsets = [int.from_bytes(argument[at : at + 4], "big") for at in (0, 4)]
    return fill_template(argument[8:], offsets, request)


def _other(intent: Intent, builder: clob.RequestBuilder) -> bytes:
    """Returns the request of an intent that signs no order: these pass a kill switch."""
    argument, time = intent.argument, intent.timestamp
    match intent.kind:
        case Kind.CANCEL:
            hashes = [argument[at : at + 32] for at in range(0, len(argument), 32)]
            return builder.cancel(hashes, time)
        case Kind.CANCEL_ALL if not argument:
            return builder.cancel_all(time)
        case Kind.CANCEL_MARKET if len(argument) == 64:
            token = int.from_bytes(argument[32:], "big")
            return builder.cancel_market(argument[:32], token, time)
        case Kind.HEARTBEAT:
            return builder.heartbeat(_text(argument), time)
        case Kind.QUERY_ORDER:
            return builder.get_order(argument, time)
        case Kind.QUERY_OPEN:
            return builder.get_orders(_text(argument), time)
        case Kind.QUERY_TRADES:
            return builder.get_trades(_text(argument), time)
    raise Malformed("argument", f"that of {intent.kind.name}", f"{len(argument)} bytes")


def _text(argument: bytes) -> str:
    return argument.decode("ascii", "replace")
