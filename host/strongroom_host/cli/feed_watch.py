"""`strongroom feed watch`: what passes through a ring, for a person."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from strongroom_host.feeds.config import FEED_IDS
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SCALE, Flag, Kind, Side, Status, Tick
from strongroom_host.ring.waiting import Wait

__all__ = ["Board", "shortened", "watch"]

_REFRESH_S = 0.25
_NAMES = {number: name for name, number in FEED_IDS.items()}


@dataclass(slots=True)
class _Row:
    bid: str = ""
    ask: str = ""
    last: str = ""
    ticks: int = 0
    note: str = ""


@dataclass(slots=True)
class Board:
    """What ticks add up to for a person: one row per instrument, one line per feed."""

    rows: dict[int, _Row] = field(default_factory=dict)
    feeds: dict[int, tuple[int, str]] = field(default_factory=dict)
    ticks: int = 0
    breaks: int = 0

    def take(self, tick: Tick) -> None:
        """Add a tick."""
        self.ticks += 1
        epoch, said = self.feeds.get(tick.feed, (tick.epoch, ""))
        self.breaks += epoch != tick.epoch
        if tick.kind == Kind.STATUS:
            said = _status(tick.detail)
        self.feeds[tick.feed] = tick.epoch, said
        if not tick.instrument:
            return
        row = self.rows.setdefault(tick.instrument, _Row())
        row.ticks += 1
        match tick.kind:
            case Kind.TRADE:
                row.last = f"{decimal(tick.price)} x {decimal(tick.size)}"
            case Kind.BEST_BID:
                row.bid = f"{decimal(tick.price)} x {decimal(tick.size)}" if tick.size else "none"
            case Kind.BEST_ASK:
                row.ask = f"{decimal(tick.price)} x {decimal(tick.size)}" if tick.size else "none"
            case Kind.TRANSFER:
                row.last = f"{decimal(tick.size)} BTC, {tick.detail:016x}.."
            case Kind.STATUS:
                row.note = _status(tick.detail)
            case Kind.TICK_SIZE:
                row.note = f"tick size {decimal(tick.detail)}"

    def table(self, names: dict[int, str], missed: int) -> Table:
        """The board as a table; `missed` is what this reader was too slow for."""
        title = f"{self.ticks} ticks, {self.breaks} breaks, {missed} missed by this reader"
        for number, (epoch, said) in sorted(self.feeds.items()):
            feed = _NAMES.get(number, f"feed {number}")
            title += f"\n{feed}: epoch {epoch}{', ' + said if said else ''}"
        shown = Table(title=title, title_justify="left")
        for column in ("instrument", "bid", "ask", "last", "ticks", ""):
            shown.add_column(column, overflow="fold")
        for number, row in sorted(self.rows.items()):
            name = names.get(number, f"#{number}")
            cells = (shortened(name), row.bid, row.ask, row.last, str(row.ticks), row.note)
            shown.add_row(*map(Text, cells))
        return shown


def watch(
    ring: Annotated[str, typer.Argument(help="The ring's name.")],
    count: Annotated[
        int, typer.Option(help="Stop after that many ticks, printing each on a line.")
    ] = 0,
    seconds: Annotated[float, typer.Option(help="Stop after that long.")] = 0.0,
) -> None:
    """Show what passes through a ring: best prices, last trades, the state of each feed.

    Ctrl-C ends it. It reads along and holds nobody up.
    """
    ends = time.monotonic() + seconds if seconds > 0 else None
    with RingReader.attach(ring, wait=Wait.YIELD if count else Wait.BLOCK) as reader:
        if count:
            for position, tick in enumerate(_ticks(reader, ends)):
                typer.echo(_line(tick, _name(reader, tick.instrument)))
                if position + 1 >= count:
                    return
            return
        board = Board()
        with Live(console=Console(), refresh_per_second=4, transient=False) as live:
            drawn = 0.0
            for tick in _ticks(reader, ends, idle=True):
                if tick is not None:
                    board.take(tick)
                if time.monotonic() - drawn > _REFRESH_S:
                    names = {number: _name(reader, number) for number in board.rows}
                    live.update(board.table(names, reader.missed))
                    drawn = time.monotonic()


def _ticks(reader: RingReader, ends: float | None, *, idle: bool = False) -> Iterator[Tick]:
    while ends is None or time.monotonic() < ends:
        view = reader.next(_REFRESH_S)
        if view is not None:
            yield Tick.read(view)
        elif idle:
            continue


def _name(reader: RingReader, number: int) -> str:
    try:
        return reader.instruments[number] if number else "-"
    except (IndexError, KeyError):
        return f"#{number}"


def _line(tick: Tick, name: str) -> str:
    kind = Kind(tick.kind).name if tick.kind in list(Kind) else str(tick.kind)
    feed = _NAMES.get(tick.feed, str(tick.feed))
    said = f" {_status(tick.detail)}" if tick.kind == Kind.STATUS else ""
    side = Side(tick.side).name.lower() if tick.side in list(Side) else str(tick.side)
    flags = "+".join(flag.name for flag in Flag if tick.flags & flag and flag.name)
    return (
        f"{tick.sequence} {feed} {tick.epoch}/{tick.number} {kind}{said} {shortened(name)}"
        f" {side} {decimal(tick.price)} x {decimal(tick.size)} {flags or '-'}"
    )


def _status(detail: int) -> str:
    return Status(detail).name.lower().replace("_", " ") if detail in list(Status) else str(detail)


def shortened(name: str) -> str:
    """An instrument's name, a token's 77 digits cut to where people tell them apart."""
    return name if len(name) <= 32 else f"{name[:22]}..{name[-6:]}"


def decimal(value: int) -> str:
    """Units of 1e-8 as decimal text."""
    whole, part = divmod(value, SCALE)
    tail = f"{part:08d}".rstrip("0")
    return f"{whole}.{tail}" if tail else str(whole)
