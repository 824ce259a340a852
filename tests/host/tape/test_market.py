"""The simulated market has the structure that it is said to have, and is the same everywhere."""

import hashlib
from pathlib import Path

from strongroom_host.ring.tick import Kind, Side
from strongroom_host.strategy.book import Book
from strongroom_host.tape.market import COIN, MEMPOOL, OTHER, TOKEN, Market

from tests.host.strategy.ticks import UNIT, Kept, simulated


def run(seed: int, seconds: int) -> Kept:
    sink = Kept()
    Market(seed, sink, start_ns=1, wall_ns=10**18).run(seconds)
    return sink


def test_a_seed_is_a_market() -> None:
    digest = hashlib.sha256(run(1, 30).data).hexdigest()
    # Computed once; integers and one generator, so it holds on every machine.
    assert digest == "81ecc16a759fc8a3356ffa7486143b91e755bf79ea64822b5f35f868a172c74d"
    assert run(2, 30).data != run(1, 30).data


def test_ticks_are_numbered_and_in_order(tmp_path: Path) -> None:
    with simulated(tmp_path / "x.tape", 60) as tape:
        assert tape.names == ("", TOKEN, COIN, MEMPOOL, OTHER)
        numbers, before = dict[int, int](), 0
        for view in tape:
            assert view.number == numbers.get(view.feed, -1) + 1
            assert view.received_ns >= before
            numbers[view.feed], before = view.number, view.received_ns


def test_the_two_books_mirror_each_other_and_never_cross() -> None:
    books = {1: Book(), 4: Book()}
    looked = 0
    for view in run(3, 120).views():
        if view.instrument in books and view.kind != Kind.TRADE:
            books[view.instrument].apply(view)
            if all(book.whole for book in books.values()) and view.instrument == 4:
                looked += 1
                assert books[1].bid < books[1].ask
                assert {UNIT - price: size for price, size in books[1].bids.items()} == (
                    books[4].asks
                )
                assert (books[4].ask, books[4].ask_size) == (UNIT - books[1].bid, books[1].bid_size)
                assert books[1].bid == max(books[1].bids)
    assert looked > 100


def test_flow_foretells_the_coin() -> None:
    """Takers' imbalance of ten seconds says which way the next three go, two times in three."""
    flow, mids, moves = 0, list[int](), list[tuple[int, int]]()
    for view in run(4, 1200).views():
        if view.instrument != 2:
            continue
        if view.kind == Kind.TRADE:
            flow += view.size if view.side == Side.BUY else -view.size
        elif view.kind == Kind.BEST_ASK:
            mids.append(view.price)
            flow = flow * 9 // 10
            moves.append((flow, len(mids) - 1))
    right = [
        (mids[at + 30] > mids[at]) is (lean > 0) for lean, at in moves[:-30:10] if abs(lean) > UNIT
    ]
    assert len(right) > 200
    assert sum(right) / len(right) > 0.65
