"""An owner, a bot, a test venue and a booted image, each used through its own commands.

Everything is what a person types: `strongroom enclave boot`, the owner's and the bot's commands,
`python -m strongroom_host.testnet`. Nothing is imported from the host but its exit statuses.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.commands import STRONGROOM, environment, run

__all__ = ["Boot", "Desk", "Venue", "processes"]

_STOP = 60
_MACHINE = ("STRONGROOM_CACHE", "STRONGROOM_QEMU")
"""What of the caller's own settings is about the machine, and so holds for the tests too."""


def processes(mark: str) -> dict[int, str]:
    """Returns the processes whose command line mentions `mark`, a folder of the test."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if mark in line:
                found[int(entry.parent.name)] = line
    return found


@contextmanager
def serving(words: Sequence[str], folder: Path) -> Iterator[tuple[dict[str, object], "Served"]]:
    """Runs a command that serves until its stdin ends; yields its first line of JSON."""
    with subprocess.Popen(
        [*words, "--with-stdin"],
        cwd=folder,
        env=environment(**{name: os.environ[name] for name in _MACHINE if name in os.environ}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        served = Served(process)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                _, said = process.communicate(timeout=_STOP)
                raise AssertionError(f"{' '.join(words)} did not start: {said}")
            yield json.loads(line), served
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=_STOP)
                process.kill()


@dataclass(slots=True)
class Served:
    """A command that serves."""

    process: "subprocess.Popen[str]"

    def ended(self) -> tuple[int, str, str]:
        """Returns exit status and output of a command that ends by itself."""
        self.process.wait(_STOP)  # first: reading closes its stdin, which would end it too
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def stop(self) -> tuple[int, str, str]:
        """Asks it to stop as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()


@dataclass(frozen=True, slots=True)
class Venue:
    """The test venue: where it listens, its CA, and one outcome token."""

    port: int
    ca: Path
    token: str

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator["Venue"]:
        """Runs one whose accounts are funded by whoever asks."""
        words = [sys.executable, "-P", "-m", "strongroom_host.testnet", "--dir", "venue"]
        with serving([*words, "--chain", "80002", "--faucet", "1000"], folder) as (ready, _):
            markets, port = ready["markets"], ready["port"]
            assert isinstance(markets, list)
            assert isinstance(port, int)
            yield cls(port, folder / str(ready["ca"]), markets[0]["tokens"][0])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Boot:
    """One run of the image, as `strongroom enclave boot --json` reports it."""

    ready: dict[str, object]
    served: Served
    run: Path

    @classmethod
    @contextmanager
    def of(cls, what: Sequence[str], folder: Path, run: Path, venue: str) -> Iterator["Boot"]:
        """Boots an image (or what else the words say) with the venue within its reach."""
        words = [
            *STRONGROOM, "enclave", "boot", *what, "--run", str(run),
            "--listen", "127.0.0.1:0", "--map", f"clob.testnet={venue}", "--json",
        ]  # fmt: skip
        with serving(words, folder) as (ready, served):
            yield cls(ready, served, run)

    @property
    def address(self) -> str:
        return str(self.ready["address"])

    @property
    def seconds(self) -> float:
        return float(str(self.ready["boot_s"]))

    def emulator(self) -> tuple[int, str]:
        """Returns QEMU's process id and command line."""
        running = processes(str(self.run)).items()
        [found] = [(pid, line) for pid, line in running if "-M nitro-enclave" in line]
        return found

    def memory(self) -> int:
        """Returns how much memory the machine was given, in MiB."""
        words = self.emulator()[1].split()
        return int(words[words.index("-m") + 1].removesuffix("M"))

    def kill(self) -> None:
        """Kills QEMU, as a host can at any time."""
        os.kill(self.emulator()[0], signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Desk:
    """The folder in which owner and bot type, and the enclave they talk to."""

    folder: Path
    enclave: str

    def do(self, line: str, *more: str, status: int = 0) -> str:
        """Runs `strongroom` with these words; returns all that it printed."""
        done = run(*line.split(), *more, cwd=self.folder)
        said = done.stdout + done.stderr
        assert done.returncode == status, (line, more, done.returncode, said)
        assert "Traceback" not in said
        return said

    def ask(self, line: str, *more: str, status: int = 0) -> str:
        """The same for a command that talks to the enclave."""
        return self.do(line, *more, "--enclave", self.enclave, status=status)

    def owner(self, line: str, *more: str, status: int = 0) -> str:
        """The same as its owner."""
        return self.ask(line, *more, "--owner", "owner", status=status)
