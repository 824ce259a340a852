"""Ending a process and everything it started, and knowing that it is gone."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["end_group", "ending"]

_STOP_TIMEOUT: Final = 10.0
_GROUP_TIMEOUT: Final = 5.0
_POLL: Final = 0.005
_PROCESSES: Final = Path("/proc")
_STAT: Final = "[0-9]*/stat"


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Returns when no process is left of the group that `process` leads, and reaps it.

    Asks, waits, and kills what does not heed it.
    """
    with suppress(OSError):
        if process.stdin:
            process.stdin.close()
    ended_before = process.poll() is not None
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # Workers die of their supervisor's end, which is a moment later than that end. While one of
    # them is left, the group's number cannot be another's; if the end was long ago, it can.
    patience = time.monotonic() + _GROUP_TIMEOUT
    while _group_lives(process.pid) and time.monotonic() < patience + _GROUP_TIMEOUT:
        if time.monotonic() > patience and not ended_before:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        time.sleep(_POLL)


def ending(status: int) -> str:
    """Returns how a process ended, from its `Popen.returncode`, in words for parentheses."""
    if status < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"killed by signal {known.get(-status, -status)}"
    return f"exit status {status}"


def _group_lives(group: int) -> bool:
    """Returns whether a process of the group runs.

    The dead count for the kernel until whoever inherited them collects them, which the first
    process of a container may never do; so Linux is asked for their state as well.
    """
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    entries = _PROCESSES.glob(_STAT)
    return sys.platform != "linux" or any(_runs_in(group, entry) for entry in entries)


def _runs_in(group: int, entry: Path) -> bool:
    try:
        # State, parent and group follow the name, which may hold anything but ends the last ")".
        state, _, number = entry.read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(number) == group and state not in "ZX"
