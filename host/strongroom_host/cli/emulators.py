"""Finding the QEMU that has the Nitro machine, for every command that needs one."""

import json
import platform
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from strongroom_host.cli.output import say
from strongroom_host.runners.emulator import Emulator, NoEmulator, chosen_emulator, installed
from strongroom_host.trust.release_keys import CHECKOUT

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


def find_or_build(name: str | None, *, fresh: bool = False) -> Emulator:
    """Returns the QEMU to use: the one named, else the system's, else ours, built if need be.

    Args:
        name: What a person named; None leaves it to STRONGROOM_QEMU, and then to us.
        fresh: Whether to build ours even if another would do.

    Raises:
        EmulatorUnusable: the one that was named will not do.
        NoEmulator: there is none, and this is no place to build one.
        RecipeError: building it failed.
    """
    found = None if fresh else chosen_emulator(name) or installed()
    return found or _build(fresh=fresh)


def _build(*, fresh: bool) -> Emulator:
    # Imported here: most commands that offer --qemu never build one.
    from strongroom_eif.recipe.assemble import PINS
    from strongroom_eif.recipe.pins import Pins
    from strongroom_eif.recipe.qemu import build_qemu
    from strongroom_eif.recipe.store import Store, default_cache, mirrors

    folder, machine = CHECKOUT / PINS, platform.machine()
    if not folder.is_dir() or machine != "x86_64":
        raise NoEmulator(
            "no QEMU on this machine has the Nitro machine, and none can be built",
            expected="qemu-system-x86_64 with -M nitro-enclave, or a checkout on x86_64 to build"
            " one from",
            actual=f"{machine}, {'a checkout' if folder.is_dir() else 'no checkout'}",
            remedy="name a QEMU with --qemu or in STRONGROOM_QEMU; or run `strongroom host qemu`"
            " in a checkout on such a machine",
        )
    pins = Pins.load(folder)
    built = build_qemu(Store(default_cache(), (), mirrors(pins), _tell), pins, fresh=fresh)
    return Emulator(built.command, (), "built from Debian's source")


def _tell(line: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(line, style="dim"))


def qemu(
    name: QemuOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Build it anew, whatever there is already.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say which QEMU runs images here; build it (some minutes, once) if there is none."""
    found = find_or_build(name, fresh=fresh)
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
