"""Where QEMU with the Nitro machine is."""

import os
import shlex

__all__ = ["find_emulator"]


def find_emulator() -> tuple[str, ...]:
    return tuple(shlex.split(os.environ["ORACLE_QEMU"]))
