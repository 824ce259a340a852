"""A QemuRunner around programs that behave like QEMU and the vsock backend."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from strongroom_host.runners.boot_image import BootImage, read_boot_image
from strongroom_host.runners.emulator import Emulator
from strongroom_host.runners.qemu import QemuRunner

from tests.eif.samples import baseline

__all__ = ["BACKEND", "boot_image", "emulator", "runner"]

FOLDER = Path(__file__).parent
BACKEND = (sys.executable, "-P", str(FOLDER / "fake_backend.py"))


def boot_image(folder: Path, **changes: Any) -> BootImage:
    """Returns the sample image, read from a file in `folder`."""
    path = folder / "image.eif"
    path.write_bytes(baseline().data())
    return replace(read_boot_image(path), **changes)


def emulator(behaviour: str) -> Emulator:
    return Emulator((sys.executable, "-P", str(FOLDER / "fake_machine.py"), behaviour), (), "fake")


def runner(
    folder: Path, behaviour: str, backend: str = "answers", run: str = "run", **options: Any
) -> QemuRunner:
    """Returns a runner in `folder`/run, of a machine and a backend that behave so."""
    return QemuRunner(
        boot_image(folder),
        folder / run,
        emulator(behaviour),
        backend=(*BACKEND, backend),
        **{"timeout": 30.0, **options},
    )
