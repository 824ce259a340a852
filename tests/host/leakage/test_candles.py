"""Files of prices: both forms, and what is none."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import BadInput
from strongroom_host.leakage.candles import parse_candles, read_candles
from strongroom_host.leakage.errors import CandlesUnreadable

HOUR_MS = 3_600_000
HEAD = "time_ms,asset,price\n"


def test_closes_count_at_the_ends_of_candles() -> None:
    rows = [[at * HOUR_MS, 1, 9, 1, price, 7] for at, price in enumerate((10.0, 11.0, 12.1))]
    candles = parse_candles(json.dumps({"BTC/USDT": rows}))
    [changes] = candles.changes([HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS]).values()
    assert changes == pytest.approx([0.1, 0.11])
    table = HEAD + "".join(
        f"{(at + 1) * HOUR_MS},BTC/USDT,{row[4]}\n" for at, row in enumerate(rows)
    )
    assert parse_candles(table).changes([HOUR_MS, 3 * HOUR_MS]) == candles.changes(
        [HOUR_MS, 3 * HOUR_MS]
    )


def test_an_asset_without_a_price_at_each_time_is_left_out() -> None:
    candles = parse_candles(f"{HEAD}0,A,1\n1,A,2\n0,B,1\n")
    assert candles.assets == ("A", "B")
    assert candles.changes([0, 1]) == {"A": [1.0]}
    assert candles.changes([0, 2]) == {}


def test_turning_keeps_prices_and_moves_their_times() -> None:
    candles = parse_candles(HEAD + "".join(f"{at},A,{at + 1}\n" for at in range(5)))
    turned = candles.turned(2)
    assert turned.changes([2, 3, 4]) == candles.changes([0, 1, 2])
    assert turned.changes([0, 1]) == candles.changes([3, 4])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        f"{HEAD}0,A,0\n",
        f"{HEAD}0,A,-1\n",
        f"{HEAD}0,A,nan\n",
        f"{HEAD}0,A\n",
        f"{HEAD}-1,A,1\n",
        f"{HEAD}0,A,1\n0,A,2\n",
        "{}",
        "{",
        '{"A": [[0, 1, 1, 1, 1, 1]]}',
        '{"A": [[0, 1], [1, 2]]}',
        '{"A": 7}',
        '{"A": [null, null]}',
    ],
)
def test_what_holds_no_prices_is_refused(text: str) -> None:
    with pytest.raises(CandlesUnreadable):
        parse_candles(text)


@given(st.text(max_size=40))
def test_only_our_own_errors_leave_the_parser(text: str) -> None:
    for whole in (text, HEAD + text, "{" + text):
        with suppress(CandlesUnreadable):
            parse_candles(whole)


def test_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "candles.csv"
    file.write_text(f"\ufeff{HEAD}0,A,1\n")
    assert read_candles(file).assets == ("A",)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CandlesUnreadable):
        read_candles(file)
    with pytest.raises(BadInput):
        read_candles(tmp_path / "none")
