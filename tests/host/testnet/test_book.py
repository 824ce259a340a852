"""Matching: priority, exactness, and money that is conserved whatever the orders do."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.testnet.accounts import MAX_ALLOWANCE, Accounts
from strongroom_host.testnet.book import Book, Plan
from strongroom_host.testnet.config import Seed
from strongroom_host.testnet.contracts import address_from
from strongroom_host.testnet.errors import ApiError
from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.records import OrderStatus
from strongroom_host.testnet.units import LOT, cash_for, fixed_text

from tests.host.testnet.traders import Trader, clob

BUY, SELL = Side.BUY, Side.SELL


def filled(book: Book) -> Book:
    book.add(b"a", SELL, 5000, 10 * LOT)
    book.add(b"b", SELL, 4900, 10 * LOT)
    book.add(b"c", SELL, 5000, 10 * LOT)
    return book


def makers(plan: Plan) -> list[tuple[bytes, int]]:
    return [(fill.order_id, fill.shares // LOT) for fill in plan.fills]


def test_price_then_time() -> None:
    book = filled(Book())
    assert makers(book.plan(BUY, 5000, shares=25 * LOT)) == [(b"b", 10), (b"a", 10), (b"c", 5)]
    assert makers(book.plan(BUY, 4999, shares=25 * LOT)) == [(b"b", 10)]
    assert book.plan(BUY, 4800, shares=LOT).fills == ()
    assert book.levels(SELL) == [(4900, 10 * LOT), (5000, 20 * LOT)]


def test_bids_match_from_the_highest() -> None:
    book = Book()
    for order_id, price in ((b"a", 4000), (b"b", 4200), (b"c", 4100)):
        book.add(order_id, BUY, price, LOT)
    assert makers(book.plan(SELL, 4100, shares=5 * LOT)) == [(b"b", 1), (b"c", 1)]
    assert book.best(BUY) == 4200


def test_a_partly_filled_order_keeps_its_place() -> None:
    book = filled(Book())
    book.apply(book.plan(BUY, 5000, shares=15 * LOT))
    assert makers(book.plan(BUY, 5000, shares=15 * LOT)) == [(b"a", 5), (b"c", 10)]


def test_planning_moves_nothing_and_a_stale_plan_is_refused() -> None:
    book = filled(Book())
    plan = book.plan(BUY, 5000, shares=25 * LOT)
    assert book.plan(BUY, 5000, shares=25 * LOT) == plan
    book.remove(b"b")
    with pytest.raises(ValueError, match="stale"):
        book.apply(plan)


def test_a_cash_order_is_complete_when_no_lot_is_affordable() -> None:
    book = Book()
    book.add(b"a", SELL, 5700, 10_000 * LOT)
    plan = book.plan(BUY, 5700, cash=1_000_000)
    assert (plan.shares, plan.cash, plan.complete) == (175 * LOT, 997_500, True)
    assert not book.plan(BUY, 5700, cash=10_000 * 5700 + 5700).complete
    assert book.plan(BUY, 5700, cash=10_000 * 5700 + 5699).complete


@pytest.mark.parametrize("how", [{}, {"shares": LOT, "cash": 1}])
def test_a_plan_has_one_bound(how: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="shares or cash"):
        Book().plan(BUY, 5000, **how)


@pytest.mark.parametrize("shares", [0, -LOT, LOT + 1])
def test_only_whole_lots_rest(shares: int) -> None:
    with pytest.raises(ValueError, match="whole lots"):
        Book().add(b"a", BUY, 5000, shares)


def test_costs_are_exact_or_refused() -> None:
    assert cash_for(LOT, 1) == 1
    with pytest.raises(ValueError, match="fraction"):
        cash_for(1, 1)


@given(st.integers(-(10**12), 10**12), st.integers(1, 6))
def test_decimal_text_is_exact(value: int, places: int) -> None:
    text = fixed_text(value, places)
    assert Decimal(text) == Decimal(value).scaleb(-places)
    assert not text.endswith(".")


def test_a_trade_needs_both_sides_to_be_able() -> None:
    accounts, spender = Accounts(), address_from("0x" + "99" * 20)
    alice, bob = address_from("0x" + "11" * 20), address_from("0x" + "22" * 20)
    accounts.fund(alice, None, 100)
    accounts.fund(bob, 7, 200)
    accounts.allow(alice, None, spender, MAX_ALLOWANCE)
    for balance, allowance in ((True, False), (False, True)):
        accounts.allow(bob, 7, spender, 200 if allowance else 199)
        with pytest.raises(ValueError, match="lacks"):
            accounts.trade(alice, bob, 7, 200 if balance else 201, 100, spender)
    accounts.allow(bob, 7, spender, 200)
    accounts.trade(alice, bob, 7, 200, 100, spender)
    assert (accounts.balance(alice, 7), accounts.balance(bob, None)) == (200, 100)
    assert accounts.allowance(bob, 7, spender) == 0
    assert accounts.allowance(alice, None, spender) == MAX_ALLOWANCE


ORDERS = st.lists(
    st.tuples(
        st.integers(0, 2),  # who
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 99),  # price in cents
        st.integers(500, 3000),  # size in hundredths of a share
        st.sampled_from(["GTC", "FOK", "FAK"]),
        st.booleans(),  # cancel the oldest open order afterwards
    ),
    max_size=12,
)


@given(ORDERS)
def test_money_is_conserved_and_limits_hold(
    orders: list[tuple[int, str, int, int, str, bool]],
) -> None:
    venue = clob()
    market = venue.config.markets[0]
    token = market.tokens[0]
    traders = [Trader.funded(venue, number, funds=30_000_000) for number in (1, 2, 3)]
    totals = [venue.accounts.total(asset) for asset in (None, token)]
    for who, side, cents, size, order_type, cancels in orders:
        trader = traders[who]
        in_cash = order_type != "GTC" and side == "BUY"
        try:
            trader.place(
                token, side, cents / 100, size / 100, order_type=order_type, market_order=in_cash
            )
        except ApiError:
            continue
        if cancels and (open_orders := venue.open_orders(trader.api)):
            venue.cancel([open_orders[0].order_id], trader.api)
    assert [venue.accounts.total(asset) for asset in (None, token)] == totals
    bid, ask = venue.books[token].best(BUY), venue.books[token].best(SELL)
    assert bid is None or ask is None or bid < ask
    for trade in venue.trades:
        assert trade.cash == cash_for(trade.shares, trade.price)
        assert trade.price == trade.maker.terms.price
        limit = trade.taker.terms.price
        better = trade.price <= limit if trade.taker.order.side is BUY else trade.price >= limit
        assert better
    for stored in venue.orders.values():
        paid = sum(
            trade.cash if stored.order.side is BUY else trade.shares
            for trade in venue.trades
            if stored in (trade.maker, trade.taker)
        )
        assert paid <= stored.order.maker_amount
        if stored.order_type.value == "FOK":
            assert stored.status is OrderStatus.MATCHED
    for trader in traders:
        for asset in (None, token):
            assert venue.reserved(trader.maker, asset) <= venue.accounts.balance(
                trader.maker, asset
            )


def test_house_liquidity_rests_on_both_sides_and_fills() -> None:
    base = clob()
    token = base.config.markets[0].tokens[0]
    venue = clob(seeds=(Seed(token, BUY, 5900, 50_000_000), Seed(token, SELL, 6100, 50_000_000)))
    taker = Trader.funded(venue, 1)
    assert taker.place(token, "BUY", 0.61, 10).status is OrderStatus.MATCHED
    assert taker.place(token, "SELL", 0.59, 10).status is OrderStatus.MATCHED
