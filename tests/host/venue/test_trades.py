"""Own fills and open orders, page by page, from a venue on its worst days."""

import json
from collections.abc import Callable

import pytest
from strongroom_host.venue.connection import VenueResponse
from strongroom_host.venue.trades import (
    END,
    Fill,
    PagesUnreadable,
    TradesUnclear,
    own_fills,
    own_open_orders,
)

OURS, THEIRS = "0x" + "aA" * 20, "0x" + "bb" * 20


def order(number: int) -> bytes:
    return bytes([number]) * 32


def trade(number: int, **changes: object) -> dict[str, object]:
    made = {
        "id": f"t{number}",
        "taker_order_id": "0x" + order(number).hex(),
        "maker_address": OURS,
        "trader_side": "TAKER",
        "maker_orders": [maker(100 + number, THEIRS)],
        "market": "0xmarket",
        "size": "10",
        "price": "0.5",
        "match_time": "1700000000",
        "something_new": 1,
    }
    return {**made, **changes}


def maker(number: int, address: str) -> dict[str, object]:
    return {
        "order_id": "0x" + order(number).hex(),
        "maker_address": address,
        "matched_amount": "4",
        "price": "0.6",
    }


def venue(*pages: list[dict[str, object]]) -> Callable[[bytes], VenueResponse]:
    """Answers the page at a cursor, which is its number."""

    def ask(cursor: bytes) -> VenueResponse:
        at = int(cursor or b"0")
        following = END if at == len(pages) - 1 else str(at + 1)
        body = {"data": pages[at], "next_cursor": following, "limit": 100}
        return VenueResponse(200, (), json.dumps(body).encode())

    return ask


def answer(status: int, body: bytes) -> Callable[[bytes], VenueResponse]:
    return lambda _cursor: VenueResponse(status, (), body)


def test_all_pages_are_read_and_what_moved_counts_once() -> None:
    found = own_fills(venue([trade(1), trade(2)], [trade(2), trade(3)], []))
    assert [fill.order_hash for fill in found] == [order(1), order(2), order(3)]
    assert found[0] == Fill("t1", order(1), True, 1_700_000_000, "0xmarket", "10", "0.5")


def test_the_makers_own_order_is_found_among_others() -> None:
    makers = [maker(7, THEIRS), maker(8, OURS.lower()), maker(9, OURS.upper().replace("X", "x"))]
    found = own_fills(venue([trade(1, trader_side="MAKER", maker_orders=makers)]))
    assert [(fill.order_hash, fill.taker, fill.size) for fill in found] == [
        (order(8), False, "4"),
        (order(9), False, "4"),
    ]


def test_one_who_trades_with_himself_has_two_fills() -> None:
    found = own_fills(venue([trade(1, maker_orders=[maker(8, OURS)])]))
    assert [fill.order_hash for fill in found] == [order(1), order(8)]


@pytest.mark.parametrize(
    "spoil",
    [
        {"trader_side": "MAKER"},
        {"trader_side": ""},
        {"trader_side": "MAKER", "maker_address": "", "maker_orders": [maker(1, "")]},
    ],
)
def test_a_trade_that_hides_our_order_is_not_passed_over(spoil: dict[str, object]) -> None:
    with pytest.raises(TradesUnclear):
        own_fills(venue([trade(2), trade(1, **spoil)]))


@pytest.mark.parametrize("spoilt", ["", "0x", "0x00", "no hash", "0x" + "g" * 64])
def test_an_order_without_a_hash_is_refused(spoilt: str) -> None:
    with pytest.raises(PagesUnreadable):
        own_fills(venue([trade(1, taker_order_id=spoilt)]))
    with pytest.raises(PagesUnreadable):
        own_open_orders(venue([{"id": spoilt}]))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b'{"error":"Unauthorized"}'),
        (500, b""),
        (404, b'{"data":[],"next_cursor":"LTE="}'),
        (200, b""),
        (200, b"[]"),
        (200, b'{"data":[{}],"next_cursor":"LTE="}'),
        (200, b'{"data":[]}'),
        (200, b"\xff"),
    ],
)
def test_what_is_no_page_is_refused(status: int, body: bytes) -> None:
    with pytest.raises(PagesUnreadable):
        own_fills(answer(status, body))
    with pytest.raises(PagesUnreadable):
        own_open_orders(answer(status, body))


def test_pages_that_go_in_circles_are_refused() -> None:
    again = answer(200, b'{"data":[],"next_cursor":"Mg=="}')
    with pytest.raises(PagesUnreadable, match="lead back"):
        own_fills(again)
    with pytest.raises(PagesUnreadable, match="lead back"):
        own_fills(venue_at("ü"))


def venue_at(cursor: str) -> Callable[[bytes], VenueResponse]:
    """Answers once, with that cursor."""
    asked: list[bytes] = []

    def ask(at: bytes) -> VenueResponse:
        assert not asked, "no cursor goes to the enclave that it would refuse"
        asked.append(at)
        return VenueResponse(200, (), json.dumps({"data": [], "next_cursor": cursor}).encode())

    return ask


def test_an_unreadable_time_is_none() -> None:
    assert own_fills(venue([trade(1, match_time="soon")]))[0].matched_s == 0


def test_open_orders_of_all_pages() -> None:
    pages: list[list[dict[str, object]]] = [[{"id": "0x" + order(n).hex()}] for n in (1, 2)]
    assert own_open_orders(venue(*pages)) == {order(1), order(2)}
