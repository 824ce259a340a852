"""Drives AWS's nitro-cli: start a machine, ask what runs, end it, read its console.

Known to 1.5 (2026-08): results are JSON on stdout, words and errors go to stderr, and the exit
status is the number of the error code. `run-enclave` hands the machine to a process of its own that
detaches, and returns when the heartbeat came; that process ends with the machine.

The measurements it reports are its own reading of the file, not the hypervisor's word.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Final, TypeVar

import msgspec

from strongroom_host.errors import EnvironmentFault
from strongroom_host.runners.nitro_advice import advise

__all__ = [
    "Described",
    "NitroCli",
    "NitroCliFailed",
    "NitroCliMissing",
    "NitroCliSilent",
    "NitroCliUnreadable",
    "RunRequest",
    "Started",
    "Starting",
]

RUNNING: Final = "RUNNING"
NO_FLAGS: Final = "NONE"
_TIMEOUT: Final = 30.0
_OUTPUT: Final = 1 << 20
_PCR: Final = re.compile(r"PCR(\d{1,2})")
_DIGEST_CHARS: Final = 96
_INSTALL: Final = (
    "install it (Amazon Linux 2023: `sudo dnf install aws-nitro-enclaves-cli`) and see that it is"
    " on PATH; elsewhere use --platform qemu"
)
_GONE: Final = frozenset({"E08", "E11", "E40"})
ResultT = TypeVar("ResultT")


class NitroCliMissing(EnvironmentFault):
    """There is no nitro-cli here, or this user may not run it."""


class NitroCliFailed(EnvironmentFault):
    """nitro-cli refused or failed.

    Attributes:
        code: Its error code, such as `E27`; empty where it gave none.
    """

    def __init__(self, what: str, *, code: str, actual: object, remedy: str) -> None:
        super().__init__(what, actual=actual, remedy=remedy)
        self.code = code


class NitroCliSilent(EnvironmentFault):
    """nitro-cli did not end in time."""


class NitroCliUnreadable(EnvironmentFault):
    """nitro-cli's answer is not what its documentation says."""


class Started(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer of `run-enclave`, as far as it matters here.

    Attributes:
        enclave_id: `i-...-enc...`.
        process_id: The process that holds the machine and ends with it.
        enclave_cid: The machine's vsock address.
    """

    enclave_id: str = msgspec.field(name="EnclaveID")
    process_id: int = msgspec.field(name="ProcessID")
    enclave_cid: int = msgspec.field(name="EnclaveCID")


class Described(msgspec.Struct, frozen=True, rename="pascal"):
    """One entry of `describe-enclaves`, as far as it matters here.

    Attributes:
        state: `RUNNING`, `TERMINATING` or `EMPTY`.
        flags: `NONE` or `DEBUG_MODE`.
        measurements: Name -> value of its reading of the image file; None in versions before 1.2.
        enclave_name: What was given as `--enclave-name`; None in versions before 1.1.
    """

    enclave_id: str = msgspec.field(name="EnclaveID")
    process_id: int = msgspec.field(name="ProcessID")
    enclave_cid: int = msgspec.field(name="EnclaveCID")
    state: str
    flags: str
    measurements: dict[str, str] | None = None
    enclave_name: str | None = None

    @property
    def running(self) -> bool:
        """Whether the machine runs, and nobody is ending it."""
        return self.state == RUNNING

    @property
    def in_debug_mode(self) -> bool:
        """Whether its documents carry zeros for PCR0 to PCR2; true of any flag not known here."""
        return self.flags != NO_FLAGS

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        """PCR -> 48 bytes, of those that were reported.

        Raises:
            NitroCliUnreadable: a value is not 48 bytes in hex.
        """
        values: dict[int, bytes] = {}
        for name, text in (self.measurements or {}).items():
            if (found := _PCR.fullmatch(name)) is None:
                continue  # HashAlgorithm
            if len(text) != _DIGEST_CHARS or not re.fullmatch(r"[0-9a-fA-F]*", text):
                raise NitroCliUnreadable(
                    f"nitro-cli reports a {name} that is none",
                    expected=f"{_DIGEST_CHARS} hexadecimal digits",
                    actual=text[:_DIGEST_CHARS],
                    remedy="compare `nitro-cli --version` with the deployment guide",
                )
            values[int(found[1])] = bytes.fromhex(text)
        return values


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `run-enclave` is asked for.

    Attributes:
        image: Path of the EIF.
        name: Unique on this machine, since nitro-cli changes a name that is taken.
        memory_mib: Rounded up to whole huge pages.
        cpus: Whole cores: two where a core has two threads.
        cid: vsock address; None lets the hypervisor choose.
        debug: Debug mode: a console, and zeros in place of measurements.
    """

    image: str
    name: str
    memory_mib: int
    cpus: int
    cid: int | None = None
    debug: bool = False

    @property
    def words(self) -> list[str]:
        """The command and its options."""
        words = ["run-enclave", "--eif-path", self.image, "--enclave-name", self.name]
        words += ["--memory", str(self.memory_mib), "--cpu-count", str(self.cpus)]
        if self.cid is not None:
            words += ["--enclave-cid", str(self.cid)]
        return words + ["--debug-mode"] * self.debug


class Starting:
    """A `run-enclave` on its way. Whoever made it calls `result` or leaves a machine behind."""

    def __init__(self, process: subprocess.Popen[bytes], out: IO[bytes], err: IO[bytes]) -> None:
        self._process, self._out, self._err, self._words = process, out, err, ""

    def ended(self) -> bool:
        """Returns whether nitro-cli is through, well or badly."""
        return self._process.poll() is not None

    @property
    def words(self) -> str:
        """What it has written to stderr; once `result` has returned or refused, all of it."""
        if not self._err.closed:
            self._words = _text(self._err)
        return self._words

    def result(self, timeout: float) -> Started:
        """Returns what was started; once only.

        Raises:
            NitroCliFailed: nothing was.
            NitroCliSilent: not within `timeout` seconds; it goes on, and may be asked again.
            NitroCliUnreadable: something was, and it cannot be told what.
        """
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise _silent("run-enclave", timeout) from error
        words = self.words
        with self._out, self._err:
            if status != 0:
                raise _failed("run-enclave", status, words)
            return _decoded("run-enclave", _text(self._out), Started)


class NitroCli:
    """One installation of nitro-cli."""

    def __init__(self, program: str = "nitro-cli", timeout: float = _TIMEOUT) -> None:
        """Runs nothing yet.

        Args:
            program: Name on PATH, or path.
            timeout: Seconds for each command but `run-enclave` and `console`.
        """
        self.program, self._timeout = program, timeout

    def check(self) -> None:
        """Returns if there is such a program.

        Raises:
            NitroCliMissing: there is none.
        """
        if shutil.which(self.program) is None:
            raise NitroCliMissing(
                f"there is no {self.program} here",
                expected="nitro-cli 1.2 or later, on an EC2 instance launched for enclaves",
                remedy=_INSTALL,
            )

    def run(self, request: RunRequest) -> Starting:
        """Begins to start a machine; it goes on whether or not the result is waited for.

        Raises:
            NitroCliMissing: there is no such program.
        """
        # Files, not pipes: nobody has to read them in time, and nothing hangs if the detached
        # process keeps them open.
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  kept open
        try:
            return Starting(self._spawn(request.words, out, err), out, err)
        except BaseException:
            out.close()
            err.close()
            raise

    def describe(self) -> tuple[Described, ...]:
        """Returns the machines of this instance that answer.

        Raises:
            NitroCliMissing, NitroCliFailed, NitroCliSilent, NitroCliUnreadable: as they say.
        """
        return _decoded(
            "describe-enclaves", self._ask(["describe-enclaves"]), tuple[Described, ...]
        )

    def terminate(self, enclave_id: str) -> None:
        """Returns when nitro-cli has ended the machine, or says that there is none.

        Raises:
            NitroCliMissing, NitroCliSilent: as they say.
            NitroCliFailed: it still runs, as far as nitro-cli can tell.
        """
        try:
            self._ask(["terminate-enclave", "--enclave-id", enclave_id])
        except NitroCliFailed as error:
            # E11 is also what a machine of another user gives; that one is still listed.
            if error.code not in _GONE or self._lists(enclave_id):
                raise

    def console(self, enclave_id: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Returns the process that copies a debug machine's console to `output`.

        Raises:
            NitroCliMissing: there is no such program.
        """
        return self._spawn(["console", "--enclave-id", enclave_id], output, output)

    def _lists(self, enclave_id: str) -> bool:
        return any(found.enclave_id == enclave_id for found in self.describe())

    def _ask(self, words: list[str]) -> str:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._spawn(words, out, err)
            deadline = time.monotonic() + self._timeout
            try:
                status = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired as error:
                process.kill()
                process.wait()
                raise _silent(words[0], self._timeout) from error
            if status != 0:
                raise _failed(words[0], status, _text(err))
            return _text(out)

    def _spawn(self, words: list[str], out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603  the operator names the program
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # Ctrl-C at the terminal is for the runner, which then ends the machine in order.
                process_group=0,
                env={**os.environ, "BACKTRACE": "1"},
            )
        except OSError as error:
            raise NitroCliMissing(
                f"{self.program} cannot be run: {error.strerror or error}",
                expected="nitro-cli 1.2 or later, on an EC2 instance launched for enclaves",
                remedy=_INSTALL,
            ) from error


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_OUTPUT).decode("utf-8", "replace")


def _failed(command: str, status: int, stderr: str) -> NitroCliFailed:
    complaint = advise(stderr)
    named = f" ({complaint.code})" if complaint.code else f" (exit status {status})"
    return NitroCliFailed(
        f"nitro-cli {command} failed{named}",
        code=complaint.code,
        actual=complaint.said or f"exit status {status}, and no word",
        remedy=complaint.remedy,
    )


def _silent(command: str, timeout: float) -> NitroCliSilent:
    return NitroCliSilent(
        f"nitro-cli {command} did not end within {timeout:g} s",
        remedy="look at /var/log/nitro_enclaves/nitro_enclaves.log and at `dmesg`",
    )


def _decoded(command: str, text: str, kind: type[ResultT]) -> ResultT:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise NitroCliUnreadable(
            f"the answer of nitro-cli {command} cannot be read: {error}",
            expected="JSON as nitro-cli 1.2 to 1.5 write it",
            actual=text[:200] or "nothing",
            remedy="compare `nitro-cli --version` with the deployment guide",
        ) from error
