"""Which QEMU runs an image: one with the Nitro machine, and where its firmware is.

No distribution we know builds that machine into its QEMU, so most people have the one that
`strongroom host qemu` builds once from Debian's pinned source.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.errors import EnvironmentFault

__all__ = ["MACHINE", "Emulator", "EmulatorUnusable", "NoEmulator", "chosen_emulator", "installed"]

MACHINE: Final = "nitro-enclave"
_VARIABLE: Final = "STRONGROOM_QEMU"
_NAME: Final = "qemu-system-x86_64"
_FIRMWARE: Final = ("qboot.rom", "linuxboot_dma.bin")
"""What the machine loads; Debian has it in qemu-system-data."""
_FIRMWARE_FOLDERS: Final = (Path("/usr/share/seabios"), Path("/usr/share/qemu"))
_ASK_TIMEOUT: Final = 60.0


class NoEmulator(EnvironmentFault):
    """There is no QEMU here that has the Nitro machine."""


class EmulatorUnusable(EnvironmentFault):
    """The QEMU that was named does not run, or lacks the machine or its firmware."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A QEMU that has the machine.

    Attributes:
        command: What to execute; the options follow.
        firmware: Folders to look for firmware in, before QEMU's own.
        origin: How it was found, for people.
    """

    command: tuple[str, ...]
    firmware: tuple[Path, ...]
    origin: str

    @property
    def words(self) -> list[str]:
        """The command with the firmware's folders."""
        return [*self.command, *(word for at in self.firmware for word in ("-L", str(at)))]


def chosen_emulator(name: str | None) -> Emulator | None:
    """Returns the QEMU that a person named, by option or in STRONGROOM_QEMU; None without a choice.

    Raises:
        EmulatorUnusable: it will not do.
    """
    origin = "--qemu"
    if name is None:
        name, origin = os.environ.get(_VARIABLE) or None, _VARIABLE
    if name is None:
        return None
    program = shutil.which(name)
    if program is None:
        raise EmulatorUnusable(
            f"{name} is no program that can be run",
            expected=f"a {_NAME} that has the machine {MACHINE}",
            actual=f"named by {origin}",
            remedy=f"correct {origin}, or leave it out: `strongroom host qemu` finds or builds one",
        )
    return _checked((program,), origin)


def installed() -> Emulator | None:
    """Returns this system's QEMU if it has the machine; None if it has not, or there is none."""
    program = shutil.which(_NAME)
    if program is None:
        return None
    try:
        return _checked((program,), "this system")
    except EmulatorUnusable:
        return None


def _checked(command: tuple[str, ...], origin: str) -> Emulator:
    """Returns the emulator after asking it for machine and firmware.

    Raises:
        EmulatorUnusable: it lacks one of them, or does not even answer.
    """
    machines = _ask(command, "-M", "help")
    if not any(line.split()[:1] == [MACHINE] for line in machines):
        raise EmulatorUnusable(
            f"{command[0]} has no machine {MACHINE}",
            expected="QEMU 9.2 or later for x86-64, built with libcbor and gnutls",
            actual=(_ask(command, "--version") or ["it does not say its version"])[0],
            remedy="build one with `strongroom host qemu`",
        )
    own = [Path(line.strip()) for line in _ask(command, "-L", "help")]
    missing = list(_missing(own))
    if not missing:
        return Emulator(command, (), origin)
    if lacking := list(_missing([*own, *_FIRMWARE_FOLDERS])):
        raise EmulatorUnusable(
            f"{command[0]} does not find its firmware",
            expected=", ".join(_FIRMWARE),
            actual=f"no {', no '.join(lacking)}",
            remedy="install qemu-system-data, or build a QEMU with `strongroom host qemu`",
        )
    return Emulator(command, tuple(at for at in _FIRMWARE_FOLDERS if at.is_dir()), origin)


def _missing(folders: Iterable[Path]) -> Iterator[str]:
    places = list(folders)
    return (name for name in _FIRMWARE if not any((at / name).is_file() for at in places))


def _ask(command: tuple[str, ...], *words: str) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603  a program that this user named or installed
            [*command, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmulatorUnusable(
            f"{command[0]} cannot be run",
            expected=f"a {_NAME}",
            actual=_reason(error),
            remedy="choose another, or build one with `strongroom host qemu`",
        ) from error
    return done.stdout.decode("utf-8", "replace").splitlines()


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"exit status {error.returncode}" + (f": {said[-1]}" if said else "")
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {error.timeout:g} s"
    return getattr(error, "strerror", None) or str(error)
