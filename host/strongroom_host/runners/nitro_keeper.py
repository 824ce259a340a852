"""Keeps what an enclave on Nitro needs beside it: its vsock joints, and an end when we are gone.

A process of its own, for two reasons. A busy guest must not stall the daemon. And nitro-cli hands
the machine to a process that detaches, so a daemon that is killed would leave it running: this one
notices the end of its stdin, and ends the machine unless it was told that all is done.

stdin, one word a line: `cid N` when the machine runs, `done` when the runner has seen to its end.
stdout: `ready` when the guest's port is listened on, or `failed REASON`; and `open` after `cid`.
"""

import argparse
import asyncio
import errno
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.errors import HostError
from strongroom_host.runners.nitro_cli import NitroCli
from strongroom_host.runners.vsock_sockets import KernelVsock, Vsock, VsockSockets

__all__ = ["Duty", "keep", "main"]

_LAST_LINES_S: Final = 1.0
"""After a signal: for what the runner wrote just before it."""

_BOOT_S: Final = 240.0
"""A runner that is killed during `run-enclave` leaves a machine that is listed only later: when its
heartbeat came, for which nitro-cli itself waits two minutes."""

_GONE_S: Final = 60.0
_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Duty:
    """What to keep.

    Attributes:
        name: The machine's name in nitro-cli, unique to this boot.
        program: nitro-cli.
        guest: Host port -> Unix socket that the guest's connections lead to.
        listen: Guest port -> Unix socket that leads there.
    """

    name: str
    program: str
    guest: Mapping[int, Path]
    listen: Mapping[int, Path]

    def words(self) -> list[str]:
        """Returns this program's options."""
        words = ["--name", self.name, "--nitro-cli", self.program]
        for option, ports in (("--connect", self.guest), ("--listen", self.listen)):
            for port, path in ports.items():
                words += [option, f"{port}={path}"]
        return words

    @classmethod
    def parse(cls, words: Sequence[str] | None = None) -> "Duty":
        """Returns the duty that options name; those of this process without an argument."""
        parser = argparse.ArgumentParser(prog="strongroom_host.runners.nitro_keeper")
        parser.add_argument("--name", required=True)
        parser.add_argument("--nitro-cli", default="nitro-cli")
        parser.add_argument("--connect", action="append", default=[], metavar="PORT=PATH")
        parser.add_argument("--listen", action="append", default=[], metavar="PORT=PATH")
        found = parser.parse_args(words)
        guest, listen = _ports(found.connect), _ports(found.listen)
        return cls(str(found.name), str(found.nitro_cli), guest, listen)


async def keep(duty: Duty, family: Vsock) -> int:
    """Returns an exit status when the machine is gone, or its end is somebody else's business."""
    sockets = VsockSockets(family)
    try:
        for port, path in duty.guest.items():
            await sockets.accept(port, path)
    except OSError as error:
        await sockets.stop()
        _say(f"failed {_reason(error)}")
        return 1
    _say("ready")
    runs = done = False
    try:
        lines = _Lines()
        await lines.start()
        while (line := await lines.next()) is not None:
            word, _, rest = line.partition(" ")
            if word == "cid" and rest.isascii() and rest.isdecimal():
                await sockets.open(int(rest), duty.listen)
                runs = True
                _say("open")
            elif word == "done":
                done = True
    finally:
        await sockets.stop()
        if not done:
            await asyncio.to_thread(_end_machine, NitroCli(duty.program), duty.name, ran=runs)
    return 0


def main(words: Sequence[str] | None = None, family: Vsock | None = None) -> int:
    """Runs until stdin ends or a signal comes. Tests name another family of sockets."""
    return asyncio.run(keep(Duty.parse(words), family or KernelVsock()))


class _Lines:
    """The lines of stdin, until it ends or a signal asks for the end."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader()
        self._asked = asyncio.Event()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked.set)
        reader = self._reader
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def next(self) -> str | None:
        """Returns the next line; None at the end."""
        line = asyncio.ensure_future(self._reader.readline())
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait((line, asked), return_when=asyncio.FIRST_COMPLETED)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_LINES_S):
                    data = await line
                    return data.decode("ascii", "replace").strip() if data else None
            return None
        finally:
            line.cancel()
            asked.cancel()


def _end_machine(cli: NitroCli, name: str, *, ran: bool) -> None:
    """Returns when no machine of that name is left, or patience is at its end.

    Args:
        cli: How to ask and to end.
        name: Whose end it is.
        ran: Whether it is known to have run: then one that is not listed is gone.
    """
    deadline = time.monotonic() + (_GONE_S if ran else _BOOT_S)
    while time.monotonic() < deadline:
        with suppress(HostError):
            ours = [found for found in cli.describe() if found.enclave_name == name]
            if ran and not ours:
                return
            for found in ours:
                ran = True
                cli.terminate(found.enclave_id)
        time.sleep(_POLL_S)


def _ports(pairs: Sequence[str]) -> dict[int, Path]:
    split = [pair.partition("=") for pair in pairs]
    return {int(port): Path(path) for port, _, path in split}


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "in-use"
    return error.strerror or str(error)


def _say(line: str) -> None:
    with suppress(OSError):  # the runner is gone, which stdin tells as well
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
