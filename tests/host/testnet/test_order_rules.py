"""The rules of an order: for each, an order that passes and the change that makes it fail."""

from __future__ import annotations

from typing import Any

import pytest
from strongroom_host.testnet.clob import Clob, Mode
from strongroom_host.testnet.errors import (
    AmountsTooPrecise,
    ApiError,
    DuplicateOrder,
    EngineRestarting,
    FakNotFilled,
    FokNotFilled,
    InvalidExpiration,
    InvalidOrderPayload,
    InvalidPostOnlyType,
    InvalidSignature,
    InvalidTimestamp,
    MakerNotAllowed,
    MarketableOrderTooSmall,
    ModeRefusal,
    NotEnoughAllowance,
    NotEnoughBalance,
    OrderVersionMismatch,
    PostOnlyCrosses,
    PriceOffTick,
    PriceOutOfBounds,
    SizeTooSmall,
    UnknownToken,
    WrongOrderOwner,
    WrongOrderSigner,
)
from strongroom_host.testnet.orders import Side, parse_order, parse_orders
from strongroom_host.testnet.records import OrderStatus
from strongroom_host.testnet.wallets import WalletKind

from tests.host.testnet.traders import Clock, Trader, clob, encode

V1_CONTRACT = "0xdFE02Eb6733538f8Ea35D585af8DE5958AD99E40"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def venue(clock: Clock) -> Clob:
    return clob(clock)


def tokens(venue: Clob) -> tuple[int, int, int]:
    """A standard, a neg-risk and a protocol-V2 token."""
    standard, neg_risk, v3 = venue.config.markets
    return standard.tokens[0], neg_risk.tokens[0], v3.tokens[0]


def bodies(trader: Trader, token: int, **how: Any) -> dict[str, Any]:
    return trader.body(token, "BUY", 0.5, 10, **how)


def place(trader: Trader, body: dict[str, Any]) -> Any:
    return trader.venue.place(parse_order(encode(body)), trader.api)


@pytest.mark.parametrize("kind", list(WalletKind))
@pytest.mark.parametrize("market", [0, 1, 2])
def test_every_signature_type_trades_on_every_exchange(
    venue: Clob, kind: WalletKind, market: int
) -> None:
    trader = Trader.funded(venue, 1, kind)
    placement = place(trader, bodies(trader, tokens(venue)[market]))
    assert placement.status is OrderStatus.LIVE
    assert venue.orders[placement.order_id].order.maker == trader.maker


@pytest.mark.parametrize("kind", list(WalletKind))
def test_an_order_for_another_exchange_version_is_told_so(venue: Clob, kind: WalletKind) -> None:
    trader = Trader.funded(venue, 1, kind)
    standard, neg_risk, v3 = tokens(venue)
    cases: list[tuple[int, dict[str, str]]] = [
        (standard, {"version": "1", "contract": V1_CONTRACT}),
        (standard, {"version": "3", "contract": venue.contracts.v3.contract}),
        (v3, {"version": "2", "contract": venue.contracts.v2.contract}),
        (neg_risk, {"version": "3", "contract": venue.contracts.v3.contract}),
    ]
    for token, how in cases:
        with pytest.raises(OrderVersionMismatch):
            place(trader, bodies(trader, token, **how))


@pytest.mark.parametrize("kind", list(WalletKind))
def test_a_signature_for_another_contract_or_chain_is_invalid(
    venue: Clob, kind: WalletKind
) -> None:
    trader = Trader.funded(venue, 1, kind)
    standard, neg_risk, _ = tokens(venue)
    for token, how in (
        (standard, {"contract": venue.contracts.v2_neg_risk.contract}),
        (neg_risk, {"contract": venue.contracts.v2.contract}),
        (standard, {"chain_id": 137}),
        (standard, {"version": "2", "contract": "0x" + "5a" * 20}),
    ):
        with pytest.raises(InvalidSignature):
            place(trader, bodies(trader, token, **how))


def test_a_v1_body_is_of_the_wrong_version(venue: Clob) -> None:
    trader = Trader.funded(venue, 1)
    body = bodies(trader, tokens(venue)[0])
    order = body["order"]
    for name in ("timestamp", "metadata", "builder"):
        del order[name]
    order |= {"taker": "0x" + "00" * 20, "nonce": "0", "feeRateBps": "0"}
    with pytest.raises(OrderVersionMismatch):
        parse_order(encode(body))


PAYLOADS: dict[str, tuple[str, object]] = {
    "a salt of 2**53": ("salt", 1 << 53),
    "a negative salt": ("salt", -1),
    "a salt as text": ("salt", "1"),
    "a salt as float": ("salt", 1.0),
    "an amount as number": ("makerAmount", 5_000_000),
    "an amount of zero": ("makerAmount", "0"),
    "an amount with a leading zero": ("makerAmount", "05000000"),
    "an amount with a sign": ("takerAmount", "+10000000"),
    "an amount with digits of another script": ("takerAmount", "\u0661" + "\u0660" * 7),
    "an amount of 2**256": ("takerAmount", str(1 << 256)),
    "an unknown side": ("side", "buy"),
    "a numeric side": ("side", 0),
    "an unknown signature type": ("signatureType", 4),
    "a boolean signature type": ("signatureType", True),
    "a short maker": ("maker", "0x1234"),
    "a maker without 0x": ("maker", "11" * 21),
    "short metadata": ("metadata", "0x00"),
    "an odd signature": ("signature", "0x123"),
    "a short signature": ("signature", "0x" + "11" * 64),
    "an unknown field": ("gasPrice", "1"),
    "a V1 field": ("nonce", "0"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_malformed_order_fields(venue: Clob, name: str) -> None:
    body = bodies(Trader.funded(venue, 1), tokens(venue)[0])
    parse_order(encode(body))
    field, value = PAYLOADS[name]
    body["order"][field] = value
    with pytest.raises(InvalidOrderPayload):
        parse_order(encode(body))


@pytest.mark.parametrize(
    ("field", "value"),
    [("orderType", "IOC"), ("postOnly", "false"), ("extra", 1), ("owner", None), ("order", [])],
)
def test_malformed_request_fields(venue: Clob, field: str, value: object) -> None:
    body = bodies(Trader.funded(venue, 1), tokens(venue)[0])
    with pytest.raises(InvalidOrderPayload):
        parse_order(encode(body | {field: value}))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"order":{}}'])
def test_bodies_that_are_no_order(raw: bytes) -> None:
    with pytest.raises(InvalidOrderPayload):
        parse_order(raw)


def test_a_bad_entry_of_a_batch_stands_alone(venue: Clob) -> None:
    body = bodies(Trader.funded(venue, 1), tokens(venue)[0])
    good, bad = parse_orders(encode([body, {"order": 1}]))
    assert not isinstance(good, InvalidOrderPayload)
    assert isinstance(bad, InvalidOrderPayload)
    parse_orders(encode([body] * 15))
    with pytest.raises(ApiError, match="Too many orders in payload: 16, max allowed: 15"):
        parse_orders(encode([body] * 16))


def test_owner_must_be_the_key_that_posts(venue: Clob) -> None:
    trader, other = Trader.funded(venue, 1), Trader.funded(venue, 2)
    body = bodies(trader, tokens(venue)[0])
    with pytest.raises(WrongOrderOwner):
        place(trader, body | {"owner": other.api.key})
    # The owner field follows the poster, but the order is still somebody else's.
    with pytest.raises(WrongOrderSigner):
        place(other, body | {"owner": other.api.key})
    place(trader, body)


def test_a_wallet_order_is_posted_by_a_key_of_the_wallet(venue: Clob) -> None:
    wallet, other = Trader.funded(venue, 1, WalletKind.DEPOSIT), Trader.funded(venue, 2)
    body = bodies(wallet, tokens(venue)[0])
    with pytest.raises(WrongOrderSigner):
        place(other, body | {"owner": other.api.key})
    place(wallet, body)


def test_unregistered_makers_are_refused_unless_the_faucet_is_open(clock: Clock) -> None:
    closed, opened = clob(clock), clob(clock, open_accounts=1_000_000_000)
    stranger = Trader(closed, "0x" + "77" * 32)
    with pytest.raises(MakerNotAllowed):
        place(stranger, bodies(stranger, tokens(closed)[0]))
    welcome = Trader(opened, "0x" + "77" * 32)
    place(welcome, bodies(welcome, tokens(opened)[0]))
    assert opened.accounts.balance(welcome.address, None) == 1_000_000_000


@pytest.mark.parametrize("kind", [WalletKind.PROXY, WalletKind.SAFE, WalletKind.DEPOSIT])
def test_a_maker_of_another_kind_or_owner_is_refused(venue: Clob, kind: WalletKind) -> None:
    owner, thief = Trader.funded(venue, 1, kind), Trader.funded(venue, 2)
    token = tokens(venue)[0]
    place(owner, bodies(owner, token))
    thief.kind, thief.maker = kind, owner.maker
    with pytest.raises((WrongOrderSigner, InvalidSignature)):
        place(thief, bodies(thief, token))
    thief.kind = WalletKind.EOA
    with pytest.raises(MakerNotAllowed):
        place(thief, bodies(thief, token))


def test_the_same_order_is_taken_once_even_after_it_was_cancelled(venue: Clob) -> None:
    trader = Trader.funded(venue, 1)
    body = bodies(trader, tokens(venue)[0])
    placement = place(trader, body)
    with pytest.raises(DuplicateOrder):
        place(trader, body)
    venue.cancel([placement.order_id], trader.api)
    with pytest.raises(DuplicateOrder):
        place(trader, body)
    assert venue.submissions[placement.order_id] == 3
    place(trader, bodies(trader, tokens(venue)[0]))


def test_a_failed_order_may_come_again(venue: Clob) -> None:
    trader = Trader.funded(venue, 1, funds=0)
    body = bodies(trader, tokens(venue)[0])
    with pytest.raises(NotEnoughBalance):
        place(trader, body)
    venue.accounts.fund(trader.maker, None, 5_000_000)
    place(trader, body)


def test_an_unknown_token_has_no_book(venue: Clob) -> None:
    trader = Trader.funded(venue, 1)
    body = bodies(trader, tokens(venue)[0])
    body["order"]["tokenId"] = str(tokens(venue)[0] + 1)
    with pytest.raises(UnknownToken):
        place(trader, body)


@pytest.mark.parametrize(
    ("seconds", "allowed"), [(-300, True), (-301, False), (60, True), (61, False)]
)
def test_the_signed_timestamp_is_recent(venue: Clob, seconds: int, allowed: bool) -> None:
    trader = Trader.funded(venue, 1)
    body = bodies(trader, tokens(venue)[0], timestamp_ms=venue.now_ms + seconds * 1000)
    if allowed:
        place(trader, body)
    else:
        with pytest.raises(InvalidTimestamp):
            place(trader, body)


@pytest.mark.parametrize(
    ("order_type", "lead", "allowed"),
    [
        ("GTD", 180, True),
        ("GTD", 179, False),
        ("GTD", None, False),
        ("GTC", None, True),
        ("GTC", 600, False),
        ("FAK", 600, False),
    ],
)
def test_expirations(venue: Clob, order_type: str, lead: int | None, allowed: bool) -> None:
    trader = Trader.funded(venue, 1)
    expiration = 0 if lead is None else venue.now_s + lead
    body = bodies(trader, tokens(venue)[0], order_type=order_type, expiration=expiration)
    if allowed:
        place(trader, body)
    else:
        with pytest.raises(InvalidExpiration):
            place(trader, body)


def test_a_gtd_order_leaves_the_book_a_minute_before_it_expires(venue: Clob, clock: Clock) -> None:
    trader = Trader.funded(venue, 1)
    body = bodies(trader, tokens(venue)[0], order_type="GTD", expiration=venue.now_s + 200)
    order_id = place(trader, body).order_id
    for seconds, status in ((139, OrderStatus.LIVE), (1, OrderStatus.CANCELED)):
        clock.forward(seconds)
        venue.advance()
        assert venue.orders[order_id].status is status
    assert venue.books[tokens(venue)[0]].levels(Side.BUY) == []


def test_ticks_and_bounds(venue: Clob) -> None:
    trader = Trader.funded(venue, 1)
    token = tokens(venue)[0]  # tick 0.01
    place(trader, trader.body(token, "BUY", 0.01, 10))
    place(trader, trader.body(token, "SELL", 0.99, 10))
    half = trader.body(token, "BUY", 0.5, 10, maker_amount=5_050_000)  # 0.505
    with pytest.raises(
        PriceOffTick, match=r"Price \(0\.505\) breaks minimum tick size rule: 0\.01"
    ):
        place(trader, half)
    for maker_amount in (10_000_000, 20_000_000):
        with pytest.raises(PriceOutOfBounds):
            place(trader, trader.body(token, "BUY", 0.5, 10, maker_amount=maker_amount))
    with pytest.raises(PriceOffTick):
        place(trader, trader.body(token, "BUY", 0.5, 1000, maker_amount=100))


@pytest.mark.parametrize(
    ("market", "price", "off"),
    [(0, 0.57, 5_750_000), (1, 0.563, 5_635_000), (2, 0.4975, 4_980_000)],
)
def test_each_market_has_its_own_tick(venue: Clob, market: int, price: float, off: int) -> None:
    trader = Trader.funded(venue, 1)
    token = tokens(venue)[market]
    place(trader, trader.body(token, "BUY", price, 10))
    with pytest.raises(PriceOffTick):
        place(trader, trader.body(token, "BUY", price, 10, maker_amount=off))


@pytest.mark.parametrize(
    ("side", "order_type", "amounts", "says"),
    [
        ("BUY", "GTC", {"taker_amount": 10_001_000}, "the buy .* 4 decimals, .* 2 decimals"),
        ("BUY", "GTC", {"maker_amount": 5_000_010}, "the buy .* 4 decimals, .* 2 decimals"),
        ("SELL", "GTC", {"maker_amount": 10_001_000}, "the sell .* 2 decimals, .* 4 decimals"),
        ("SELL", "FOK", {"taker_amount": 5_000_010}, "the sell .* 2 decimals, .* 4 decimals"),
        ("BUY", "FOK", {"maker_amount": 5_001_000}, "the market buy .* 2 decimals, .* 4 decimals"),
        ("BUY", "FAK", {"taker_amount": 10_000_010}, "the market buy .* 2 decimals, .* 4 dec"),
    ],
)
def test_amounts_have_limited_decimals(
    venue: Clob, side: str, order_type: str, amounts: dict[str, int], says: str
) -> None:
    trader = Trader.funded(venue, 1)
    how: dict[str, Any] = {"order_type": order_type, **amounts}
    body = trader.body(tokens(venue)[0], side, 0.5, 10, **how)
    with pytest.raises(AmountsTooPrecise, match=says):
        place(trader, body)


def test_least_sizes(venue: Clob) -> None:
    maker, taker = Trader.funded(venue, 1), Trader.funded(venue, 2)
    token = tokens(venue)[0]
    place(maker, maker.body(token, "SELL", 0.1, 5))
    with pytest.raises(SizeTooSmall, match=r"Size \(4\.99\) lower than the minimum: 5"):
        place(maker, maker.body(token, "SELL", 0.1, 4.99))
    with pytest.raises(MarketableOrderTooSmall, match=r"\(\$0\.5\), min size: \$1"):
        place(taker, taker.body(token, "BUY", 0.1, 5))
    place(taker, taker.body(token, "BUY", 0.09, 5))  # rests, so the notional may be small


def test_post_only_neither_crosses_nor_comes_with_types_that_take(venue: Clob) -> None:
    maker, taker = Trader.funded(venue, 1), Trader.funded(venue, 2)
    token = tokens(venue)[0]
    place(maker, maker.body(token, "SELL", 0.6, 10))
    place(taker, taker.body(token, "BUY", 0.59, 10, post_only=True))
    with pytest.raises(PostOnlyCrosses):
        place(taker, taker.body(token, "BUY", 0.6, 10, post_only=True))
    for order_type in ("FOK", "FAK"):
        with pytest.raises(InvalidPostOnlyType):
            place(taker, taker.body(token, "BUY", 0.59, 10, post_only=True, order_type=order_type))


def test_balance_counts_what_open_orders_reserve(venue: Clob) -> None:
    trader = Trader.funded(venue, 1, funds=10_000_000)
    token = tokens(venue)[0]
    first = place(trader, trader.body(token, "BUY", 0.5, 12))
    with pytest.raises(NotEnoughBalance, match="balance: 4000000, order amount: 5000000"):
        place(trader, trader.body(token, "BUY", 0.5, 10))
    place(trader, trader.body(token, "BUY", 0.4, 10))
    venue.cancel([first.order_id], trader.api)
    place(trader, trader.body(token, "BUY", 0.5, 12))
    place(trader, trader.body(token, "SELL", 0.9, 10))
    with pytest.raises(NotEnoughBalance):
        place(trader, trader.body(token, "SELL", 0.9, 5))


def test_allowance_is_per_exchange_contract(venue: Clob) -> None:
    trader = Trader.funded(venue, 1)
    standard, neg_risk, _ = tokens(venue)
    venue.accounts.allow(trader.maker, None, venue.contracts.v2.contract, 4_999_999)
    with pytest.raises(NotEnoughAllowance, match="allowance: 4999999, order amount: 5000000"):
        place(trader, bodies(trader, standard))
    place(trader, bodies(trader, neg_risk))
    venue.accounts.allow(trader.maker, None, venue.contracts.v2.contract, 5_000_000)
    place(trader, bodies(trader, standard))
    with pytest.raises(NotEnoughAllowance):
        place(trader, bodies(trader, standard))


def test_modes(venue: Clob) -> None:
    trader = Trader.funded(venue, 1)
    token = tokens(venue)[0]
    resting = place(trader, bodies(trader, token)).order_id
    for mode, refusal, cancels in (
        (Mode.RESTARTING, EngineRestarting, False),
        (Mode.DISABLED, ModeRefusal, False),
        (Mode.CANCEL_ONLY, ModeRefusal, True),
        (Mode.POST_ONLY, ModeRefusal, True),
    ):
        venue.mode = mode
        with pytest.raises(refusal):
            place(trader, bodies(trader, token))
        if not cancels:
            with pytest.raises(refusal):
                venue.cancel([resting], trader.api)
    place(trader, bodies(trader, token, post_only=True))
    assert venue.cancel([resting], trader.api)[0] == [resting]


def test_fill_or_kill_leaves_no_trace_when_killed(venue: Clob) -> None:
    maker, taker = Trader.funded(venue, 1), Trader.funded(venue, 2)
    token = tokens(venue)[0]
    with pytest.raises(FakNotFilled):
        place(taker, taker.body(token, "SELL", 0.5, 10, order_type="FAK"))
    place(maker, maker.body(token, "BUY", 0.5, 10))
    before = (venue.accounts.balance(taker.maker, None), venue.accounts.balance(maker.maker, None))
    with pytest.raises(FokNotFilled):
        place(taker, taker.body(token, "SELL", 0.5, 10.01, order_type="FOK"))
    after = (venue.accounts.balance(taker.maker, None), venue.accounts.balance(maker.maker, None))
    assert before == after
    assert venue.trades == []
    filled = place(taker, taker.body(token, "SELL", 0.5, 10, order_type="FOK"))
    assert (filled.making, filled.taking) == (10_000_000, 5_000_000)


def test_fill_and_kill_takes_what_is_there_and_rests_nothing(venue: Clob) -> None:
    maker, taker = Trader.funded(venue, 1), Trader.funded(venue, 2)
    token = tokens(venue)[0]
    place(maker, maker.body(token, "SELL", 0.5, 10))
    body = taker.body(token, "BUY", 0.55, 100, order_type="FAK", market_order=True)
    placement = place(taker, body)
    assert (placement.making, placement.taking) == (5_000_000, 10_000_000)
    assert venue.books[token].best(venue.orders[placement.order_id].order.side) is None


def test_a_cash_order_spends_cash_at_better_prices(venue: Clob) -> None:
    """10 pUSD with a limit of 0.5 against asks of 0.4 buys 25 shares, not 20."""
    maker, taker = Trader.funded(venue, 1), Trader.funded(venue, 2)
    token = tokens(venue)[0]
    place(maker, maker.body(token, "SELL", 0.4, 100))
    body = taker.body(token, "BUY", 0.5, 10, order_type="FOK", market_order=True)
    placement = place(taker, body)
    assert (placement.making, placement.taking) == (10_000_000, 25_000_000)


def test_a_maker_who_can_no_longer_pay_loses_the_order(venue: Clob) -> None:
    broke, solid, taker = (Trader.funded(venue, number) for number in (1, 2, 3))
    token = tokens(venue)[0]
    first = place(broke, broke.body(token, "SELL", 0.5, 10)).order_id
    second = place(solid, solid.body(token, "SELL", 0.5, 10)).order_id
    venue.accounts.allow(broke.maker, token, venue.contracts.v2.contract, 0)
    placement = place(taker, taker.body(token, "BUY", 0.5, 10))
    assert [trade.maker.order_id for trade in placement.trades] == [second]
    assert venue.orders[first].status is OrderStatus.CANCELED
