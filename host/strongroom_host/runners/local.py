"""Runs one enclave on the local platform: its processes under one supervisor, as our child.

Nothing outlives the runner, however it ends: `stop` ends the whole process group, and a runner that
is killed takes the enclave along, because its end of the child's stdin closes with it (and on Linux
because the child asked the kernel for that).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import BootstrapClient, Phase
from strongroom_host.enclave_client.errors import Unreachable
from strongroom_host.errors import HostError
from strongroom_host.runners.console import explain, quoted, tail
from strongroom_host.runners.errors import (
    EnclaveDidNotStart,
    EnclaveEnded,
    EnclaveHalted,
    RunDirectoryRefused,
)
from strongroom_host.runners.process_group import end_group
from strongroom_host.runners.run_directory import RunDirectory

__all__ = ["LocalRunner"]

_START_TIMEOUT: Final = 60.0
_ANSWER_TIMEOUT: Final = 5.0
_POLL: Final = 0.02


class LocalRunner:
    """One boot; a context manager. A second boot takes a second runner.

    Start it from a thread that lives as long as the enclave should: Linux takes the end of the
    thread that started a process for the end of its parent.
    """

    def __init__(
        self,
        run: Path,
        state: Path,
        *,
        busy_poll: bool = False,
        timeout: float = _START_TIMEOUT,
    ) -> None:
        """Claims nothing yet.

        Args:
            run: Folder for this boot's sockets; see `RunDirectory`.
            state: Folder kept across boots: the throw-away root and the file sealer.
            busy_poll: The signer spins instead of sleeping: a core for some microseconds.
            timeout: Seconds within which the enclave must answer.
        """
        self._run, self._state = run.expanduser().absolute(), state.expanduser().absolute()
        self._busy_poll, self._timeout = busy_poll, timeout
        self._directory: RunDirectory | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: BootstrapClient | None = None

    @property
    def address(self) -> EnclaveAddress:
        """Where the enclave listens."""
        return EnclaveAddress.at_run_directory(self._run)

    @property
    def root_certificate(self) -> Path:
        """The throw-away root of this platform's documents, DER."""
        return self._run / "nsm-root.der"

    @property
    def console(self) -> Path:
        """What the enclave's processes write to stderr."""
        return self._run / "console.log"

    @property
    def pid(self) -> int | None:
        """The supervisor's process id while it runs."""
        return self._process.pid if self._process else None

    def __enter__(self) -> "LocalRunner":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def claim(self) -> RunDirectory:
        """Takes the run directory ahead of `spawn`, for what must listen there before; idempotent.

        Raises:
            RunDirectoryRefused, RunDirectoryInUse: see `RunDirectory.claim`.
        """
        if self._directory is None:
            self._directory = RunDirectory.claim(self._run)
        return self._directory

    def start(self) -> "LocalRunner":
        """Starts the enclave and returns when it answers.

        Raises:
            RunDirectoryRefused, RunDirectoryInUse: see `RunDirectory.claim`.
            EnclaveDidNotStart: it ended or stayed silent; nothing is left running.
        """
        self.spawn()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def spawn(self) -> None:
        """Starts the supervisor process and returns at once.

        Raises:
            RunDirectoryRefused, RunDirectoryInUse: see `RunDirectory.claim`.
            EnclaveDidNotStart: the process cannot be started.
        """
        directory = self.claim()
        command = [sys.executable, "-P", "-m", "strongroom_local.entry", "--until-stdin-ends"]
        command += ["--run", str(self._run), "--state", str(self._state)]
        command += ["--busy-poll"] * self._busy_poll
        try:
            _check_state(self._state)
            with open(directory.console, "xb", opener=_private) as console:
                self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                    command,
                    stdin=subprocess.PIPE,
                    stdout=console,
                    stderr=console,
                    pass_fds=[directory.lock],
                    # Ctrl-C at the terminal is for the runner, which then ends the enclave.
                    process_group=0,
                    # The child must find, and measure, the very packages that we import.
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
        except OSError as error:
            self.stop()
            raise EnclaveDidNotStart(
                f"the enclave cannot be started: {error.strerror or error}",
                remedy="run `strongroom host doctor`",
            ) from error
        except BaseException:
            self.stop()
            raise

    def wait_ready(self) -> None:
        """Returns when the enclave answers.

        Raises:
            EnclaveDidNotStart: it ended, or said nothing within the time; it may still run.
        """
        deadline = time.monotonic() + self._timeout
        listener = self.address.bootstrap
        while True:
            if self._ended() is not None:
                raise self._failure(EnclaveDidNotStart, "the enclave ended before it was ready")
            try:
                # A plain connection first: gRPC waits a second between its own attempts.
                listener.connect(1.0).close()
                self._client = self._client or BootstrapClient(listener, _ANSWER_TIMEOUT)
                self._client.status()
                return
            except Unreachable as error:
                if time.monotonic() > deadline:
                    what = f"the enclave did not answer within {self._timeout:g} s"
                    raise self._failure(EnclaveDidNotStart, what) from error
            time.sleep(_POLL)

    def check(self) -> None:
        """Returns if the enclave still serves.

        Raises:
            EnclaveEnded: its processes are gone.
            EnclaveHalted: it stopped itself.
        """
        if (status := self._ended()) is not None:
            raise self._failure(EnclaveEnded, f"the enclave ended ({_outcome(status)})")
        try:
            halted = self._client is not None and self._client.status() is Phase.HALTED
        except Unreachable:
            return  # busy is not dead; when it dies, the process ends
        if halted:
            raise self._failure(EnclaveHalted, "the enclave halted: this boot is over")

    def alive(self) -> bool:
        """Returns whether the supervisor process runs."""
        return self._process is not None and self._ended() is None

    def stop(self) -> None:
        """Ends the enclave, all of it, and gives the run directory up; harmless when stopped."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process)
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._directory is not None:
            self._directory.release()
            self._directory = None

    def _ended(self) -> int | None:
        return self._process.poll() if self._process else 0

    def _failure(self, kind: type[EnclaveDidNotStart | EnclaveEnded], what: str) -> HostError:
        lines = tail(self.console)
        return kind(
            what,
            expected="a running enclave",
            actual=quoted("its console", lines),
            remedy=explain(lines) or self._advice(),
        )

    def _advice(self) -> str:
        if self._ended() == -signal.SIGKILL:
            return "somebody killed it, or the kernel did for want of memory (`dmesg` tells)"
        return f"read {self.console}; `strongroom host doctor` looks at this machine"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _check_state(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        usable = os.access(state, os.R_OK | os.W_OK | os.X_OK)
    except OSError as error:
        raise RunDirectoryRefused(
            f"cannot use the state directory {state}: {error.strerror or error}",
            remedy="choose another with --state, or correct its permissions",
        ) from error
    if not usable:
        raise RunDirectoryRefused(
            f"the state directory {state} cannot be read and written",
            remedy="choose another with --state, or correct its permissions",
        )


def _outcome(status: int) -> str:
    if status < 0:
        return f"killed by signal {signal.Signals(-status).name}"
    return f"exit status {status}"
