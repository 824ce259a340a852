"""Requests laid out by the host are, but for two holes, those that the enclave makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as some
from strongroom_enclave.signer.amounts import Side as SignerSide
from strongroom_enclave.signer.amounts import Tick, limit_amounts
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import RequestBuilder
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.errors import SignerError
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.orders import Account, Order, SignatureType
from strongroom_enclave.signer.template import fill_template
from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Intent, OrderType, Reason
from strongroom_host.trading.errors import TemplateUnfit
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.templates import OrderTemplate
from strongroom_wire import frames

TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
KEY = SigningKey(bytes(31) + b"\x07")
ACCOUNT = Account(KEY.address, SignatureType.EOA, KEY.address)
CREDENTIAL = ApiCredential("0" * 36, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "phrase")
BUILDER = RequestBuilder("clob.polymarket.com", ACCOUNT, CREDENTIAL)
NOW_MS = 1_790_000_000_123


def enclaves(decision: Intent, now_ms: int, salt: int) -> bytes:
    """The request as the enclave makes it, whole and signed."""
    side = SignerSide.BUY if decision.side == Side.BUY else SignerSide.SELL
    amounts = limit_amounts(side, decision.price, decision.size, Tick.HUNDREDTH)
    head = (salt, ACCOUNT.maker, ACCOUNT.signer, TOKEN, *amounts, side, SignatureType.EOA)
    order = Order(*head, now_ms, bytes(32), bytes(32))
    flags = 2 if decision.post_only else 0
    asked = (TOKEN, int(side), int(decision.order_type), 1, flags, decision.price, decision.size)
    intent = frames.OrderIntent(*asked, salt, now_ms, decision.expires_s)
    signed = KEY.sign_order(order, Exchange.POLYGON_V2, ACCOUNT)
    return BUILDER.post([(signed, intent)], now_ms // 1000)


def decision(
    side: Side = Side.BUY,
    price: int = 570_000,
    size: int = 12_340_000,
    kind: OrderType = OrderType.GTC,
    expires_s: int = 0,
    post_only: bool = False,
) -> Intent:
    terms = (1, side, price, size, kind, Reason.QUOTE, bytes(32), expires_s, post_only)
    return Intent(*terms)


@given(
    side=some.sampled_from([Side.BUY, Side.SELL]),
    kind=some.sampled_from(list(OrderType)),
    post_only=some.booleans(),
    price=some.integers(1, 99),
    size=some.integers(10_000, 10**12),
    salt=some.integers(1, (1 << 53) - 1),
    later_ms=some.integers(0, 10**12),
)
def test_a_template_is_what_the_enclave_makes_and_its_holes_are_where_it_looks(
    side: Side,
    kind: OrderType,
    post_only: bool,
    price: int,
    size: int,
    salt: int,
    later_ms: int,
) -> None:
    expires = 1_790_000_300 if kind is OrderType.GTD else 0
    sample = decision(side, kind=kind, post_only=post_only, expires_s=expires and expires + 7)
    template = OrderTemplate(enclaves(sample, NOW_MS, 5))
    wanted = decision(side, price * 10_000, size, kind, expires, post_only)
    laid = template.lay(wanted, NOW_MS + later_ms, salt)
    request = enclaves(wanted, NOW_MS + later_ms, salt)
    assert fill_template(laid.data, (laid.signature_at, laid.mac_at), request) == request


def test_another_price_than_was_decided_is_not_filled() -> None:
    template = OrderTemplate(enclaves(decision(), NOW_MS, 5))
    laid = template.lay(decision(price=580_000), NOW_MS, 9)
    with pytest.raises(SignerError):
        fill_template(laid.data, (laid.signature_at, laid.mac_at), enclaves(decision(), NOW_MS, 9))


def test_the_intent_is_what_the_wire_reads() -> None:
    writer, market = IntentWriter(3, bytes(32)), TradedMarket(1, "m", TOKEN, 1)
    laid = OrderTemplate(enclaves(decision(), NOW_MS, 5)).lay(decision(), NOW_MS, 9)
    intent = frames.Intent.parse(writer.templated(decision(), market, NOW_MS * 1_000_000, laid))
    (order,) = intent.orders
    assert (intent.kind, intent.key, order.salt) == (frames.Kind.TEMPLATE, 3, 9)
    assert order.timestamp == NOW_MS
    holes = laid.signature_at.to_bytes(4, "big") + laid.mac_at.to_bytes(4, "big")
    assert intent.argument == holes + laid.data


@pytest.mark.parametrize("sample", [b"", b"DELETE /cancel-all HTTP/1.1\r\n\r\n", b"POST /order x"])
def test_another_request_is_no_sample(sample: bytes) -> None:
    with pytest.raises(TemplateUnfit):
        OrderTemplate(sample)
