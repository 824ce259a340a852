"""A host daemon as a process with a real enclave behind it, a testnet beside it, and the CLI."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from strongroom_host.cli.app import app
from strongroom_host.testnet.config import default_config
from strongroom_host.testnet.server import TestnetServer
from strongroom_host.testnet.units import BASE
from typer.testing import CliRunner

__all__ = ["Command", "HostProcess", "Machine", "token", "venue_in"]

VENUE = "clob.testnet"
runner = CliRunner()


def venue_in(folder: Path) -> TestnetServer:
    """Returns a venue on Amoy with a faucet, not started."""
    return TestnetServer(default_config(80002, open_accounts=1000 * BASE), folder)


def token() -> str:
    """Returns the first outcome token of the testnet's standard market."""
    return str(default_config(80002).markets[0].tokens[0])


class HostProcess:
    """`strongroom host run` in a process of its own, on free TCP ports."""

    def __init__(self, folder: Path, venue: TestnetServer) -> None:
        command = [sys.executable, "-m", "strongroom_host.cli.main", "host", "run"]
        command += ["--run", str(folder / "run"), "--state", str(folder / "state")]
        command += ["--listen", "127.0.0.1:0", "--with-stdin", "--json"]
        command += ["--map", f"{VENUE}:{venue.port}=127.0.0.1:{venue.port}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        self.address = str(json.loads(line)["address"])

    def __enter__(self) -> "HostProcess":
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()
            assert process.wait(30) == 0


class Command:
    """What one run of the CLI did."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Machine:
    """One person's or bot's machine: a folder of its own, and the enclave's address."""

    def __init__(self, folder: Path, host: HostProcess | None = None) -> None:
        self.folder, self.host = folder, host
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: object, stdin: str | None = None, expect: int | None = 0) -> Command:
        """Runs `strongroom` with these arguments and demands this exit status; None takes any."""
        environment = {
            "STRONGROOM_OWNER": str(self.folder / "owner"),
            "STRONGROOM_CLIENT": str(self.folder / "client"),
            "STRONGROOM_ENCLAVE": self.host.address if self.host else "127.0.0.1:9",
            "COLUMNS": "200",
        }
        done = runner.invoke(app, [str(a) for a in arguments], env=environment, input=stdin)
        assert expect in (None, done.exit_code), f"{arguments}: {done.exit_code}\n{done.output}"
        return Command(done.exit_code, done.stdout, done.stderr)

    def give(self, name: str, to: "Machine", as_name: str | None = None) -> None:
        """Copies a file to another machine, as a person would send it."""
        target = to.folder / (as_name or name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / name, target)
