"""`strongroom log show` and `log open`: what is in the log, leaf by leaf."""

import json as jsonlib
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from strongroom_wire.errors import Rule, WireError
from strongroom_wire.leaves import Kind, Leaf

from strongroom_host.cli.explain import figures
from strongroom_host.cli.log_facts import say_leaf, say_record
from strongroom_host.cli.log_meant import (
    DEFAULT_PLACE,
    CacheOption,
    OpeningsOption,
    PlaceOption,
    open_openings,
)
from strongroom_host.cli.log_time import parse_time, shown_time
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.cli.session import JsonOption
from strongroom_host.cli.trading import parse_hash
from strongroom_host.contract.openings import record_in
from strongroom_host.errors import BadInput
from strongroom_host.log.decoded import Plain, decode_leaf, decode_record
from strongroom_host.log.errors import LogDamaged, OpeningWrong, OutsideLog
from strongroom_host.log.listing import Filter, Listed, listed
from strongroom_host.log.sources import open_source
from strongroom_host.log.verify import OpeningsByIndex
from strongroom_host.private_files import read_file

__all__ = ["open_leaf", "show", "which_leaf"]

_ALL: Final = 1 << 64
_COLUMNS: Final = ("kind", "index", "time_ms", "boot", "commitment")
_DIGEST: Final = 64


def show(
    log: PlaceOption = DEFAULT_PLACE,
    start: Annotated[int, typer.Option("--from", "--start", min=0, help="From this leaf on,")] = 0,
    end: Annotated[
        int | None, typer.Option("--to", min=0, help="up to and without this one.")
    ] = None,
    kind: Annotated[
        list[str],
        typer.Option(
            metavar="KIND", help="Only leaves of this kind: " + ", ".join(Kind.__members__)
        ),
    ] = [],  # noqa: B006  typer takes no other default for a list
    boot: Annotated[
        str, typer.Option(metavar="HEX", help="Only this boot's (its id begins so).")
    ] = "",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from this time on,")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="and before this one.")] = None,
    key: Annotated[str, typer.Option(metavar="NAME", help="Only of this trading key.")] = "",
    asked_by: Annotated[
        str, typer.Option(metavar="NAME", help="Only what this client asked.")
    ] = "",
    details: Annotated[bool, typer.Option("--details", help="Show records, too.")] = False,
    openings: OpeningsOption = None,
    cache: CacheOption = None,
    json: JsonOption = False,
) -> None:
    """List leaves: index, time, kind, boot, and what is known of them. Verifies nothing."""
    wanted = Filter(
        frozenset(map(_kind, kind)),
        boot.lower(),
        parse_time(since) if since else 0,
        parse_time(until) if until else _ALL,
        key,
        asked_by,
    )
    with ExitStack() as stack:
        source = stack.enter_context(open_source(log, cache, boots=False))
        opened = open_openings(log, openings) if details or json or wanted.records else None
        if opened is not None:
            stack.enter_context(opened)
        if not source.size and not json:
            warn("there is no leaf in this log yet")
        for found in listed(source, start, source.size if end is None else end, opened):
            if wanted.takes(found):
                _print(found, details=details, as_json=json)


def open_leaf(
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Which leaf,")] = None,
    order: Annotated[
        str | None, typer.Option(metavar="HASH", help="or the one that signed this order.")
    ] = None,
    opening: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its opening, where it is not stored here.")
    ] = None,
    log: PlaceOption = DEFAULT_PLACE,
    openings: OpeningsOption = None,
    cache: CacheOption = None,
    json: JsonOption = False,
) -> None:
    """Show one leaf and what it commits to, after proving that the opening is this leaf's."""
    with ExitStack() as stack:
        source = stack.enter_context(open_source(log, cache, boots=False))
        opened = open_openings(log, openings)
        if opened is not None:
            stack.enter_context(opened)
        at = which_leaf(index, order, source.size, opened)
        found = next(listed(source, at, at + 1))
        data = read_file(opening) if opening else opened.get(at) if opened else None
    if found.leaf is None:
        raise LogDamaged(f"leaf {at} cannot be read", actual=found.problem)
    try:
        record = None if data is None else decode_record(found.leaf, record_in(found.leaf, data))
    except WireError as error:
        raise OpeningWrong(
            f"the opening is not that of leaf {at}",
            expected=found.leaf.commitment.hex(),
            actual=str(error),
            remedy="take it from the client's journal, or from another copy",
        ) from error
    if json:
        facts = decode_leaf(found.leaf)
        print_json(facts | {"record": record, "entry": found.entry.hex()})
        return
    say_leaf(found.leaf)
    say_record(record)


def which_leaf(
    index: int | None, order: str | None, size: int, openings: OpeningsByIndex | None
) -> int:
    """Returns the index of the leaf that is asked for.

    Raises:
        BadInput: both or neither way of naming one is used, or no known opening has the order.
        OutsideLog: there is no such leaf.
    """
    if (index is None) == (order is None):
        raise BadInput("which leaf?", expected="an INDEX, or --order HASH")
    at = _find_order(parse_hash(order), openings, size) if order is not None else index or 0
    if not 0 <= at < size:
        least = f"0 to {size - 1}" if size else "none: this log has no leaf yet"
        raise OutsideLog("no such leaf", expected=least, actual=at)
    return at


def _find_order(order: bytes, openings: OpeningsByIndex | None, size: int) -> int:
    for at in range(size):
        opening = None if openings is None else openings.get(at)
        if opening is not None and order in opening:
            return at
    raise BadInput(
        f"no opened leaf signed the order 0x{order.hex()}",
        remedy="openings are needed to find an order: pull as a client that may call `query`, or"
        " name the leaf by the index that came with the answer",
    )


def _kind(name: str) -> Kind:
    try:
        return Kind[name.upper()]
    except KeyError as error:
        raise BadInput(
            f"no kind of leaf: {name!r}", expected=", ".join(Kind.__members__)
        ) from error


def _print(found: Listed, *, details: bool, as_json: bool) -> None:
    leaf = found.leaf
    if as_json:
        facts: Plain = {"from": found.start, "to": found.end, "entry": found.entry.hex()}
        facts |= {} if leaf is None else decode_leaf(leaf)
        facts |= {"problem": found.problem} if found.problem else {}
        say(jsonlib.dumps(facts | {"record": found.record}))
    elif leaf is None:
        where = (
            f"{found.start:>8}"
            if found.end == found.start + 1
            else (f"{found.start:>8} to {found.end - 1}")
        )
        say(f"{where}  unreadable: {found.problem}")
    else:
        time, note = shown_time(leaf.time_ms), ""
        if leaf.index != found.start:
            note = f"  says that it is leaf {leaf.index}"
        if details:
            note += f"  {_summary(leaf, found)}"
        say(f"{found.start:>8}  {time:<24}  {leaf.kind.name:<7}  {leaf.epoch.hex()[:16]}{note}")


def _summary(leaf: Leaf, found: Listed) -> str:
    """What is said in public and what is known of the rest, each once."""
    known = decode_leaf(leaf) | (found.record or {})
    facts = {name: each for name, each in known.items() if name not in _COLUMNS}
    if isinstance(rule := facts.get("rule"), str) and {"limit", "asked"} <= facts.keys():
        limit, asked = int(str(facts["limit"])), int(str(facts["asked"]))
        facts["limit"], facts["asked"] = figures(Rule[rule], limit, asked)
    shown = [f"{name}={_short(each)}" for name, each in facts.items() if each not in ("", [], None)]
    if found.record is None:
        shown.append(f"[{found.problem or 'not opened'}]")
    return " ".join(shown)


def _short(value: object) -> str:
    """A value on a line with others: digests by their beginning."""
    if isinstance(value, list):
        return ",".join(map(_short, value))
    if isinstance(value, dict):
        return "{" + " ".join(f"{name}={_short(each)}" for name, each in value.items()) + "}"
    text = str(value)
    return text if len(text) < _DIGEST else text[:16] + "…"
