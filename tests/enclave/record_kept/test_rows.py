"""Rows: what was added comes back, and whatever else a database hands over is refused by name."""

from collections.abc import Callable
from decimal import Decimal
from secrets import token_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError, msgpack
from strongroom_enclave.datakeys import DataKey, KeyUnknown, SealForged
from strongroom_enclave.record.errors import EventInvalid, RowsReplaced
from strongroom_enclave.record.events import Event, Side
from strongroom_enclave.record.state import FLOWS, TRADES, Chain
from strongroom_wire.encoding import digest, pack, u64
from strongroom_wire.errors import WireError
from strongroom_wire.record import UNCHAINED, Tip

from tests.enclave.record_kept.samples import EVENTS, KEY, KEYS, OTHER, VENUE, flow, trade

COUNT = 6
ALL = [(0, KEY.id)]


def written(
    account: str = "ada", table: str = TRADES, key: DataKey = KEY, first: int = 0
) -> tuple[list[bytes], Tip]:
    chain = Chain(account, VENUE, "test", table)
    make = trade if table == TRADES else flow
    return [chain.add(key, make(first + number)) for number in range(COUNT)], chain.tip


ROWS, TIP = written()


def read(rows: list[bytes], tip: Tip = TIP, **keys: DataKey) -> list[Event]:
    known = KEYS | {key.id: key for key in keys.values()}
    counted = [(0, KEY.id)] if not keys else [(0, KEY.id), (2, keys["new"].id)]
    return Chain("ada", VENUE, "test", TRADES).read(known, rows, tip, counted)


@given(
    st.sampled_from([TRADES, FLOWS]).flatmap(
        lambda table: st.tuples(st.just(table), st.lists(EVENTS[table], max_size=8))
    ),
    st.integers(0, 8),
)
def test_what_was_added_comes_back_to_the_last_digit(
    given_: tuple[str, list[Event]], split: int
) -> None:
    table, events = given_
    chain = Chain("ada", VENUE, "test", table)
    tips = [chain.tip]
    rows = []
    for event in events:
        rows.append(chain.add(KEY, event))
        tips.append(chain.tip)
    back = Chain("ada", VENUE, "test", table)
    found = back.read(KEYS, rows, chain.tip, ALL)
    assert found == events
    assert back.tip == chain.tip == (len(events), chain.tip[1])
    assert [str(event) for event in found] == [str(event) for event in events]
    # A run that was killed before its receipt left rows beyond it: they are read as well.
    assert (
        Chain("ada", VENUE, "test", table).read(KEYS, rows, tips[min(split, len(events))], ALL)
        == events
    )
    part = Chain("ada", VENUE, "test", table)
    part.read(KEYS, rows[:split], tips[len(rows[:split])], ALL)
    assert part.read(KEYS, rows[split:], chain.tip, ALL) == events[split:]


def test_rows_are_the_documented_ones() -> None:
    place = pack(b"strongroom/record/row/v1", b"ada", b"binance", b"test", b"trades")
    found = bytes(32)
    for number, row in enumerate(ROWS):
        name = KEY.name(place, msgpack.encode(trade(number).order[1:]))
        here = pack(b"strongroom/record/row/v1", place, u64(number), name)
        assert row == name + KEY.seal(here, msgpack.encode(trade(number)))
        found = digest(b"strongroom/record/chain/v1", found, row)
    assert (COUNT, found.hex()) == TIP


def test_names_tell_doubles_and_nothing_else() -> None:
    chain = Chain("ada", VENUE, "test", TRADES)
    one, two = chain.add(KEY, trade(1)), chain.add(KEY, trade(1))
    assert one[:32] == two[:32]
    assert one != two
    names = {
        written(account, table, key)[0][1][:32]
        for account in ("ada", "eve")
        for table in (TRADES, FLOWS)
        for key in (KEY, OTHER)
    }
    assert len(names) == 8
    assert all(b"BTC" not in row and b"60000" not in row for row in ROWS)


def edited(at: int) -> list[bytes]:
    row = bytearray(ROWS[3])
    row[at] ^= 1
    return [*ROWS[:3], bytes(row), *ROWS[4:]]


FORK, FORK_TIP = written(first=100)
HANDED: dict[str, tuple[type[WireError], Callable[[], list[bytes]]]] = {
    "its name edited": (SealForged, lambda: edited(0)),
    "its key's name edited": (KeyUnknown, lambda: edited(32)),
    "its nonce edited": (SealForged, lambda: edited(48)),
    "its content edited": (SealForged, lambda: edited(60)),
    "its tag edited": (SealForged, lambda: edited(-1)),
    "a row cut": (SealForged, lambda: [*ROWS[:3], ROWS[3][:-1], *ROWS[4:]]),
    "a row of nothing": (KeyUnknown, lambda: [*ROWS[:3], b"", *ROWS[4:]]),
    "two reordered": (SealForged, lambda: [*ROWS[:2], ROWS[3], ROWS[2], *ROWS[4:]]),
    "one doubled": (SealForged, lambda: [*ROWS[:3], ROWS[2], *ROWS[3:]]),
    "the last one doubled": (SealForged, lambda: [*ROWS, ROWS[-1]]),
    "one dropped": (SealForged, lambda: [*ROWS[:2], *ROWS[3:]]),
    "the last one dropped": (RowsReplaced, lambda: ROWS[:-1]),
    "all dropped": (RowsReplaced, list),
    "another account's": (SealForged, lambda: [*ROWS[:3], written("eve")[0][3], *ROWS[4:]]),
    "another table's": (SealForged, lambda: [*ROWS[:3], written(table=FLOWS)[0][3], *ROWS[4:]]),
    "another user's": (KeyUnknown, lambda: written(key=OTHER)[0]),
    "a fork's last one": (RowsReplaced, lambda: [*ROWS[:-1], FORK[-1]]),
    "a fork's first one": (RowsReplaced, lambda: [FORK[0], *ROWS[1:]]),
    "a fork's": (RowsReplaced, lambda: FORK),
}


@pytest.mark.parametrize("how", HANDED)
def test_what_a_lying_database_hands_over_is_refused_by_name(how: str) -> None:
    error, rows = HANDED[how]
    with pytest.raises(error):
        read(rows())


def test_a_fork_is_refused_though_more_rows_follow_and_though_none_is_counted() -> None:
    with pytest.raises(RowsReplaced):
        read(FORK, (3, TIP[1]))
    with pytest.raises(RowsReplaced):
        read(ROWS, (0, TIP[1]))
    with pytest.raises(RowsReplaced):
        read([], (0, TIP[1]))


def test_rows_of_another_venue_are_refused() -> None:
    with pytest.raises(SealForged):
        Chain("ada", "kraken", "test", TRADES).read(KEYS, ROWS, TIP, ALL)


def test_rows_of_another_environment_are_refused() -> None:
    """A user's key of a development boot opens in a production one of the same owners."""
    with pytest.raises(SealForged):
        Chain("ada", VENUE, "live", TRADES).read(KEYS, ROWS, (0, UNCHAINED), ALL)


def test_rows_stay_readable_after_a_rotation() -> None:
    new, chain = DataKey("ada", token_bytes(32)), Chain("ada", VENUE, "test", TRADES)
    rows = [chain.add(key, trade(number)) for number, key in enumerate((KEY, KEY, new, new))]
    assert read(rows, chain.tip, new=new) == [trade(number) for number in range(4)]
    with pytest.raises(KeyUnknown):
        read(rows, chain.tip)


def test_a_row_counts_under_the_key_of_its_place_alone() -> None:
    """Whatever runs with other credentials have left behind, beyond their receipts and below."""
    new, chain = DataKey("ada", token_bytes(32)), Chain("ada", VENUE, "test", TRADES)
    under = [KEY, KEY, new, KEY, new, KEY]
    rows = [chain.add(key, trade(number)) for number, key in enumerate(under)]
    for counted, numbers in (
        ([(0, KEY.id), (2, new.id)], [0, 1, 2, 4]),
        ([(0, KEY.id)], [0, 1, 3, 5]),
        ([(2, new.id)], [2, 4]),
        ([(0, KEY.id), (2, new.id), (2, KEY.id)], [0, 1, 3, 5]),
        ([(6, new.id)], []),
        ([], []),
    ):
        back = Chain("ada", VENUE, "test", TRADES)
        found = back.read({**KEYS, new.id: new}, rows, chain.tip, counted)
        assert found == [trade(number) for number in numbers]
        assert back.tip == chain.tip  # the receipts go on from all of them


def test_what_an_image_of_another_layout_sealed_is_not_read() -> None:
    """Nobody else can seal for a row's place; a later layout is not taken for this one."""
    place = pack(b"strongroom/record/row/v1", b"ada", b"binance", b"test", b"trades")
    here = pack(b"strongroom/record/row/v1", place, u64(0), bytes(32))
    known = msgpack.decode(msgpack.encode(trade(0)))
    for content, error in (
        (b"", DecodeError),
        (msgpack.encode(trade(0)) + b"\0", DecodeError),
        (msgpack.encode({**known, "side": 2}), DecodeError),
        (msgpack.encode({**known, "price": "NaN"}), EventInvalid),
        (msgpack.encode({**known, "amount": "0"}), EventInvalid),
    ):
        chain = Chain("ada", VENUE, "test", TRADES)
        with pytest.raises(error):
            chain.read(KEYS, [bytes(32) + KEY.seal(here, content)], (1, "0" * 64), ALL)


def test_an_event_of_the_other_side_is_another_row() -> None:
    one = Chain("ada", VENUE, "test", TRADES).add(KEY, trade(0))
    sold = type(trade(0))(1000, "t0", "BTC/USDT", Side.SELL, Decimal("0.5"), Decimal("60000.10"))
    other = Chain("ada", VENUE, "test", TRADES).add(KEY, sold)
    assert one[:32] == other[:32]
    assert one[48:60] != other[48:60]
