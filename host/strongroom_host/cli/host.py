"""`strongroom host`: the operator's side, which runs an enclave, carries bytes and holds no secret.

Exit status of `run`: 0 after a signal, 5 when the enclave ended by itself or could not start.
"""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from strongroom_host.cli.daemon import (
    DEFAULT_LISTEN,
    AllowManifestOption,
    AllowOption,
    BusyPollOption,
    JsonLinesOption,
    ListenOption,
    MapOption,
    RecordFolderOption,
    RunOption,
    StateOption,
    WithStdinOption,
    allowed,
    operate,
    parse_maps,
)
from strongroom_host.cli.emulators import qemu
from strongroom_host.runners.doctor import Level, Result, examine
from strongroom_host.runners.forward import parse_listen
from strongroom_host.runners.local import local_platform
from strongroom_host.runners.operator import HostPlan
from strongroom_host.runners.run_directory import (
    default_run_directory,
    default_state_directory,
)

__all__ = ["app"]

_FAILED = 5
_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}

app = typer.Typer(
    name="host",
    help="Operate an enclave on this machine. The host carries bytes and is trusted with nothing.",
    no_args_is_help=True,
)


@app.command()
def run(
    run: RunOption = None,
    state: StateOption = None,
    listen: ListenOption = DEFAULT_LISTEN,
    allow: AllowOption = None,
    mapped: MapOption = None,
    record: RecordFolderOption = None,
    manifest: AllowManifestOption = None,
    busy_poll: BusyPollOption = False,
    with_stdin: WithStdinOption = False,
    as_json: JsonLinesOption = False,
) -> None:
    """Start an enclave and carry its bytes until Ctrl-C or SIGTERM.

    Never restarts it: a new boot has other keys, and only its owners can permit those to sign.
    """
    where = (run or default_run_directory(), state or default_state_directory())
    plan = HostPlan(
        platform=local_platform(*where, busy_poll=busy_poll),
        listen=parse_listen(listen),
        allow=allowed(allow, manifest),
        mapping=parse_maps(mapped, record),
        until_stdin_ends=with_stdin,
    )
    operate(plan, as_json=as_json)


@app.command()
def doctor(
    run: RunOption = None,
    state: StateOption = None,
    listen: ListenOption = DEFAULT_LISTEN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Look at this machine before it has to run an enclave; exit 5 if something will not work."""
    where = (run or default_run_directory(), state or default_state_directory())
    results = list(examine(*where, parse_listen(listen)))
    failed = any(result.level is Level.FAIL for result in results)
    if as_json:
        rows = [
            {"name": r.name, "level": r.level.value, "detail": r.detail, "remedy": r.remedy}
            for r in results
        ]
        typer.echo(json.dumps({"ok": not failed, "checks": rows}))
    else:
        _print_results(results)
    raise typer.Exit(_FAILED if failed else 0)


app.command("qemu")(qemu)


def _print_results(results: list[Result]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for result in results:
        style = _STYLES[result.level]
        detail = escape(result.detail)
        if result.remedy:
            detail += f"\n[dim]do: {escape(result.remedy)}[/]"
        table.add_row(f"[{style}]{result.level.value}[/]", escape(result.name), detail)
    console.print(table)
    counts = [sum(r.level is level for r in results) for level in Level]
    console.print("\n{} ok, {} to know about, {} to fix".format(*counts))
