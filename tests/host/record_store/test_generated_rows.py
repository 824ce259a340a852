"""The generated rows are those of the tables, and fresh; the generator skips nothing it reads."""

import dataclasses
import typing
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import ModuleType, NoneType

import pytest
from strongroom_host.record_store import rows
from strongroom_host.record_store.connecting import connect, statement

from tests.architecture.source import ROOT
from tests.host.record_store.catalogue import read_catalogue
from tests.host.record_store.databases import Database
from tests.tools.loading import load

KINDS = {
    "bigint": int,
    "integer": int,
    "bytea": bytes,
    "boolean": bool,
    "character varying": str,
    "numeric": Decimal,
    "timestamp": datetime,
}
TABLES = {row.TABLE: row for name in rows.__all__ if hasattr(row := getattr(rows, name), "TABLE")}
SCHEMA = (ROOT / "prisma/schema.prisma").read_text()


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load("prisma_rows")


def test_each_row_is_its_table_s(database: Database) -> None:
    with connect(database.migrate, "test") as connection:
        catalogue = read_catalogue(connection)
    assert catalogue.columns.keys() == TABLES.keys()
    for table, row in TABLES.items():
        fields = {field.name: field for field in dataclasses.fields(row)}
        assert set(fields) == set(catalogue.columns[table])
        hints = typing.get_type_hints(row)
        for name, column in catalogue.columns[table].items():
            kinds = set(typing.get_args(hints[name])) or {hints[name]}
            filled = name not in row.GIVEN
            assert (NoneType in kinds) == (column.nullable or filled), (table, name)
            [kind] = kinds - {NoneType}
            base = column.type.split("(")[0]
            if base in catalogue.enums:
                assert issubclass(kind, StrEnum)
                assert [member.value for member in kind] == catalogue.enums[base]
            else:
                assert kind is KINDS[base], (table, name)
        with connect(database.migrate, "test") as connection:
            assert connection.execute(statement(f"{row.SELECT} LIMIT 0")).fetchall() == []


def test_no_column_is_a_float(database: Database) -> None:
    with connect(database.migrate, "test") as connection:
        columns = read_catalogue(connection).columns.values()
    kinds = {column.type.split("(")[0] for table in columns for column in table.values()}
    assert kinds.isdisjoint({"real", "double precision", "money"})


def test_what_is_committed_is_fresh(generator: ModuleType) -> None:
    fresh = generator.render(*generator.read_schema(SCHEMA))
    assert generator.ROWS.read_text() == fresh
    assert generator.main(["--check"]) == 0


def test_a_change_of_the_schema_makes_it_stale(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed = tmp_path / "schema.prisma"
    changed.write_text(SCHEMA.replace("priority    Int ", "urgency     Int "))
    monkeypatch.setattr(generator, "SCHEMA", changed)
    assert changed.read_text() != SCHEMA
    assert generator.main(["--check"]) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("wrapped   Bytes", "wrapped   Bytes @updatedAt"),
        ("wrapped   Bytes", "wrapped   Float"),
        ("wrapped   Bytes", "wrapped   Bytes[]"),
        ("wrapped   Bytes", "wrapped   Json"),
        ('@@map("users")', '@@map("users")\n  @@schema("x")'),
        ('  @@map("users")', ""),
        ("  QUEUED\n", "  queued\n"),
        ("enum JobState {", "view JobState {"),
        ("/// Whose accounts these are; the name is the one that readers are limited by.\n", ""),
    ],
)
def test_what_it_cannot_read_it_refuses(generator: ModuleType, old: str, new: str) -> None:
    changed = SCHEMA.replace(old, new, 1)
    assert changed != SCHEMA
    with pytest.raises(generator.Unreadable):
        generator.read_schema(changed)
