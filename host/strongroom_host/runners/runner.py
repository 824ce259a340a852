"""What a platform's runner is, and what all of them do alike: one boot, from claim to clean end.

`Runner` is the port that the operator's daemon works with. `Boot` is what its implementations
share; a platform adds how to launch, how to end, and how to tell in words that a boot has ended.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, TypeVar

from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import BootstrapClient, Phase
from strongroom_host.enclave_client.errors import Unreachable
from strongroom_host.errors import HostError
from strongroom_host.runners.console import explain, quoted, tail
from strongroom_host.runners.errors import EnclaveDidNotStart, EnclaveEnded, EnclaveHalted
from strongroom_host.runners.run_directory import RunDirectory

__all__ = ["Boot", "Platform", "Runner", "private"]

_ANSWER_TIMEOUT: Final = 5.0
_POLL: Final = 0.02
_SEARCHED: Final = 60
"""Lines of the console in which the cause is looked for: a kernel says much after it."""
_QUOTED: Final = 12
BootT = TypeVar("BootT", bound="Boot")


class Runner(Protocol):
    """One boot on some platform. A second boot takes a second runner.

    Whatever the platform, the run directory afterwards has the same sockets in it, so nobody else
    needs to know which one it is.
    """

    @property
    def address(self) -> EnclaveAddress:
        """Where the enclave is reached: the sockets in the run directory."""
        ...

    @property
    def console(self) -> Path:
        """What the enclave, or what runs it, has to say."""
        ...

    @property
    def pid(self) -> int | None:
        """The process to watch or to end, while there is one."""
        ...

    @property
    def root_certificate(self) -> Path | None:
        """The throw-away root of this boot's documents (DER); None where there is none."""
        ...

    def claim(self) -> RunDirectory:
        """Takes the run directory ahead of `spawn`, for what must listen there before; idempotent.

        Raises:
            RunDirectoryRefused, RunDirectoryInUse: see `RunDirectory.claim`.
        """
        ...

    def spawn(self) -> None:
        """Starts the enclave and returns at once, or as soon as a failure shows.

        Raises:
            RunDirectoryRefused, RunDirectoryInUse: see `RunDirectory.claim`.
            HostError: it cannot be started; nothing is left running.
        """
        ...

    def wait_ready(self) -> None:
        """Returns when the enclave answers.

        Raises:
            EnclaveDidNotStart: it ended, or said nothing within the time; it may still run.
        """
        ...

    def check(self) -> None:
        """Returns if the enclave still serves.

        Raises:
            EnclaveEnded: its processes are gone.
            EnclaveHalted: it stopped itself.
        """
        ...

    def alive(self) -> bool:
        """Returns whether the enclave runs."""
        ...

    def stop(self) -> None:
        """Ends the enclave, all of it, and gives the run directory up; harmless when stopped."""
        ...


@dataclass(frozen=True, slots=True)
class Platform:
    """Where a boot is to run, ready to be started.

    Attributes:
        name: For people and for programs that read along.
        runner: Makes the one boot; called once.
        facts: What else to show of it when it runs, label (one word) -> value.
        notes: What whoever relies on it must know, each a sentence without a full stop.
    """

    name: str
    runner: Callable[[], Runner]
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Boot(ABC):
    """What every `Runner` does the same way; also a context manager that starts and stops.

    Start it from a thread that lives as long as the enclave should: Linux takes the end of the
    thread that started a process for the end of its parent.
    """

    def __init__(self, run: Path, timeout: float) -> None:
        """Claims nothing yet.

        Args:
            run: Folder for this boot's sockets; see `RunDirectory`.
            timeout: Seconds within which the enclave must answer.
        """
        self._run, self._timeout = run.expanduser().absolute(), timeout
        self._directory: RunDirectory | None = None
        self._client: BootstrapClient | None = None

    # --- What a platform adds -------------------------------------------------------------------

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """See `Runner`."""

    @abstractmethod
    def launch(self, directory: RunDirectory) -> None:
        """Starts the enclave; whatever it raises, `end` is called afterwards.

        Raises:
            OSError: a program cannot be started.
            HostError: anything else that keeps it from starting.
        """

    @abstractmethod
    def end(self) -> None:
        """Ends everything that `launch` started and returns when it is gone; idempotent."""

    @abstractmethod
    def outcome(self) -> str | None:
        """Returns how the boot ended, in words for parentheses; None while it runs."""

    def silence(self) -> str:
        """Returns what it is that did not happen within the time."""
        return "the enclave did not answer"

    def may_answer(self) -> bool:
        """Returns whether asking it for an answer makes sense yet."""
        return True

    def advice(self) -> str:
        """Returns what to do where the console does not tell."""
        return f"read {self.console}; `strongroom host doctor` looks at this machine"

    # --- What is the same everywhere ------------------------------------------------------------

    @property
    def address(self) -> EnclaveAddress:
        """Where the enclave is reached."""
        return EnclaveAddress.at_run_directory(self._run)

    @property
    def console(self) -> Path:
        """What the enclave, or what runs it, has to say."""
        return self._run / "console.log"

    @property
    def root_certificate(self) -> Path | None:
        """None: a platform with a throw-away root says so."""
        return None

    def __enter__(self: BootT) -> BootT:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def claim(self) -> RunDirectory:
        """See `Runner`."""
        if self._directory is None:
            self._directory = RunDirectory.claim(self._run)
        return self._directory

    def start(self: BootT) -> BootT:
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
        """See `Runner`."""
        directory = self.claim()
        try:
            self.launch(directory)
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
        """See `Runner`."""
        deadline = time.monotonic() + self._timeout
        while True:
            if (outcome := self.outcome()) is not None:
                what = f"the enclave ended before it was ready ({outcome})"
                raise self._failure(EnclaveDidNotStart, what)
            if self.may_answer() and self._answers():
                return
            if time.monotonic() > deadline:
                what = f"{self.silence()} within {self._timeout:g} s"
                raise self._failure(EnclaveDidNotStart, what)
            time.sleep(_POLL)

    def check(self) -> None:
        """See `Runner`."""
        if (outcome := self.outcome()) is not None:
            raise self._failure(EnclaveEnded, f"the enclave ended ({outcome})")
        try:
            halted = self._client is not None and self._client.status() is Phase.HALTED
        except Unreachable:
            return  # busy is not dead; when it dies, `outcome` says so
        if halted:
            raise self._failure(EnclaveHalted, "the enclave halted: this boot is over")

    def alive(self) -> bool:
        """See `Runner`."""
        return self.pid is not None and self.outcome() is None

    def stop(self) -> None:
        """See `Runner`."""
        self.end()
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._directory is not None:
            self._directory.release()
            self._directory = None

    def _answers(self) -> bool:
        """Returns whether the enclave answered; keeps the connection on which it did."""
        listener = self.address.bootstrap
        try:
            # A plain connection first: gRPC waits a second between its own attempts.
            listener.connect(1.0).close()
        except Unreachable:
            return False
        client = BootstrapClient(listener, _ANSWER_TIMEOUT)
        try:
            client.status()
        except Unreachable:
            client.close()  # the next attempt must not inherit its waits
            return False
        self._client = client
        return True

    def _failure(self, kind: type[EnclaveDidNotStart | EnclaveEnded], what: str) -> HostError:
        lines = tail(self.console, _SEARCHED)
        return kind(
            what,
            expected="a running enclave",
            actual=quoted("its console", lines[-_QUOTED:]),
            remedy=explain(lines) or self.advice(),
        )


def private(path: str, flags: int) -> int:
    """Opens a file that only this user may read, following no link; an `opener` for `open`."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
