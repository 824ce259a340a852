"""Series of returns in files: CSV, or JSON as the gateway serves it.

CSV has a header; JSON is a list of objects, or an object whose `returns` is one. Fields:

    start_ms  the first hour's beginning, ms since the epoch
    hours     the length; 1 where the field is absent
    value     the return as a decimal fraction; empty or null where there is none
    flags     their sum, or their names joined by |; 0 where the field is absent
    closing   equity at the end; may be empty, null or absent

Other fields are let through, but those that say whose series it is must not change within it.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, cast

from strongroom_host.metrics.errors import SeriesInvalid, SeriesUnreadable
from strongroom_host.metrics.series import Flag, Period, Series
from strongroom_host.private_files import read_file

__all__ = ["LIMIT", "parse_csv", "parse_json", "read_series", "to_csv"]

LIMIT: Final = 64 << 20
"""Bytes of a file: a hundred years of hours and more."""

_WHOSE: Final = ("account", "currency", "venue", "environment", "mode")
_DIGITS: Final = 60


def read_series(path: Path) -> Series:
    """Returns the series in a file: JSON if it begins like JSON, CSV otherwise.

    Raises:
        BadInput: the file cannot be read; SeriesUnreadable, SeriesInvalid: it holds no series.
    """
    try:
        text = read_file(path, limit=LIMIT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable("the file is no text", "UTF-8", error.reason) from error
    return parse_json(text) if text.lstrip()[:1] in ("[", "{") else parse_csv(text)


def parse_json(text: str) -> Series:
    """Returns the series in a JSON text. Numbers keep every digit that is written.

    Raises:
        SeriesUnreadable: it is no JSON, or not of that form.
        SeriesInvalid: the periods contradict themselves or each other.
    """
    try:
        found: object = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise _unreadable("the file is no JSON", "a list of returns", error) from error
    if isinstance(found, dict):
        found = found.get("returns")
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise _unreadable(
            "the JSON holds no returns",
            'a list of objects, or {"returns": [...]}',
            type(found).__name__,
        )
    return _series(cast(list[Mapping[str, object]], found))


def parse_csv(text: str) -> Series:
    """Returns the series in a CSV text.

    Raises:
        SeriesUnreadable: a field is missing, or is not what it has to be.
        SeriesInvalid: the periods contradict themselves or each other.
    """
    rows = csv.DictReader(io.StringIO(text), strict=True)
    try:
        found = list(rows)
    except csv.Error as error:
        raise _unreadable("the file is no CSV", "rows of one header", error) from error
    if any(None in row or None in row.values() for row in found):
        raise _unreadable(
            "a row has more or fewer fields than the header", "as many", "another number"
        )
    return _series(found)


def to_csv(series: Series) -> str:
    """Returns the series as `parse_csv` reads it; holes are left out, and found again as holes."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("start_ms", "hours", "value", "flags", "closing"))
    for each in series.periods:
        if each.value is not None or each.flags:
            value = "" if each.value is None else f"{each.value:f}"
            closing = "" if each.closing is None else f"{each.closing:f}"
            rows.writerow((each.start_ms, each.hours, value, int(each.flags), closing))
    return out.getvalue()


def _series(rows: Iterable[Mapping[str, object]]) -> Series:
    whose = dict[str, object]()
    periods = list[Period]()
    for number, row in enumerate(rows, start=1):
        for field in _WHOSE:
            if field in row and whose.setdefault(field, row[field]) != row[field]:
                raise SeriesInvalid(
                    f"row {number} belongs to another series",
                    expected=f"one {field}: {whose[field]}",
                    actual=row[field],
                    remedy="split the file; returns of several accounts do not make one series",
                )
        periods.append(_period(row, number))
    return Series.of(periods)


def _period(row: Mapping[str, object], number: int) -> Period:
    start_ms = _whole(row.get("start_ms"), "start_ms", number)
    hours = _whole(row.get("hours", 1), "hours", number)
    if "value" not in row:
        raise _unreadable(f"row {number} has no value", "a return, or an empty field", "no field")
    value = _number(row["value"], "value", number)
    closing = _number(row.get("closing"), "closing", number)
    return Period(start_ms, hours, value, _flags(row.get("flags", 0), number), closing)


def _whole(value: object, field: str, number: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _unreadable(f"row {number}: {field} is no whole number", "digits", value)


def _number(value: object, field: str, number: int) -> Decimal | None:
    if value in (None, ""):
        return None
    if isinstance(value, int | str | Decimal) and not isinstance(value, bool):
        try:
            found = Decimal(value)
        except InvalidOperation:
            found = Decimal("nan")
        if found.is_finite() and len(found.as_tuple().digits) <= _DIGITS:
            return found
    raise _unreadable(f"row {number}: {field} is no number", "a decimal, or nothing", value)


def _flags(value: object, number: int) -> Flag:
    if value in (None, ""):
        return Flag(0)
    if isinstance(value, str) and not value.isdigit():
        found = Flag(0)
        for name in value.split("|"):
            flag = Flag.__members__.get(name.strip().upper())
            if flag is None:
                known = "|".join(Flag.__members__)
                raise _unreadable(f"row {number} has a flag that is not known", known, name)
            found |= flag
        return found
    whole = _whole(value, "flags", number)
    if not 0 <= whole <= sum(Flag):
        raise _unreadable(f"row {number} has flags that are not known", "0 to 127", whole)
    return Flag(whole)


def _unreadable(finding: str, expected: str, actual: object) -> SeriesUnreadable:
    shown = str(actual)
    return SeriesUnreadable(
        finding,
        expected=expected,
        actual=shown if len(shown) < 100 else shown[:100] + "…",
        remedy="host/strongroom_host/metrics/README.md describes the files",
    )
