"""Runs one enclave on the local platform: its processes under one supervisor, as our child.

Nothing outlives the runner, however it ends: `stop` ends the whole process group, and a runner that
is killed takes the enclave along, because its end of the child's stdin closes with it (and on Linux
because the child asked the kernel for that).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from strongroom_host.runners.errors import RunDirectoryRefused
from strongroom_host.runners.process_group import end_group, ending
from strongroom_host.runners.run_directory import RunDirectory
from strongroom_host.runners.runner import Boot, Platform, private

__all__ = ["LocalRunner", "local_platform"]

_START_TIMEOUT: Final = 60.0


def local_platform(run: Path, state: Path, *, busy_poll: bool = False) -> Platform:
    """Returns the local platform, to be started in `run`; see `LocalRunner`."""
    return Platform(
        name="local",
        runner=lambda: LocalRunner(run, state, busy_poll=busy_poll),
        facts={"state": str(state)},
    )


class LocalRunner(Boot):
    """One boot of the local platform; see `Runner`."""

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
        super().__init__(run, timeout)
        self._state, self._busy_poll = state.expanduser().absolute(), busy_poll
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The supervisor's process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def root_certificate(self) -> Path:
        """The throw-away root of this platform's documents, DER."""
        return self._run / "nsm-root.der"

    def launch(self, directory: RunDirectory) -> None:
        """Starts the supervisor process."""
        command = [sys.executable, "-P", "-m", "strongroom_local.entry", "--until-stdin-ends"]
        command += ["--run", str(self._run), "--state", str(self._state)]
        command += ["--busy-poll"] * self._busy_poll
        _check_state(self._state)
        with open(directory.console, "xb", opener=private) as console:
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

    def end(self) -> None:
        """Ends the supervisor and all it started."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process)

    def outcome(self) -> str | None:
        """Returns how the supervisor ended."""
        status = self._status()
        return None if status is None else ending(status)

    def advice(self) -> str:
        """Adds what kills without a word."""
        if self._status() == -signal.SIGKILL:
            return "somebody killed it, or the kernel did for want of memory (`dmesg` tells)"
        return super().advice()

    def _status(self) -> int | None:
        return self._process.poll() if self._process else 0


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
