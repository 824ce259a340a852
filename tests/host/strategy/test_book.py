"""The book as the ticks tell it, against one that is sorted anew after each tick."""

from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.ring.tick import Kind, Side, Status
from strongroom_host.strategy.book import Book

from tests.host.strategy.ticks import CENT, UNIT, Feed, Kept

LEVELS = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 9), st.integers(0, 5))
)


def book_of(sink: Kept) -> Book:
    book = Book()
    for view in sink.views():
        book.apply(view)
    return book


@given(changes=LEVELS)
def test_best_prices_are_those_of_the_levels(changes: list[tuple[Side, int, int]]) -> None:
    sink = Kept()
    feed = Feed(sink).book([(3, 1)], [(7, 1)])
    levels = {Side.BUY: {3: 1}, Side.SELL: {7: 1}}
    for side, price, size in changes:
        feed.level(side, price, size)
        levels[side][price] = size
    book = book_of(sink)
    bids = {price: size for price, size in levels[Side.BUY].items() if size}
    asks = {price: size for price, size in levels[Side.SELL].items() if size}
    bid, ask = max(bids, default=0), min(asks, default=0)
    assert (book.bid, book.bid_size) == (bid * CENT, bids.get(bid, 0) * UNIT)
    assert (book.ask, book.ask_size) == (ask * CENT, asks.get(ask, 0) * UNIT)
    assert book.good is (0 < bid < ask)


def test_a_snapshot_forgets_what_was_before() -> None:
    sink = Kept()
    Feed(sink).book([(40, 1)], [(60, 1)]).level(Side.BUY, 45, 9).book([(30, 2)], [(70, 2)])
    book = book_of(sink)
    assert (book.bids, book.asks) == ({30 * CENT: 2 * UNIT}, {70 * CENT: 2 * UNIT})
    assert (book.bid, book.ask) == (30 * CENT, 70 * CENT)


def test_half_a_message_is_no_book() -> None:
    sink = Kept()
    Feed(sink).book([(40, 1)], [(60, 1)])
    views, book = list(range(len(sink.data) // 64)), Book()
    seen = []
    for view in sink.views():
        book.apply(view)
        seen.append(book.good)
    assert seen == [False] * (len(views) - 1) + [True]


def test_feeds_that_tell_best_prices_only() -> None:
    sink = Kept()
    feed = Feed(sink)
    feed._tick(Kind.BEST_BID, Side.BUY, 5 * CENT, 3, 0)
    feed._tick(Kind.BEST_ASK, Side.SELL, 6 * CENT, 4)
    book = book_of(sink)
    assert (book.bid, book.bid_size, book.ask, book.ask_size) == (5 * CENT, 3, 6 * CENT, 4)
    assert book.good


def test_a_feed_that_is_lost_takes_its_book_along() -> None:
    for status in Status:
        sink = Kept()
        Feed(sink).book([(40, 1)], [(60, 1)]).status(status)
        void = status in (Status.LOST, Status.STALLED, Status.BOOK_MISMATCH)
        resolved = status is Status.MARKET_RESOLVED
        assert book_of(sink).good is not (void or resolved)
        assert book_of(sink).resolved is resolved
