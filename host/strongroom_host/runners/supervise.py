"""A machine and its vsock backend as one family: whichever ends, everything ends.

A process of its own between runner and emulator, because QEMU does not notice the end of whoever
started it. Three things end the family: the end of our stdin (the runner is gone), a signal, the
end of either member; and a member that outlives us is killed by the kernel.

The console passes through here on its way to a file, so that a guest that writes without end costs
two files of a bounded size and no more.

On stdout, one line per event: `heartbeat`, `panic`, and at the end `ended NAME STATUS` or
`failed NAME REASON`. Standard library only: this starts with every boot.
"""

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

__all__ = ["Console", "Family", "Plan", "main"]

BACKEND, MACHINE = "backend", "machine"
_SET_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG
_CONSOLE_BYTES: Final = 4 << 20
_CHUNK: Final = 64 * 1024
_PANIC: Final = b"Kernel panic - not syncing"
_LAST_WORDS_S: Final = 3.0
"""A kernel that panics should restart, which ends the machine; one that hangs instead is ended."""
_END_S: Final = 3.0
_OTHER_ENDS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. The backend says `ready` on its stdout before the machine is started."""

    console: Path
    backend: tuple[str, ...]
    machine: tuple[str, ...]

    def encode(self) -> str:
        """Returns the one argument of this program."""
        return json.dumps([str(self.console), self.backend, self.machine])

    @classmethod
    def decode(cls, text: str) -> "Plan":
        """Returns the plan in that argument."""
        console, backend, machine = json.loads(text)
        return cls(Path(console), tuple(backend), tuple(machine))


class Console:
    """The console's file; what is over the limit moves to a second one, which is overwritten."""

    def __init__(self, path: Path, limit: int = _CONSOLE_BYTES) -> None:
        self._path, self._limit = path, limit
        self._open()

    def write(self, data: bytes) -> None:
        """Appends; a full disk loses what the guest says, and nothing else."""
        if self._size + len(data) > self._limit:
            os.close(self._file)
            with suppress(OSError):
                self._path.replace(self._path.with_suffix(".previous.log"))
            self._open()
        self._size += len(data)
        with suppress(OSError):
            os.write(self._file, data)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        self._file, self._size = os.open(self._path, flags, 0o600), 0


class Family:
    """Backend and machine, from start to end."""

    def __init__(self, plan: Plan) -> None:
        """Starts nothing yet."""
        self._plan = plan
        self._console = Console(plan.console)
        self._selector = selectors.DefaultSelector()
        self._members: dict[str, subprocess.Popen[bytes]] = {}
        self._said = b""
        self._seen = b""
        self._panicked: float | None = None
        self._over = False
        self._output, self._console_end = os.pipe()
        self._wakeup, wake = os.pipe()
        for end in (self._output, self._wakeup, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake)

    def run(self) -> None:
        """Returns when all of it has ended."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, _nothing)  # wakes the loop
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._stdin)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._woken)
        self._selector.register(self._output, selectors.EVENT_READ, self._machine_output)
        try:
            self._start(BACKEND, self._plan.backend)
            backend = self._members[BACKEND].stdout
            if backend is not None:
                os.set_blocking(backend.fileno(), False)
                self._selector.register(backend.fileno(), selectors.EVENT_READ, self._backend_said)
            while not self._over:
                self._turn(None if self._panicked is None else 0.5)
                self._reap()
        except _CannotStart as error:
            _report(f"failed {error}")
        finally:
            self._end()

    def _turn(self, patience: float | None) -> None:
        for key, _ in self._selector.select(patience):
            key.data()

    def _start(self, name: str, command: tuple[str, ...]) -> None:
        try:
            self._members[name] = subprocess.Popen(  # noqa: S603  the runner's own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if name == BACKEND else self._console_end,
                stderr=self._console_end,
                close_fds=False,  # the run directory's lock is for them too
                preexec_fn=partial(_die_with, os.getpid()),  # this process has one thread
            )
        except OSError as error:
            raise _CannotStart(f"{name} {command[0]}: {error.strerror or error}") from error

    # --- Events -----------------------------------------------------------------------------------

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._over = True

    def _stdin(self) -> None:
        if not os.read(sys.stdin.fileno(), 1):
            self._over = True

    def _woken(self) -> None:
        os.read(self._wakeup, _CHUNK)

    def _machine_output(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._output, _CHUNK)
            self._console.write(data)
            self._seen = self._seen[-len(_PANIC) :] + data
            if self._panicked is None and _PANIC in self._seen:
                self._panicked = time.monotonic()
                _report("panic")

    def _backend_said(self) -> None:
        stdout = self._members[BACKEND].stdout
        if stdout is None:
            return
        with suppress(BlockingIOError):
            data = os.read(stdout.fileno(), _CHUNK)
            if not data:
                self._selector.unregister(stdout.fileno())
            *lines, self._said = (self._said + data).split(b"\n")
            for line in lines:
                if line == b"ready" and MACHINE not in self._members:
                    self._start(MACHINE, self._plan.machine)
                elif line == b"heartbeat":
                    _report("heartbeat")

    def _reap(self) -> None:
        """Sees who has ended. The backend ends when the machine does, and may be seen first."""
        machine, backend = self._members.get(MACHINE), self._members[BACKEND]
        if backend.poll() is not None and machine is not None:
            with suppress(subprocess.TimeoutExpired):
                machine.wait(_OTHER_ENDS_S)
        for name, member in ((MACHINE, machine), (BACKEND, backend)):
            if member is not None and member.poll() is not None:
                _report(f"ended {name} {member.returncode}")
                self._over = True
                return
        if (
            machine is not None
            and self._panicked is not None
            and time.monotonic() - self._panicked > _LAST_WORDS_S
        ):
            machine.kill()

    def _end(self) -> None:
        for member in reversed(self._members.values()):
            member.terminate()
        for member in reversed(self._members.values()):
            try:
                member.wait(_END_S)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()
        with suppress(OSError):
            while data := os.read(self._output, _CHUNK):
                self._console.write(data)


class _CannotStart(Exception):
    """A program cannot be executed: its role, its name, why."""


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _die_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends; where there is no such thing, the
    parent's orderly end has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it ended before it could be watched


def _report(line: str) -> None:
    with suppress(OSError):  # nobody reads any more
        os.write(sys.stdout.fileno(), line.encode() + b"\n")


def main() -> int:
    """Runs the family of the plan in the first argument."""
    # QEMU takes the image apart into temporary files, and leaves them there if it is ended then.
    with tempfile.TemporaryDirectory(prefix="strongroom-", ignore_cleanup_errors=True) as scratch:
        os.environ["TMPDIR"] = scratch
        Family(Plan.decode(sys.argv[1])).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
