"""All examinations, in the order in which a person would want to fix things."""

from collections.abc import Iterator
from pathlib import Path

from strongroom_host.runners.doctor.machine import (
    examine_clock,
    examine_devices,
    examine_emulator,
    examine_files,
    examine_folders,
    examine_ports,
    examine_users,
)
from strongroom_host.runners.doctor.packages import examine_packages, examine_python
from strongroom_host.runners.doctor.result import Level, Result

__all__ = ["Level", "Result", "examine"]


def examine(run: Path, state: Path, listen: tuple[str, int]) -> Iterator[Result]:
    """Yields what this machine has, lacks, and what would help; changes nothing."""
    yield examine_python()
    yield from examine_packages()
    yield from examine_folders(run.expanduser().absolute(), state.expanduser().absolute())
    yield from examine_ports(*listen)
    yield examine_users()
    yield examine_clock()
    yield examine_devices()
    yield examine_emulator()
    yield examine_files()
