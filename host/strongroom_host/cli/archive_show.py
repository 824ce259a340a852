"""`strongroom archive show`: archived leaves in a form to read, or to work with."""

import csv
import io
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from strongroom_wire.leaves import Kind

from strongroom_host.archive.contents import look
from strongroom_host.archive.listing import Listed, Wanted, listed
from strongroom_host.archive.places import open_store
from strongroom_host.archive.store import day
from strongroom_host.cli.output import print_json, say
from strongroom_host.errors import BadInput

__all__ = ["show"]


class Form(StrEnum):
    """How the leaves are printed."""

    TEXT = "text"
    CSV = "csv"
    JSON = "json"


def show(
    place: Annotated[
        str, typer.Argument(metavar="PLACE", help="s3://BUCKET/PREFIX, or a directory.")
    ],
    start: Annotated[int, typer.Option("--from", min=0, help="From this leaf on.")] = 0,
    end: Annotated[int | None, typer.Option("--to", min=0, help="Without this leaf.")] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="2027-01-31, or with T09:30:00.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Before that time, UTC.")] = "",
    kind: Annotated[list[str] | None, typer.Option(help="SIGNED, DENIED, BOOT ...")] = None,
    boot: Annotated[str, typer.Option(metavar="HEX", help="Beginning of a boot's id.")] = "",
    form: Annotated[Form, typer.Option("--as", help="How they are printed.")] = Form.TEXT,
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="A service that speaks S3, not Amazon's.")
    ] = "",
    region: Annotated[str, typer.Option(metavar="NAME", help="The bucket's region.")] = "",
) -> None:
    """Find archived leaves by number, time, kind or boot, and where each one is."""
    try:
        kinds = frozenset(Kind[each.upper()] for each in kind or ())
    except KeyError as error:
        names = ", ".join(each.name for each in Kind)
        raise BadInput("no kind of leaf", expected=names, actual=error.args[0]) from error
    before = _time(until) if until else None
    wanted = Wanted(start, end, _time(since) if since else 0, before, kinds, boot.lower())
    store = open_store(place, endpoint, region)
    found = listed(store, look(store).required(store.place), wanted)
    if form is Form.JSON:
        print_json([_fields(each) for each in found])
    elif form is Form.CSV:
        _print_csv([_fields(each) for each in found])
    else:
        for each in found:
            when = day(each.time_ms) if each.time_ms else "no time"
            say(f"{each.index:>8}  {when:<25}  {each.kind.name:<7}  {each.boot[:16]}  {each.hash}")


def _fields(each: Listed) -> dict[str, object]:
    return {
        "index": each.index,
        "time_ms": each.time_ms,
        "time": day(each.time_ms) if each.time_ms else "",
        "kind": each.kind.name,
        "boot": each.boot,
        "leaf_hash": each.hash,
        "leaf": each.leaf.hex(),
        "object": each.key,
        "offset": each.offset,
        "length": len(each.leaf),
    }


def _print_csv(rows: list[dict[str, object]]) -> None:
    stream = io.StringIO()
    names = list(_fields(Listed(0, 0, Kind.BOOT, "", "", b"", "", 0)))
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    say(stream.getvalue().removesuffix("\n"))


def _time(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            "no time", expected="such as 2027-01-31 or 2027-01-31T09:30:00", actual=text
        ) from error
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1000)
