"""What the commands that run an enclave share: their options, and what they print.

`strongroom host run` and `strongroom enclave boot` are one daemon (`runners.operator`) on different
platforms.
"""

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from strongroom_host.contract.record_venues import hosts_of
from strongroom_host.egress import Place, parse_target
from strongroom_host.errors import BadInput
from strongroom_host.owner.signed import read_manifest
from strongroom_host.runners.operator import DEFAULT_VENUES, HostPlan, Serving, Summary, serve

__all__ = [
    "DEFAULT_LISTEN",
    "STORE",
    "STORE_SOCKET",
    "AllowManifestOption",
    "AllowOption",
    "BusyPollOption",
    "JsonLinesOption",
    "ListenOption",
    "MapOption",
    "RecordFolderOption",
    "RunOption",
    "StateOption",
    "WithStdinOption",
    "allowed",
    "operate",
    "parse_maps",
]

DEFAULT_LISTEN = "127.0.0.1:7700"
STORE: Final = "store.strongroom:1"
"""What the record connects to: no resolver knows it, the proxy alone leads it somewhere."""
STORE_SOCKET: Final = "store.sock"
"""Where `record serve` listens, in the record's folder."""

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
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="HOST:PORT",
        help=f"Where the enclave may connect to (default: {', '.join(DEFAULT_VENUES)}; naming"
        " any replaces that). Repeatable.",
        show_default=False,
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NAME=ADDRESS:PORT",
        help="Lead connections to NAME (port 443, or NAME:PORT) elsewhere, such as a testnet, or to"
        " unix:/PATH. Allowed by being mapped. Repeatable.",
    ),
]
RecordFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="DIR",
        help="Lead the track record to its store: the socket of `strongroom record serve` there.",
        show_default=False,
    ),
]
AllowManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="Allow what this signed manifest lets the enclave reach, and what --allow names.",
        show_default=False,
    ),
]
BusyPollOption = Annotated[
    bool, typer.Option("--busy-poll", help="The signer spins: faster, and takes a core.")
]
WithStdinOption = Annotated[
    bool, typer.Option("--with-stdin", help="Also stop when stdin closes (no orphan).")
]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print one line of JSON when ready, one at the end.")
]


def allowed(allow: list[str] | None, manifest: Path | None = None) -> tuple[str, ...]:
    """Returns the destinations that --allow and --manifest stand for, of its accounts' venues, too.

    Raises:
        BadInput: the manifest cannot be read, or its owners did not sign it.
    """
    if manifest is None:
        return tuple(allow) if allow is not None else DEFAULT_VENUES
    document = read_manifest(manifest.expanduser())[0].manifest
    reached = [f"{each.host}:{each.port}" for each in document.egress]
    reached += [f"{host}:443" for host in hosts_of(document.accounts)]
    return tuple(dict.fromkeys([*(allow or ()), *reached]))


def parse_maps(mapped: list[str] | None, record: Path | None = None) -> dict[str, Place]:
    """Returns destination and place of each NAME[:PORT]=ADDRESS:PORT, or =unix:PATH, and where the
    record's store is that is served in this folder.

    Raises:
        BadInput: one leads nowhere.
    """
    found = dict(map(_parse_map, mapped or []))
    if record is not None:
        found[STORE] = record.expanduser() / STORE_SOCKET
    return found


def _parse_map(text: str) -> tuple[str, Place]:
    name, equals, place = text.partition("=")
    if not equals:
        raise BadInput(
            f"{text!r} leads nowhere",
            expected="NAME=ADDRESS:PORT, for instance clob.testnet=127.0.0.1:8443, or =unix:/PATH",
            remedy="correct --map",
        )
    leads = str(parse_target(name if ":" in name else f"{name}:443"))
    if place.startswith("unix:/"):
        return leads, Path(place.removeprefix("unix:"))
    target = parse_target(place)
    return leads, (target.host, target.port)


def operate(plan: HostPlan, *, as_json: bool) -> None:
    """Runs the daemon and prints when it is ready and what passed through, for people or as JSON.

    Raises:
        HostError: it could not start, or the enclave ended by itself.
    """
    summary = serve(plan, _ready_json if as_json else _ready)
    if as_json:
        _print_json({"stopped": True, **_summary_json(summary)})
    else:
        _stopped(summary)


def _ready(serving: Serving) -> None:
    lines = [f"[bold green]The enclave runs[/] (booted in {serving.boot_s:.1f} s)"]
    plan = serving.plan
    mapped = _mapped(plan)
    reach = [name for name in plan.allow if name not in dict(mapped)]
    reach += [f"{name} → {_place(place)}" for name, place in mapped]
    shown = {
        "address": f"{serving.address} (and the two ports after it), or unix:{serving.sockets}",
        "reaches": ", ".join(reach) or "nothing",
    }
    if serving.root_certificate is not None:
        shown["root"] = f"{serving.root_certificate} (throw-away: development only)"
    shown |= {"console": str(serving.console), **plan.platform.facts}
    lines += [f"  {label:<9}{escape(value)}" for label, value in shown.items()]
    notes = list(plan.platform.notes)
    if not _loopback(plan.listen[0]):
        notes.append(
            f"{plan.listen[0]} can be reached from outside: whoever comes first may load a"
            " manifest into this boot"
        )
    lines += [f"  [yellow]note[/]     {escape(note)}" for note in notes]
    lines.append("It has no manifest yet: its owner loads one. Ctrl-C stops it.")
    # In one piece: whoever sees the first line may already send the signal that ends this.
    Console(highlight=False, soft_wrap=True).print("\n".join(lines))


def _ready_json(serving: Serving) -> None:
    root = serving.root_certificate
    _print_json(
        {
            "ready": True,
            "platform": serving.plan.platform.name,
            "address": serving.address,
            "run": str(serving.sockets),
            "root": None if root is None else str(root),
            "console": str(serving.console),
            "enclave_pid": serving.enclave_pid,
            "boot_s": round(serving.boot_s, 3),
            **{label.lower(): value for label, value in serving.plan.platform.facts.items()},
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


def _mapped(plan: HostPlan) -> list[tuple[str, Place]]:
    return list((plan.mapping or {}).items())


def _place(place: Place) -> str:
    return f"unix:{place}" if isinstance(place, Path) else "{}:{}".format(*place)


def _loopback(host: str) -> bool:
    return host in ("::1", "localhost") or host.startswith("127.")


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value))
