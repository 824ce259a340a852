"""From an authenticated intent to a complete signed request, or a refusal that says why.

The order of things matters: permission, deadline, amounts, policy (which counts the exposure), and
only then a signature. A failure after the count costs budget and never widens it.
"""

import secrets
import struct
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from msgspec.structs import astuple, replace
from strongroom_wire import leaves, manifest
from strongroom_wire.errors import Code, Refused, WireError, require
from strongroom_wire.frames import Intent, Kind, OrderIntent, Reply

from strongroom_enclave.clock import ClockFault
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.signer import amounts, clob, orders, policy
from strongroom_enclave.signer.keyring import TradingKey
from strongroom_enclave.signer.template import fill_template

_TICKS, _SIDES = tuple(amounts.Tick), tuple(amounts.Side)
_MARKET = 1  # bit of an order intent's flags
_MOST = (1 << 64) - 1  # what a figure of a denial saturates at
# How many eighths of the log's room each `Kind` may fill with leaves that nobody has read, in the
# order of their numbers: the last is for cancels, of clients who may cancel. What has none decides
# nothing and is not logged.
_ROOM = 7, 7, 8, 8, 8, 0, 0, 0, 0, 0, 7


class Desk:
    """Answers intents for the keys of this boot. One at a time: clients cannot race a limit."""

    def __init__(self, keys: list[TradingKey], now_ms: Callable[[], int], ledger: Ledger) -> None:
        self._keys, self._now, self._ledger, self._decision = keys, now_ms, ledger, 0

    def answer(self, plaintext: bytes, client: manifest.Client) -> Reply:
        """Returns the reply to one decrypted frame; never raises, and says no more than codes.

        What was decided is in the log first: a failure there keeps the request inside.
        """
        self._decision += 1
        return self._guarded(self._considered, plaintext, client)

    def _guarded(self, step: Callable[..., Reply], *given: object) -> Reply:
        try:
            return step(*given)
        except WireError as error:
            return Reply(error.code, self._decision)
        except Exception:  # noqa: BLE001  a bug of ours must not tell the host anything
            return Reply(Code.INTERNAL, self._decision)

    def _considered(self, plaintext: bytes, client: manifest.Client) -> Reply:
        intent = Intent.parse(plaintext)
        if not (room := _ROOM[intent.kind - 1]):
            return self._answer(intent, client)
        self._ledger.admit(min(room, 7 + ("cancel" in client.calls)))
        reply = self._guarded(self._answer, intent, client)  # what it counted stays counted
        return self._logged(intent, sha256(plaintext).digest(), client.name, reply)

    def _logged(self, intent: Intent, digest: bytes, client: str, reply: Reply) -> Reply:
        """Returns the reply with its leaf. Without an open log nothing is permitted yet, so a
        refusal is all there can be."""
        approved = reply.code is Code.OK
        if not self._ledger.opened:
            return Reply(Code.WRONG_PHASE, self._decision) if approved else reply
        key = self._keys[intent.key] if intent.key < len(self._keys) else None
        name, counted = (key.spec.name, key.engine.counted) if key else ("", (0, 0))
        sent = sha256(reply.request).digest() if approved else bytes(32)
        context = intent.argument if intent.kind is Kind.ORDERS else b""  # what decided, if told
        told = replace(reply, request=b"")
        decision = leaves.Decision(name, client, digest, sent, *counted, context, told)
        # Not read back: all in an approval is of one shape, and proved before (tests compare both).
        kind, public, record = leaves.Kind.SIGNED, b"", decision.spelled()
        if not approved:
            kind, public, record = leaves.Kind.DENIED, bytes([reply.rule]), decision.serialise()
        elif intent.kind is Kind.MODEL:
            kind, digests = leaves.Kind.MODEL, struct.unpack("32s32s32s", intent.argument)
            record = leaves.ModelDecision(client, *digests).serialise()
        leaf, opening = self._ledger.append(kind, record, public)
        return replace(reply, leaf=leaf, opening=opening)

    def _answer(self, intent: Intent, client: manifest.Client) -> Reply:
        require(intent.kind.call in client.calls, Code.CALL_NOT_PERMITTED, intent.kind.call)
        if intent.kind is Kind.READ_LOG:
            start = int.from_bytes(intent.argument)
            page = self._ledger.page(start, opened="query" in client.calls)
            return Reply(Code.OK, self._decision, request=page)
        if intent.kind is Kind.MODEL:
            return Reply(Code.OK, self._decision)
        require(intent.key < len(self._keys), Code.UNKNOWN_KEY, "key", len(self._keys), intent.key)
        key = self._keys[intent.key]
        if key.builder is None:
            raise Refused(Code.NO_CREDENTIAL, f"key {key.spec.name}", "enrolled", "not")
        if intent.orders:
            return self._orders(intent, key, key.builder)
        return Reply(Code.OK, self._decision, request=key.builder.other(intent))

    def _orders(self, intent: Intent, key: TradingKey, builder: clob.RequestBuilder) -> Reply:
        with suppress(ClockFault):  # without the time, the policy's clock rule denies
            require(self._now() <= intent.deadline, Code.EXPIRED, "a deadline that has passed")
        for order in intent.orders:
            clob.check_terms(order)  # before it can cost budget
        proposed = [_proposed(order, key, intent.timestamp) for order in intent.orders]
        verdict = key.engine.decide(proposed, self._now)
        if not isinstance(verdict, policy.Approved):
            rule, order, *figures = astuple(verdict)
            held = (min(figure, _MOST) for figure in figures)
            return Reply(Code.DENIED, self._decision, rule, order, *held)
        signed = [_signed(order, key) for order in proposed]
        request = builder.post(list(zip(signed, intent.orders, strict=True)), intent.timestamp)
        if intent.kind is Kind.TEMPLATE:
            offsets = struct.unpack_from(">II", intent.argument)
            request = fill_template(intent.argument[8:], offsets, request)
        hashes = tuple(order.order_hash for order in signed)
        return Reply(Code.OK, self._decision, order_hashes=hashes, request=request)


def _proposed(order: OrderIntent, key: TradingKey, posted: int) -> policy.ProposedOrder:
    """Returns the order as the policy judges it, with the amounts that will be signed."""
    compute = amounts.market_amounts if order.flags & _MARKET else amounts.limit_amounts
    given = compute(_SIDES[order.side], order.price, order.size, _TICKS[order.tick])
    exchange = key.engine.exchanges.get(order.token, "")  # none by that name: denied
    return policy.ProposedOrder(*(*astuple(order), exchange, *given, posted))


def _signed(order: policy.ProposedOrder, key: TradingKey) -> orders.SignedOrder:
    """Returns the approved order under the key's signature."""
    account = key.account
    unsigned = orders.Order(
        order.salt or secrets.randbits(53), account.maker, account.signer, order.token,
        order.maker_amount, order.taker_amount, _SIDES[order.side], account.signature_type,
        order.timestamp, *key.pinned,
    )  # fmt: skip
    return key.signing.sign_order(unsigned, key.exchanges[order.token], account)
