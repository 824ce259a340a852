"""`strongroom ring`: the tick rings of this machine, who is on them, and removing what was left."""

from collections.abc import Iterable
from typing import Annotated

import typer

from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.errors import HostError
from strongroom_host.ring.consumers import Consumer
from strongroom_host.ring.listing import RingFacts, look_at, remove_ring, ring_names
from strongroom_host.ring.places import ring_folder

__all__ = ["app"]

app = typer.Typer(
    name="ring",
    help="Shared-memory rings of market ticks: one producer, many consumers.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The ring's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List this user's rings, also those whose producer is gone and those that are damaged."""
    found: list[RingFacts] = []
    refused: list[tuple[str, HostError]] = []
    for name in ring_names():
        try:
            found.append(look_at(name))
        except HostError as error:
            refused.append((name, error))
    if as_json:
        print_json(
            {
                "rings": [_facts(ring) for ring in found],
                "unusable": [{"name": name, "why": error.what} for name, error in refused],
            }
        )
        return
    if not found and not refused:
        say(f"no rings in {ring_folder()}")
        return
    columns = ("ring", "producer", "ticks", "slots", "consumers", "instruments")
    rows = [
        (
            ring.name,
            _producer(ring),
            f"{ring.newest:,}",
            str(ring.shape.slots),
            str(sum(one.alive for one in ring.consumers)),
            str(len(ring.instruments)),
        )
        for ring in found
    ]
    rows += [(name, f"unusable: {error.what}", "", "", "", "") for name, error in refused]
    table(f"rings in {ring_folder()}", columns, rows)
    for name in [ring.name for ring in found if not ring.alive] + [name for name, _ in refused]:
        warn(f"nobody writes to {name}: its producer takes it over, or `strongroom ring remove`")


@app.command()
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show a ring: its producer, how far each consumer is behind, what each has missed."""
    ring = look_at(name)
    if as_json:
        print_json(_facts(ring))
        return
    where = ring.shape.huge_path or f"{ring.path} (ordinary pages)"
    say(f"{name}: {_producer(ring)}, {ring.newest:,} ticks, generation {ring.generation}")
    say(f"  {ring.shape.slots} slots in {where}")
    names = {one.number: one.name for one in ring.consumers}
    if ring.consumers:
        columns = ("consumer", "process", "at tick", "behind", "missed", "after")
        table("consumers", columns, _consumers(ring, names))
    else:
        say("  no consumer with a name; those without one leave no trace")
    if ring.instruments:
        numbered = ((str(at), one) for at, one in enumerate(ring.instruments, start=1))
        table("instruments", ("number", "name"), numbered)


@app.command()
def remove(name: NameArgument) -> None:
    """Remove a ring that nobody writes to any more; readers still on it are told that it ended."""
    remove_ring(name)
    say(f"removed {name}")


def _producer(ring: RingFacts) -> str:
    pid = ring.producer.pid
    if not ring.alive:
        return f"gone (was process {pid})"
    if not ring.producer.alive:
        return f"a child of process {pid}, or one of another container"
    return f"process {pid}"


def _consumers(ring: RingFacts, names: dict[int, str]) -> Iterable[tuple[str, ...]]:
    for one in ring.consumers:
        yield (
            one.name,
            str(one.pid) if one.alive else f"gone (was {one.pid})",
            f"{one.position:,}",
            f"{max(0, ring.newest - one.position):,}",
            f"{one.missed:,}",
            "" if one.after is None else names.get(one.after, "?"),
        )


def _facts(ring: RingFacts) -> dict[str, object]:
    names = {one.number: one.name for one in ring.consumers}
    return {
        "name": ring.name,
        "path": str(ring.path),
        "slots": ring.shape.slots,
        "huge": bool(ring.shape.huge_path),
        "identity": ring.shape.identity.hex(),
        "generation": ring.generation,
        "ticks": ring.newest,
        "producer": {"pid": ring.producer.pid, "alive": ring.alive},
        "consumers": [_consumer(one, names) for one in ring.consumers],
        "instruments": list(ring.instruments),
    }


def _consumer(one: Consumer, names: dict[int, str]) -> dict[str, object]:
    return {
        "name": one.name,
        "pid": one.pid,
        "alive": one.alive,
        "position": one.position,
        "missed": one.missed,
        "after": None if one.after is None else names.get(one.after),
    }
