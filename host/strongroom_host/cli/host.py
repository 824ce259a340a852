"""`strongroom host`: the operator's side, which runs an enclave, carries bytes and holds no secret.

Exit status of `run`: 0 after a signal, 5 when the enclave ended by itself or could not start.
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from strongroom_host.egress import parse_target
from strongroom_host.errors import BadInput
from strongroom_host.runners.doctor import Level, Result, examine
from strongroom_host.runners.forward import parse_listen
from strongroom_host.runners.operator import DEFAULT_VENUES, HostPlan, Serving, Summary, serve
from strongroom_host.runners.run_directory import (
    default_run_directory,
    default_state_directory,
)

__all__ = ["app"]

_DEFAULT_LISTEN = "127.0.0.1:7700"
_FAILED = 5
_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}

app = typer.Typer(
    name="host",
    help="Operate an enclave on this machine. The host carries bytes and is trusted with nothing.",
    no_args_is_help=True,
)

RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Folder for the boot's sockets (default: $XDG_RUNTIME_DIR or /tmp, strongroom-UID).",
        show_default=False,
    ),
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        help="Folder kept across boots (default: $XDG_STATE_HOME or ~/.local/state, strongroom).",
        show_default=False,
    ),
]
ListenOption = Annotated[
    str,
    typer.Option(
        "--listen",
        metavar="ADDRESS:PORT",
        help="First of three ports in a row: bootstrap, control, frames. Port 0 takes free ones.",
    ),
]


@app.command()
def run(
    run: RunOption = None,
    state: StateOption = None,
    listen: ListenOption = _DEFAULT_LISTEN,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="HOST:PORT",
            help=f"Where the enclave may connect to (default: {', '.join(DEFAULT_VENUES)}; naming"
            " any replaces that). Repeatable.",
            show_default=False,
        ),
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=ADDRESS:PORT",
            help="Lead connections to NAME (port 443, or NAME:PORT) elsewhere, such as a testnet."
            " Allowed by being mapped. Repeatable.",
        ),
    ] = None,
    busy_poll: Annotated[
        bool, typer.Option("--busy-poll", help="The signer spins: faster, and takes a core.")
    ] = False,
    with_stdin: Annotated[
        bool, typer.Option("--with-stdin", help="Also stop when stdin closes (no orphan).")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready, one at the end.")
    ] = False,
) -> None:
    """Start an enclave and carry its bytes until Ctrl-C or SIGTERM.

    Never restarts it: a new boot has other keys, and only its owners can permit those to sign.
    """
    plan = HostPlan(
        run=run or default_run_directory(),
        state=state or default_state_directory(),
        listen=parse_listen(listen),
        allow=tuple(allow) if allow is not None else DEFAULT_VENUES,
        mapping=dict(map(_parse_map, mapped or [])),
        busy_poll=busy_poll,
        until_stdin_ends=with_stdin,
    )
    summary = serve(plan, _ready_json if as_json else _ready)
    if as_json:
        _print_json({"stopped": True, **_summary_json(summary)})
    else:
        _stopped(summary)


@app.command()
def doctor(
    run: RunOption = None,
    state: StateOption = None,
    listen: ListenOption = _DEFAULT_LISTEN,
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
        _print_json({"ok": not failed, "checks": rows})
    else:
        _print_results(results)
    raise typer.Exit(_FAILED if failed else 0)


def _parse_map(text: str) -> tuple[str, tuple[str, int]]:
    """Returns destination and place of NAME[:PORT]=ADDRESS:PORT."""
    name, equals, place = text.partition("=")
    if not equals:
        raise BadInput(
            f"{text!r} leads nowhere",
            expected="NAME=ADDRESS:PORT, for instance clob.testnet=127.0.0.1:8443",
            remedy="correct --map",
        )
    target = parse_target(place)
    return str(parse_target(name if ":" in name else f"{name}:443")), (target.host, target.port)


def _ready(serving: Serving) -> None:
    lines = [f"[bold green]The enclave runs[/] (booted in {serving.boot_s:.1f} s)"]
    plan = serving.plan
    reach = [*plan.allow, *(f"{name} → {host}:{port}" for name, (host, port) in _mapped(plan))]
    for label, value in (
        ("address", f"{serving.address} (and the two ports after it), or unix:{serving.sockets}"),
        ("reaches", ", ".join(reach) or "nothing"),
        ("root", f"{serving.root_certificate} (throw-away: development only)"),
        ("console", str(serving.console)),
        ("state", str(plan.state)),
    ):
        lines.append(f"  {label:<9}{escape(value)}")
    if not _loopback(plan.listen[0]):
        lines.append(
            f"  [yellow]note[/]     {escape(plan.listen[0])} can be reached from outside: whoever"
            " comes first may load a manifest into this boot"
        )
    lines.append("It has no manifest yet: its owner loads one. Ctrl-C stops it.")
    # In one piece: whoever sees the first line may already send the signal that ends this.
    Console(highlight=False, soft_wrap=True).print("\n".join(lines))


def _ready_json(serving: Serving) -> None:
    _print_json(
        {
            "ready": True,
            "address": serving.address,
            "run": str(serving.sockets),
            "state": str(serving.plan.state),
            "root": str(serving.root_certificate),
            "console": str(serving.console),
            "enclave_pid": serving.enclave_pid,
            "boot_s": round(serving.boot_s, 3),
        }
    )


def _stopped(summary: Summary) -> None:
    opened, out = summary.forwarded.get("opened", 0), summary.egress.get("opened", 0)
    up, down = (summary.egress.get(key, 0) for key in ("bytes_up", "bytes_down"))
    refused = sum(summary.egress.get(key, 0) for key in ("forbidden", "private", "malformed"))
    Console(highlight=False).print(
        f"Stopped. {opened} connections in; {out} out, {up} bytes sent and {down} received,"
        f" all of them encrypted; {refused} refused."
    )


def _summary_json(summary: Summary) -> dict[str, object]:
    return {"forwarded": dict(summary.forwarded), "egress": dict(summary.egress)}


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


def _mapped(plan: HostPlan) -> list[tuple[str, tuple[str, int]]]:
    return list((plan.mapping or {}).items())


def _loopback(host: str) -> bool:
    return host in ("::1", "localhost") or host.startswith("127.")


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value))
