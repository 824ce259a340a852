"""Files of returns: what is written is read, and what is no series is refused."""

import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import BadInput
from strongroom_host.metrics.errors import SeriesInvalid, SeriesUnreadable
from strongroom_host.metrics.files import parse_csv, parse_json, read_series, to_csv
from strongroom_host.metrics.series import Flag

from tests.host.metrics.made import MIDNIGHT, returns, series_of

HEAD = "start_ms,hours,value,flags,closing\n"


@given(st.lists(st.none() | returns, min_size=1, max_size=30))
def test_what_is_written_is_read(values: list[Decimal | None]) -> None:
    series = series_of(values)
    assert parse_csv(to_csv(series)) == series


def test_json_keeps_every_digit_and_takes_both_forms() -> None:
    text = (
        f'[{{"start_ms": {MIDNIGHT}, "value": 0.100000000001, "closing": 12345678901234567890.5}}]'
    )
    series = parse_json(text)
    assert series.periods[0].value == Decimal("0.100000000001")
    assert series.periods[0].closing == Decimal("12345678901234567890.5")
    assert parse_json(f'{{"returns": {text}, "account": "a"}}') == series


def test_flags_are_numbers_or_names() -> None:
    series = parse_csv(f"{HEAD}{MIDNIGHT},1,,MISSING_MARK|stale_mark,\n")
    assert series.periods[0].flags == Flag.MISSING_MARK | Flag.STALE_MARK
    assert parse_csv(f"{HEAD}{MIDNIGHT},1,,68,\n") == series


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "start_ms,hours\n0,1\n",
        f"{HEAD}x,1,0.1,0,\n",
        f"{HEAD}0,1,zero,0,\n",
        f"{HEAD}0,1,inf,0,\n",
        f"{HEAD}0,1,0.1,WRONG,\n",
        f"{HEAD}0,1,0.1,999,\n",
        f"{HEAD}0,1,0.1\n",
        f"{HEAD}0,1,0.1,0,,7\n",
        f'{HEAD}0,1,"0.1,0,\n',
    ],
)
def test_csv_that_is_no_series_is_refused(text: str) -> None:
    with pytest.raises((SeriesUnreadable, SeriesInvalid)):
        parse_csv(text)


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", "[", "[" * 100_000, '{"returns": 1}', '[{"start_ms": 0, "value": true}]']
    + ['[{"start_ms": 0.5, "value": "0"}]', '[{"start_ms": true, "value": "0"}]', "[]"]
    + ['[{"start_ms": 0, "hours": -1, "value": "0"}]', '[{"start_ms": 0, "value": NaN}]'],
)
def test_json_that_is_no_series_is_refused(text: str) -> None:
    with pytest.raises((SeriesUnreadable, SeriesInvalid)):
        parse_json(text)


@given(st.text(max_size=60) | st.text(alphabet=',0123456789.-\n"[]{}', max_size=60))
def test_only_our_own_errors_leave_the_parsers(text: str) -> None:
    for parse in (parse_csv, parse_json):
        for whole in (text, HEAD + text):
            with suppress(SeriesUnreadable, SeriesInvalid):
                parse(whole)


def test_one_account_at_a_time() -> None:
    rows = [
        {"start_ms": MIDNIGHT, "value": "0", "account": "a"},
        {"start_ms": MIDNIGHT + 3_600_000, "value": "0", "account": "b"},
    ]
    with pytest.raises(SeriesInvalid, match="another series"):
        parse_json(json.dumps(rows))


def test_a_file_is_json_or_csv_by_its_beginning(tmp_path: Path) -> None:
    series = series_of(["0.1", None, "0.2"])
    file = tmp_path / "returns"
    file.write_text("\ufeff" + to_csv(series))
    assert read_series(file) == series
    file.write_text(json.dumps([{"start_ms": MIDNIGHT, "value": "0.1"}]))
    assert read_series(file) == series_of(["0.1"])
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SeriesUnreadable):
        read_series(file)
    with pytest.raises(BadInput):
        read_series(tmp_path / "none")
