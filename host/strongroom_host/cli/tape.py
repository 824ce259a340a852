"""`strongroom tape`: markets recorded, played back, looked at, simulated."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom_host.cli._stopping import until_told
from strongroom_host.cli.daemon import WithStdinOption
from strongroom_host.cli.feed_watch import shortened
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SCALE, Kind, Side, Status
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter
from strongroom_host.strategy.view import TickView
from strongroom_host.tape.market import Market
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.recording import record as record_ticks
from strongroom_host.tape.recording import replay as replay_ticks
from strongroom_host.tape.recording import speed_of
from strongroom_host.tape.writer import TapeWriter

__all__ = ["app"]

app = typer.Typer(
    name="tape",
    help="Recorded markets: 64-byte ticks in a file, as they were in the ring.",
    no_args_is_help=True,
)

TapeArgument = Annotated[Path, typer.Argument(metavar="TAPE", help="A recorded tape.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_SIMULATED_START_NS: Final = 1_767_225_600 * 1_000_000_000  # 2026-01-01, a full hour
_HOUR_S: Final = 3600


@app.command()
def record(
    ring: Annotated[str, typer.Argument(metavar="RING", help="The ring's name.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The tape; it must not exist yet.")],
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0: when told.")] = 0,
    sync: Annotated[float, typer.Option(min=0.01, help="Onto the disk every so many s.")] = 1.0,
    with_stdin: WithStdinOption = False,
) -> None:
    """Put every tick of a ring onto a tape, until told to stop (Ctrl-C, SIGTERM).

    A crash loses at most what was not yet on the disk, and no tick is ever half there. Ticks that
    were lost in the ring before they could be taken are counted, and show on the tape.
    """
    if with_stdin:
        end_with_stdin()
    end = time.monotonic() + seconds if seconds else float("inf")
    with ExitStack() as stack:
        told = stack.enter_context(until_told())
        reader = stack.enter_context(RingReader.attach(ring, wait=Wait.BLOCK))
        tape = stack.enter_context(TapeWriter(out, f"ring {ring}"))
        say(f"recording ring {ring}: {out}")
        done = record_ticks(reader, tape, lambda: told() or time.monotonic() >= end, sync_s=sync)
    say(f"{done.ticks:,} ticks")
    if done.missed:
        warn(f"{done.missed:,} ticks were lost before they could be taken; the tape shows where")


@app.command()
def replay(
    tape: TapeArgument,
    ring: Annotated[str, typer.Option(metavar="NAME", help="The ring to play into.")],
    speed: Annotated[str, typer.Option(help="1 as recorded, 10 ten times as fast, or max.")] = "1",
    slots: Annotated[int, typer.Option(help="The ring's slots, a power of two.")] = 512,
    restamp: Annotated[
        bool, typer.Option("--restamp", help="Ticks arrive now: for measuring latency.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds before the first tick.")] = 0.0,
    linger: Annotated[float, typer.Option(min=0, help="Seconds after the last tick.")] = 0.0,
    with_stdin: WithStdinOption = False,
) -> None:
    """Play a tape into a ring, for strategies to run on as if it were a feed."""
    if with_stdin:
        end_with_stdin()
    factor = speed_of(speed)
    with ExitStack() as stack:
        told = stack.enter_context(until_told())
        reader = stack.enter_context(TapeReader(tape))
        writer = stack.enter_context(RingWriter.create(ring, slots=slots))
        for name in reader.names:
            if name:
                writer.instrument(name)
        say(f"playing {tape.name} into ring {ring}: {len(reader):,} ticks")
        _pause(wait, told)
        count = replay_ticks(reader, writer, speed=factor, restamp=restamp, stopped=told)
        _pause(linger, told)
    say(f"{count:,} ticks played")


@app.command()
def show(
    tape: TapeArgument,
    rows: Annotated[int, typer.Option(min=0, help="List so many ticks.")] = 10,
    start: Annotated[int, typer.Option("--from", min=0, help="The first one listed.")] = 0,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Read on even if synced ticks have changed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is on a tape, and whether it is what was recorded."""
    with TapeReader(tape, verify=not damaged) as reader:
        kinds, gaps, lost = _counted(reader)
        first, last = _ends(reader)
        facts = {
            "source": reader.head.source,
            "started": _moment(reader.head.started_ns),
            "ticks": len(reader),
            "seconds": round((last - first) / 1e9, 3),
            "synced": reader.synced,
            "unsynced": len(reader) - reader.synced,
            "dropped_bytes": reader.dropped,
            "verified": not damaged,
            "gaps": gaps,
            "ticks_missing": lost,
            "instruments": {str(n): name for n, name in enumerate(reader.names) if name},
            "kinds": kinds,
        }
        shown = range(min(start, len(reader)), min(start + rows, len(reader)))
        view = reader.view()
        ticks = [_row(view.at(place), reader.names) for place in shown]
    if as_json:
        print_json(facts | {"rows": [list(row) for row in ticks]})
        return
    lines = [(name.replace("_", " "), _plain(value)) for name, value in facts.items()]
    table(str(tape), ("what", "value"), lines)
    if ticks:
        columns = ("sequence", "received", "feed", "kind", "side", "instrument", "price", "size")
        table("Ticks", (*columns, "detail"), ticks)
    if facts["unsynced"]:
        warn("the last ticks were never synced: recording goes on, or ended in a crash")
    if reader.dropped:
        warn(f"{reader.dropped} bytes at the end are no whole tick, and were left out")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The tape; it must not exist yet.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same tape.")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, max=1000, help="How long.")] = 1.0,
) -> None:
    """Make a tape of a market whose structure is known, to try and train strategies on.

    What is in it to be found is written in `tape/market.py`. It says nothing about real markets.
    """
    with TapeWriter(
        out, f"simulated {seed}", started_ns=_SIMULATED_START_NS, monotonic_ns=0
    ) as tape:
        Market(seed, tape, start_ns=1, wall_ns=_SIMULATED_START_NS).run(round(hours * _HOUR_S))
    say(f"{tape.ticks:,} ticks: {out}")


def _pause(seconds: float, told: object) -> None:
    end = time.monotonic() + seconds
    while callable(told) and not told() and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.1, left))


def _counted(reader: TapeReader) -> tuple[dict[str, int], int, int]:
    kinds, gaps, lost, before = dict[str, int](), 0, 0, 0
    for view in reader:
        name = _name(Kind, view.kind)
        kinds[name] = kinds.get(name, 0) + 1
        sequence = view.sequence
        if before and sequence != before + 1:
            gaps += 1
            lost += sequence - before - 1
        before = sequence
    return kinds, gaps, lost


def _ends(reader: TapeReader) -> tuple[int, int]:
    if not len(reader):
        return 0, 0
    view = reader.view()
    return view.at(0).received_ns, view.at(len(reader) - 1).received_ns


def _row(view: TickView, names: tuple[str, ...]) -> tuple[str, ...]:
    kind, instrument = view.kind, view.instrument
    known = instrument < len(names)
    detail = _name(Status, view.detail) if kind == Kind.STATUS else str(view.detail)
    return (
        str(view.sequence),
        str(view.received_ns),
        f"{view.feed}/{view.epoch}",
        _name(Kind, kind),
        _name(Side, view.side),
        shortened(names[instrument]) if known else str(instrument),
        _decimal(view.price),
        _decimal(view.size),
        detail,
    )


def _name(kinds: type[Kind] | type[Side] | type[Status], value: int) -> str:
    try:
        return kinds(value).name.lower().replace("_", " ")
    except ValueError:
        return str(value)


def _decimal(value: int) -> str:
    whole, rest = divmod(abs(value), SCALE)
    fraction = f"{rest:08d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if fraction else ''}{fraction}"


def _moment(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
