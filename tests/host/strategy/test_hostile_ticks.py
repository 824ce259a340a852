"""A tape or a ring may hold anything that fits 64 bytes: sessions go on, and can be explained."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongroom_host.charts.terminal import plot
from strongroom_host.ring.tick import RECORD, Flag, Kind, Side, Status
from strongroom_host.strategy.backtest import backtest
from strongroom_host.strategy.book import Book
from strongroom_host.strategy.decisions import Record, SessionRecord
from strongroom_host.strategy.explain import explain
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.port import TickView
from strongroom_host.strategy.registry import load_strategy
from strongroom_host.strategy.report import Subject, curve_of_account, page
from strongroom_host.tape.reader import TapeReader

from tests.host.strategy.ticks import CENT, COIN, MEMPOOL, MS, OTHER, TOKEN, UNIT, Kept, write_tape

OPTIONS: dict[str, dict[str, str]] = {
    "baseline": {"market": TOKEN},
    "gru": {"market": TOKEN, "mempool": MEMPOOL, "runtime": "exact", "warm": "1"},
    "whale": {
        "market": OTHER,
        "rising": TOKEN,
        "coin": COIN,
        "transfer_btc": "1",
        "trade_btc": "1",
    },
}
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
U64 = st.integers(0, (1 << 64) - 1)
PRICES = st.sampled_from([0, 1, CENT, 49 * CENT, 50 * CENT, 51 * CENT, UNIT, -1]) | I64
SIZES = st.sampled_from([0, 1, UNIT, 500 * UNIT, -1]) | I64
TICKS = st.tuples(
    st.integers(0, 3 * MS) | U64,  # how much later; wraps, so the clock goes back as well
    PRICES,
    SIZES,
    st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4, 9, (1 << 32) - 1]),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from([*map(int, Kind), 0, 255]),
    st.sampled_from([1, 2, 1, 2, 0, 3, 255]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([0, 1, 2, 2, 3, 255]),
    st.sampled_from([*map(int, Status), 0]) | U64,
)


@pytest.mark.parametrize("name", sorted(OPTIONS))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ticks=st.lists(TICKS, min_size=1, max_size=80))
def test_whatever_a_tick_says_the_session_goes_on_and_can_be_run_again(
    name: str, tmp_path_factory: pytest.TempPathFactory, ticks: list[tuple[int, ...]]
) -> None:
    data, now = bytearray(), 0
    for number, (later, price, size, of, epoch, *whose, detail) in enumerate(ticks):
        now = (now + later) % (1 << 64)
        data += RECORD.pack(number + 1, now, 0, price, size, of, epoch, number, *whose, detail)
    path = write_tape(tmp_path_factory.mktemp("any") / "x.tape", data)
    with TapeReader(path) as tape:
        strategy = load_strategy(name, OPTIONS[name], tape.names)
        records: list[Record] = []
        result = backtest(strategy, tape, Costs(), write=records.append)
        times = [at for at, _ in result.equity]
        assert times == sorted(times)
        assert plot(curve_of_account(result), width=80, height=8)
        assert page(Subject("x", name, "", {}, result))
        parameters = dict(strategy.parameters)
        head = SessionRecord(name, strategy.model_sha256.hex(), parameters, tape.names, "x", 1)
        again = load_strategy(name, OPTIONS[name], tape.names)
        found = explain(head, records, tape, again, killed=True)
        assert found.repeated == result.decisions


def test_a_level_of_nobodys_side_leaves_no_book_to_believe() -> None:
    sink = Kept()
    book = Book()

    def level(side: int, price: int, flags: int = int(Flag.LAST)) -> None:
        sink.publish(int(Kind.LEVEL), side, 1, flags, 1, 1, 0, price, UNIT, 0, 0, 0)

    level(int(Side.BUY), 40 * CENT, int(Flag.SNAPSHOT))
    level(int(Side.SELL), 60 * CENT, int(Flag.SNAPSHOT | Flag.LAST))
    level(3, 50 * CENT)
    first, second, third = (view.copy() for view in sink.views())
    for data in (first, second):
        book.apply(TickView(data))
    assert (book.good, book.bids, book.asks) == (True, {40 * CENT: UNIT}, {60 * CENT: UNIT})
    book.apply(TickView(third))
    assert (book.good, book.bids, book.asks) == (False, {}, {})


def test_a_tape_whose_clock_went_back_has_a_curve_that_does_not(tmp_path: Path) -> None:
    data = bytearray()
    for number, at in enumerate((5_000 * MS, 90_000 * MS, 7_000 * MS)):
        data += RECORD.pack(number + 1, at, 0, 50 * CENT, UNIT, 1, 1, number, 3, 1, 1, 2, 0)
    with TapeReader(write_tape(tmp_path / "x.tape", data)) as tape:
        result = backtest(load_strategy("baseline", {"market": TOKEN}, tape.names), tape, Costs())
    times = [at for at, _ in result.equity]
    assert times == sorted(times)
    assert times[-1] - times[0] == 85_000
    assert plot(curve_of_account(result), width=80, height=8)
