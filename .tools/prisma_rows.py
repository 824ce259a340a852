"""Generate the typed rows of the record's database from prisma/schema.prisma, or check them.

    .tools/prisma_rows.py           write host/strongroom_host/record_store/rows.py
    .tools/prisma_rows.py --check   compare with what is committed; exit 1 if it is stale

The part of Prisma's language that the schema uses is read here, without Node, and anything else is
refused: what the reader skipped, the rows would lack. That the migrations make the same tables, the
tests of the record store ask a real server, and Prisma itself where Node is at hand.
"""

import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "prisma/schema.prisma"
ROWS = ROOT / "host/strongroom_host/record_store/rows.py"

SCALARS = {
    "BigInt": "int",
    "Boolean": "bool",
    "Bytes": "bytes",
    "DateTime": "datetime",
    "Decimal": "Decimal",
    "Int": "int",
    "String": "str",
}
"""No Float: money would be one before anybody saw it."""

BLOCK = re.compile(r"(?P<kind>model|enum|generator|datasource) (?P<name>\w+) \{")
FIELD = re.compile(r"(?P<name>\w+)\s+(?P<type>\w+)(?P<many>\[\])?(?P<optional>\?)?(?P<rest>.*)")
MAP = re.compile(r'(?<!@)@map\("(\w+)"\)')
TABLE = re.compile(r'@@map\("(\w+)"\)')
KEY = re.compile(r"@@id\(\[(.*)\]\)")
BLOCK_ATTRIBUTE = re.compile(r"@@(id|unique|index)\(\[[\w, ]+\]\)|@@map\(\"\w+\"\)")
FIELD_ATTRIBUTE = re.compile(
    r'@(id|unique|db\.\w+(\([\d, ]+\))?|map\("\w+"\)|default\((now\(\)|autoincrement\(\)|\w+)\)'
    r"|relation\([^)]*\))"
)


class Unreadable(Exception):
    """The schema uses what this reader does not know."""


@dataclass(frozen=True)
class Column:
    """A field that is a column: its name in Python and SQL, the Python type, if it may be None, if
    the database fills it in, and what it is when not given."""

    name: str
    type: str
    optional: bool
    filled: bool
    default: str


@dataclass
class Table:
    """A model: its documentation, the class's name, the table's name, columns and key."""

    name: str
    doc: str
    table: str = ""
    columns: list[Column] = field(default_factory=list)
    key: list[str] = field(default_factory=list)


@dataclass
class Enumeration:
    """An enum and its values."""

    name: str
    doc: str
    values: list[str] = field(default_factory=list)


def read_schema(text: str) -> tuple[list[Enumeration], list[Table]]:
    """Return the enums and models of a schema, in its order.

    Raises:
        Unreadable: a line is of no form known here.
    """
    blocks = list(_blocks(text))
    enums = [_enumeration(*block[1:]) for block in blocks if block[0] == "enum"]
    models = {block[1] for block in blocks if block[0] == "model"}
    known = {each.name for each in enums}
    return enums, [_table(*block[1:], models, known) for block in blocks if block[0] == "model"]


def _blocks(text: str) -> list[tuple[str, str, str, list[str]]]:
    found: list[tuple[str, str, str, list[str]]] = []
    doc: list[str] = []
    body: list[str] | None = None
    for line in map(str.strip, text.splitlines()):
        if body is None and (match := BLOCK.fullmatch(line)):
            body = []
            found.append((match["kind"], match["name"], " ".join(doc), body))
            doc = []
        elif body is not None and line == "}":
            body = None
        elif line.startswith("///") and body is None:
            doc.append(line.removeprefix("///").strip())
        elif line and not line.startswith("//"):
            if body is None:
                raise Unreadable(f"outside of a block: {line}")
            body.append(line)
    return found


def _enumeration(name: str, doc: str, lines: list[str]) -> Enumeration:
    values = [line for line in lines if not TABLE.fullmatch(line)]
    if not all(re.fullmatch(r"[A-Z_]+", value) for value in values):
        raise Unreadable(f"enum {name}: {values}")
    return Enumeration(name, doc, values)


def _table(name: str, doc: str, lines: list[str], models: set[str], enums: set[str]) -> Table:
    table = Table(name, doc)
    sql: dict[str, str] = {}
    for line in lines:
        if line.startswith("@@"):
            if not BLOCK_ATTRIBUTE.fullmatch(line):
                raise Unreadable(f"model {name}: {line}")
            if match := TABLE.fullmatch(line):
                table.table = match[1]
            elif match := KEY.fullmatch(line):
                table.key = [part.strip() for part in match[1].split(",")]
            continue
        match = FIELD.fullmatch(line)
        if match is None or FIELD_ATTRIBUTE.sub("", match["rest"]).strip():
            raise Unreadable(f"model {name}: {line}")
        if match["type"] in models:
            continue
        if match["many"] or match["type"] not in SCALARS.keys() | enums:
            raise Unreadable(f"model {name}: {line}")
        renamed = MAP.search(match["rest"])
        sql[match["name"]] = renamed[1] if renamed else match["name"]
        kind = SCALARS.get(match["type"], match["type"])
        column = sql[match["name"]]
        filled = "now()" in line or "autoincrement()" in line
        default = re.search(r"@default\((\w+)\)", line)
        value = default[1] if default else "None" if filled else ""
        value = value.capitalize() if kind == "bool" else value
        value = f"{kind}.{value}" if default and kind in enums else value
        optional = bool(match["optional"]) or filled
        table.columns.append(Column(column, kind, optional, filled, value))
        if re.search(r"@id\b", match["rest"]):
            table.key = [match["name"]]
    if not table.table or not table.key or not table.doc:
        raise Unreadable(f"model {name} lacks a name, a key or a description")
    table.key = [sql[part] for part in table.key]
    return table


def render(enums: list[Enumeration], tables: list[Table]) -> str:
    """Return the Python module, formatted."""
    names = sorted([each.name for each in enums] + [each.name for each in tables])
    lines = [
        '"""Rows of the record\'s database, one class per table, and the SQL that names them all.'
    ]
    lines += [
        "",
        "Generated from prisma/schema.prisma by `make prisma`; edit that. What the database",
    ]
    lines += ["fills in is None in a row that was not read from it.", '"""', ""]
    lines += ["from dataclasses import dataclass", "from datetime import datetime"]
    lines += ["from decimal import Decimal", "from enum import StrEnum"]
    lines += ["from typing import ClassVar", ""]
    lines += [f"__all__ = {names!r}"]
    for enum in enums:
        lines += ["", "", f"class {enum.name}(StrEnum):", *_docstring(enum.doc), ""]
        lines += [f'    {value} = "{value}"' for value in enum.values]
    for table in tables:
        lines += ["", "", "@dataclass(frozen=True, slots=True, kw_only=True)"]
        lines += [f"class {table.name}:", *_docstring(table.doc), ""]
        lines += _constants(table)
        for column in table.columns:
            kind = f"{column.type} | None" if column.optional else column.type
            lines.append(f"    {column.name}: {kind}{column.default and f' = {column.default}'}")
    return _formatted("\n".join(lines) + "\n")


def _docstring(text: str) -> list[str]:
    words, lines = text.split(), ['    """']
    for word in words:
        if len(lines[-1]) + len(word) > 95:
            lines.append("    ")
        lines[-1] += word if lines[-1].endswith(('"""', "    ")) else f" {word}"
    lines[-1] += '"""'
    return lines


def _constants(table: Table) -> list[str]:
    columns = [column.name for column in table.columns]
    given = [column.name for column in table.columns if not column.filled]
    listed = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(f"%({name})s" for name in given)
    inserted = ", ".join(f'"{name}"' for name in given)
    select = f'SELECT {listed} FROM "{table.table}"'  # noqa: S608  # names of our own schema
    insert = f'INSERT INTO "{table.table}" ({inserted}) VALUES ({values})'  # noqa: S608
    return [
        f"    TABLE: ClassVar = {table.table!r}",
        f"    KEY: ClassVar = {tuple(table.key)!r}",
        f"    GIVEN: ClassVar = {tuple(given)!r}",
        *_sql("SELECT", select),
        *_sql("INSERT", insert),
        "",
    ]


def _sql(name: str, text: str) -> list[str]:
    lines = [f"    {name}: ClassVar = ("]
    current = ""
    for word in text.split(" "):
        if len(current) + len(word) > 80:
            lines.append(f"        {current + ' '!r}")
            current = word
        else:
            current = f"{current} {word}".strip()
    return [*lines, f"        {current!r}", "    )"]


def _formatted(source: str) -> str:
    ruff = [str(pathlib.Path(sys.executable).parent / "ruff"), "format", "--stdin-filename", ROWS]
    done = subprocess.run(
        [*map(str, ruff), "-"], input=source, capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


def main(arguments: list[str]) -> int:
    """Generate, or with `--check` compare; return the exit status."""
    fresh = render(*read_schema(SCHEMA.read_text(encoding="utf-8")))
    if "--check" not in arguments:
        ROWS.write_text(fresh, encoding="utf-8")
        return 0
    if not ROWS.exists() or ROWS.read_text(encoding="utf-8") != fresh:
        print(f"stale: {ROWS.relative_to(ROOT)}: run `make prisma`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
