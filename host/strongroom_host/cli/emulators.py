"""Finding the QEMU that has the Nitro machine, for every command that needs one."""

import json
from typing import Annotated

import typer

from strongroom_host.cli.output import say
from strongroom_host.runners.emulator import Emulator, NoEmulator, chosen_emulator, installed

__all__ = ["QemuOption", "find_or_build", "qemu"]

QemuOption = Annotated[
    str | None,
    typer.Option(
        "--qemu",
        metavar="PROGRAM",
        help="This QEMU (default: $STRONGROOM_QEMU, the system's if it has the Nitro machine, or"
        " one that is built once from Debian's source and kept).",
        show_default=False,
    ),
]


def find_or_build(name: str | None) -> Emulator:
    """Returns the QEMU to use.

    Raises:
        EmulatorUnusable: the one that was named will not do.
        NoEmulator: there is none, and none can be built here.
    """
    found = chosen_emulator(name) or installed()
    if found is None:
        raise NoEmulator(
            "no QEMU on this machine has the Nitro machine",
            expected="qemu-system-x86_64 with -M nitro-enclave",
            remedy="name one with --qemu or in STRONGROOM_QEMU",
        )
    return found


def qemu(
    name: QemuOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say which QEMU runs images here; build one if there is none."""
    found = find_or_build(name)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "command": found.command,
                    "firmware": [str(at) for at in found.firmware],
                    "origin": found.origin,
                }
            )
        )
        return
    say(f"{' '.join(found.words)}  ({found.origin})")
