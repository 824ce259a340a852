"""The probe, a guest in one C file, compiled by the pinned toolchain that builds the image."""

from pathlib import Path
from typing import Final

from strongroom_eif.recipe import sandbox
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.store import Store, default_cache

__all__ = ["compiled_probe"]

_SOURCE: Final = Path(__file__).with_name("probe.c")
_PINS: Final = Path(__file__).parents[3] / "reproducible-build" / "pins"
_FREESTANDING: Final = (
    "-Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-pic -no-pie -s"
    " -fno-asynchronous-unwind-tables -Wall -Wextra -Werror -Wl,--build-id=none"
)


def compiled_probe(folder: Path) -> bytes:
    """Returns the program; `folder` is where it is made."""
    root = Root.prepare(Store(default_cache()), Pins.load(_PINS), "toolchain")
    command = ["/usr/bin/gcc", *_FREESTANDING.split(), "-o", "probe", "/in/probe.c"]
    sandbox.run(root, command, work=folder, read={"probe.c": _SOURCE}, env={}, log=folder / "log")
    return (folder / "probe").read_bytes()
