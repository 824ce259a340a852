"""The tables: complete, exact, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.report.people import NOBODY, People, PeopleMalformed, Person
from strongroom_host.log.report.reading import read
from strongroom_host.log.report.tables import DECISION_COLUMNS, TABLES, DecisionTable, write_table

from tests.host.log.report.days import MODEL, PEOPLE, Day, a_day, people_file
from tests.wire.samples import byte, public

Row = dict[str, str]
DAY = a_day()
RECORD, DECISIONS = DAY.read()


def parsed(text: str) -> list[Row]:
    """Return the rows, after checking that each has a cell for each column."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def decisions(day: Day = DAY, people: People = PEOPLE) -> list[Row]:
    stream = io.StringIO(newline="")
    made = DecisionTable(stream, people)
    for decision in day.read()[1]:
        made.add(decision)
    return parsed(stream.getvalue())


def rows(name: str, people: People = PEOPLE) -> list[Row]:
    stream, (columns, give) = io.StringIO(newline=""), TABLES[name]
    write_table(stream, columns, give(RECORD, people))
    return parsed(stream.getvalue())


def test_one_row_for_each_decision_with_what_is_known_of_it() -> None:
    found = decisions()
    assert [int(row["leaf"]) for row in found] == [each.index for each in DECISIONS]
    signed = found[1]
    expected = {
        "time": "2027-01-15T08:00:04.000Z",
        "boot": f"0x{RECORD.boots[0].epoch.hex()}",
        "outcome": "orders signed",
        "client": "strategy",
        "client_run_by": "Bo Operator (runs the bot)",
        "key": "main",
        "model": f"sha256:{MODEL.hex()}",
        "model_name": "momentum 3.1 (quotes)",
        "inputs": f"sha256:{byte(1).hex()}",
        "model_decision_leaf": "3",
        "orders": "2",
        "order_hashes": f"0x{byte(4).hex()} 0x{byte(5).hex()}",
        "counted_pusd": "7",
        "key_total_pusd": "7",
        "key_total_orders": "2",
        "code": "OK",
        "intent": f"sha256:{byte(0x55).hex()}",
        "request": f"sha256:{byte(0x77).hex()}",
        "opened": "yes",
    }
    empty = dict.fromkeys(DECISION_COLUMNS, "")
    assert signed == {**empty, "leaf": "4", **expected}
    denied = found[5]
    assert (denied["rule"], denied["limit"], denied["actual"], denied["unit"]) == (
        *("ORDER_NOTIONAL", "250000000", "600000000", "micro"),
    )
    assert denied["request"] == ""
    assert "limit 250.000000 pUSD" in denied["because"]
    assert found[0]["model_output"] == f"sha256:{byte(0xFE).hex()}"


def test_cells_of_what_is_not_known_are_empty_and_say_why() -> None:
    stream = io.StringIO(newline="")
    made = DecisionTable(stream, NOBODY)
    for decision in read(DAY.kept.entries, lambda _: None, {})[1]:
        made.add(decision)
    for row in parsed(stream.getvalue()):
        assert row["opened"] == "no"
        assert row["remarks"].startswith("The details are not in this copy")
        for column in ("client", "key", "orders", "counted_pusd", "code", "limit", "intent"):
            assert row[column] == ""
    assert [row["rule"] for row in parsed(stream.getvalue())].count("KILL_SWITCH") == 1


def test_sums_over_the_rows_are_the_totals() -> None:
    counted = sum(Decimal(row["counted_pusd"] or 0) for row in decisions())
    assert counted == sum(Decimal(row["counted_pusd"]) for row in rows("usage")) == 15
    assert counted == sum(Decimal(row["counted_pusd"]) for row in rows("models"))
    orders = sum(int(row["orders"] or 0) for row in decisions())
    assert orders == sum(int(row["counted_orders"]) for row in rows("usage")) == 5
    totals = {(row["of"], row["what"]): int(row["count"]) for row in rows("totals")}
    entries = [
        n for (of, what), n in totals.items() if of == "entries of the log" and what != "all"
    ]
    assert sum(entries) == totals["entries of the log", "all"] == 19
    listed = [n for (of, what), n in totals.items() if of == "decisions of the period"]
    assert sum(listed) == 2 * totals["decisions of the period", "all"] == 26


def test_every_table_has_its_rows() -> None:
    lengths = {name: len(rows(name)) for name in TABLES if name != "totals"}
    assert lengths == {
        "boots": 2, "permits": 3, "stops": 2, "keys": 2, "usage": 2, "models": 3, "gaps": 1,
    }  # fmt: skip
    assert [row["budget_pusd"] for row in rows("permits")] == ["500", "100", "0.000001"]
    assert rows("stops")[1]["first_denied_leaf"] == "14"


def test_names_cannot_be_formulas() -> None:
    thrown = rows("stops")[1]["thrown_by"]
    assert thrown.startswith("'=cmd|")
    for name in TABLES:
        for row in rows(name):
            assert not [
                cell
                for cell in row.values()
                if cell[:1] in set("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20") - {""}
            ]


@given(st.text())
def test_no_text_begins_a_formula_and_all_of_it_is_there(text: str) -> None:
    stream = io.StringIO(newline="")
    write_table(stream, ("one", "other"), [(text, "x")])
    (row,) = parsed(stream.getvalue())
    assert row["one"] in (text, f"'{text}")
    assert row["one"][:1] not in {*"=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20"}


# --- names ----------------------------------------------------------------------------------------


def test_names_by_key_client_and_digest() -> None:
    assert PEOPLE.owners[public(1)] == Person("Ada Holder", "head of trading")
    assert str(PEOPLE.clients["strategy"]) == "Bo Operator (runs the bot)"
    assert str(Person("Ada")) == "Ada"
    assert len(PEOPLE.digest) == 32
    assert NOBODY.digest == b""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"strongroom-people/1", b"strongroom-people/2"),
        (b'"role"', b'"rule"'),
        (public(1).hex().encode(), public(1).hex().upper().encode()),
        (public(1).hex().encode(), public(2).hex().encode()),
        (b'"Ada Holder"', b'""'),
        (b'"Ada Holder"', b"7"),
        (b"}", b""),
    ],
)
def test_files_of_names_that_are_none(old: bytes, new: bytes) -> None:
    data = people_file()
    assert old in data
    with pytest.raises(PeopleMalformed) as caught:
        People.parse(data.replace(old, new))
    assert caught.value.expected
