"""Runs an image in an AWS Nitro enclave: real isolation, and evidence that AWS's root vouches for.

nitro-cli starts the machine and answers its heartbeat (port 9000); this module sees that it runs
what was asked for, and joins it to the run directory. What nitro-cli says of the image is its own
reading of the file: it shows a file that was exchanged or that two readers take differently, and no
more. Owners believe the evidence, never this host.
"""

import os
import resource
import secrets
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from strongroom_host.errors import BadInput, EnvironmentFault, HostError
from strongroom_host.runners.boot_image import BootImage
from strongroom_host.runners.errors import EnclaveDidNotStart, ListenFailed
from strongroom_host.runners.nitro_cli import (
    Described,
    NitroCli,
    NitroCliFailed,
    NitroCliUnreadable,
    RunRequest,
    Started,
    Starting,
)
from strongroom_host.runners.nitro_keeper import Duty
from strongroom_host.runners.process_group import end_group, ending
from strongroom_host.runners.run_directory import RunDirectory
from strongroom_host.runners.runner import Boot, Platform, private

__all__ = [
    "DEFAULT_CPUS",
    "DEFAULT_MEMORY_MIB",
    "DEFAULT_TIMEOUT",
    "LONGEST_START",
    "DebugModeFound",
    "EnclaveStillRuns",
    "MeasuredOtherwise",
    "NitroRunner",
    "nitro_platform",
]

DEFAULT_MEMORY_MIB: Final = 512
DEFAULT_CPUS: Final = 2
DEFAULT_TIMEOUT: Final = 180.0
"""Seconds to the first answer; nitro-cli alone waits two minutes for the heartbeat."""

_BOOTSTRAP, _CONTROL, _FRAMES, _EGRESS = 5003, 5000, 5001, 5002
_LEAST_CID, _ANY_CID = 4, (1 << 32) - 1
_EIF_RATIO: Final = 4
"""nitro-cli refuses less memory than this times the file's size."""
_CONSOLE_BYTES: Final = 4 << 20
"""A guest that writes without end gets this much of the disk; then its copier is ended."""
_KEEPER_READY_S: Final = 20.0
LONGEST_START: Final = 240.0
"""Seconds for `run-enclave`, at most."""
_GONE_S: Final = 20.0
_KEEPER: Final = (sys.executable, "-P", "-m", "strongroom_host.runners.nitro_keeper")
_MACHINES: Final = {"x86_64": "x86_64", "aarch64": "arm64"}


class MeasuredOtherwise(EnvironmentFault):
    """nitro-cli measures another image than the one that was to boot."""

    exit_status = 3


class DebugModeFound(EnvironmentFault):
    """The machine runs in debug mode, in which its evidence proves no image."""

    exit_status = 3


class EnclaveStillRuns(EnvironmentFault):
    """The machine could not be ended; it may go on without us."""


def nitro_platform(
    image: BootImage,
    run: Path,
    *,
    memory_mib: int = DEFAULT_MEMORY_MIB,
    cpus: int = DEFAULT_CPUS,
    cid: int | None = None,
    nitro_cli: str = "nitro-cli",
    debug_console: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
) -> Platform:
    """Returns an enclave of this EC2 instance with `image`; see `NitroRunner`.

    Raises:
        BadInput: no such enclave can boot this image.
        NitroCliMissing: this machine has no nitro-cli.
    """
    _check(image, memory_mib, cpus, cid)
    NitroCli(nitro_cli).check()
    notes = ["what owners have to compare is the evidence (`strongroom enclave evidence`)"]
    if debug_console:
        notes.append(
            "debug mode: anybody on this instance reads its console, and its evidence proves no"
            " image. No production policy accepts it"
        )
    return Platform(
        name="nitro",
        runner=lambda: NitroRunner(
            image,
            run,
            memory_mib=memory_mib,
            cpus=cpus,
            cid=cid,
            nitro_cli=nitro_cli,
            debug_console=debug_console,
            timeout=timeout,
        ),
        facts={**image.facts, "memory": f"{memory_mib} MiB, {cpus} CPUs"},
        notes=tuple(notes),
    )


class NitroRunner(Boot):
    """One boot of an image as an enclave of this instance; see `Runner`."""

    def __init__(
        self,
        image: BootImage,
        run: Path,
        *,
        memory_mib: int = DEFAULT_MEMORY_MIB,
        cpus: int = DEFAULT_CPUS,
        cid: int | None = None,
        nitro_cli: str = "nitro-cli",
        debug_console: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        keeper: tuple[str, ...] = _KEEPER,
    ) -> None:
        """Claims nothing yet.

        Args:
            image: What to boot.
            run: Folder for this boot's sockets; see `RunDirectory`.
            memory_mib: The enclave's memory, out of what the allocator set apart.
            cpus: The enclave's CPUs, whole cores.
            cid: Its vsock address; None lets the hypervisor choose.
            nitro_cli: Name on PATH, or path.
            debug_console: Debug mode, with the console in `console`. Its PCR0 to PCR2 are zero.
            timeout: Seconds within which the enclave must answer.
            keeper: The keeper's command; its options follow.
        """
        super().__init__(run, timeout)
        self._image, self._debug, self._keeper_command = image, debug_console, keeper
        self._cli, self._name = NitroCli(nitro_cli), f"strongroom-{secrets.token_hex(8)}"
        self._request = RunRequest(
            str(image.path), self._name, memory_mib, cpus, cid, debug_console
        )
        self._turn = threading.RLock()  # one thread may wait for the boot while another ends it
        self._keeper: subprocess.Popen[bytes] | None = None
        self._starting: Starting | None = None
        self._asked = False  # whether nitro-cli may hold a machine of ours
        self._enclave: Started | None = None
        self._machine = -1  # pidfd of the process that holds the machine
        self._copier: subprocess.Popen[bytes] | None = None
        self._ready = False

    @property
    def pid(self) -> int | None:
        """The process of nitro-cli that holds the machine, once it runs."""
        return self._enclave.process_id if self._enclave else None

    def launch(self, directory: RunDirectory) -> None:
        """Starts the keeper, which takes the guest's port, and then nitro-cli."""
        self._keeper = self._start_keeper(directory)
        self._hear("ready")
        self._starting = self._cli.run(self._request)
        self._asked = True

    def end(self) -> None:
        """Ends the machine, then what was beside it.

        Raises:
            EnclaveStillRuns: nitro-cli does not end it; the keeper goes on trying for a while.
        """
        with self._turn:
            keeper, self._keeper = self._keeper, None
            failure = self._end_machine()
            if self._copier is not None:
                end_group(self._copier)
                self._copier = None
            if self._machine >= 0:
                os.close(self._machine)
                self._machine = -1
            self._enclave, self._asked, self._ready = None, False, False
            if keeper is not None and failure is None:
                with suppress(OSError):
                    _write(keeper, "done")
                end_group(keeper)
            elif keeper is not None and keeper.stdin is not None:
                keeper.stdin.close()
            if keeper is not None and keeper.stdout is not None:
                keeper.stdout.close()
        if failure is not None:
            raise failure

    def outcome(self) -> str | None:
        """Returns how the machine or its keeper ended; a machine leaves no reason behind."""
        with self._turn:
            if self._keeper is None:
                return "stopped"
            if (status := self._keeper.poll()) is not None:
                return f"its keeper: {ending(status)}"
            if self._machine >= 0 and _ended(self._machine):
                return "nitro-cli lists it no more: the machine switched itself off or crashed"
            return None

    def may_answer(self) -> bool:
        """Returns whether the machine runs and its sockets are there; sees to both.

        Raises:
            NitroCliFailed: it could not be started.
            MeasuredOtherwise, DebugModeFound: it is not the one asked for, and was ended.
        """
        with self._turn:
            if self._starting is None or self._ready or not self._starting.ended():
                return self._ready
            starting, self._starting = self._starting, None
            self._enclave = self._started(starting, 0.0)
            self._admit(self._enclave)
            if self._debug:
                with open(self.console, "ab", opener=private) as console:
                    self._copier = self._cli.console(self._enclave.enclave_id, console)
                limit = (_CONSOLE_BYTES, _CONSOLE_BYTES)
                resource.prlimit(self._copier.pid, resource.RLIMIT_FSIZE, limit)
            if self._keeper is not None:
                _write(self._keeper, f"cid {self._enclave.enclave_cid}")
                self._hear("open")
            self._ready = True
            return True

    def silence(self) -> str:
        """Tells a machine that is still being started from one that runs and says nothing."""
        if self._ready:
            return "the enclave sent its heartbeat but did not answer"
        return "nitro-cli did not report the enclave as started"

    def advice(self) -> str:
        """Names what can be known of a machine without a console."""
        return (
            "outside debug mode an enclave has no console. Give it more --memory; boot the same"
            " image with --platform qemu, or with --debug-console, to see what it says; and read"
            " /var/log/nitro_enclaves/nitro_enclaves.log. Signing again takes a new boot, verified,"
            " and a new permit"
        )

    def _start_keeper(self, directory: RunDirectory) -> subprocess.Popen[bytes]:
        listen = {_BOOTSTRAP: "bootstrap", _CONTROL: "control", _FRAMES: "frames"}
        duty = Duty(
            self._name,
            self._cli.program,
            {_EGRESS: directory.egress},
            {port: directory.path / f"{name}.sock" for port, name in listen.items()},
        )
        with open(directory.console, "ab", opener=private) as console:
            return subprocess.Popen(  # noqa: S603  our own interpreter and module
                [*self._keeper_command, *duty.words()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                pass_fds=[directory.lock],
                # Ctrl-C at the terminal is for the runner, which then ends the machine.
                process_group=0,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def _hear(self, word: str) -> None:
        """Returns when the keeper has said `word`.

        Raises:
            ListenFailed: it cannot take the guest's port.
            EnclaveDidNotStart: it ended, or said nothing.
        """
        if self._keeper is None or self._keeper.stdout is None:
            raise RuntimeError("the keeper is started first")
        line = _line(self._keeper.stdout, _KEEPER_READY_S)
        if line == word:
            return
        said, _, reason = line.partition(" ")
        if said != "failed":
            raise self._failure(EnclaveDidNotStart, f"the enclave's keeper did not say {word}")
        if reason == "in-use":
            raise ListenFailed(
                f"vsock port {_EGRESS} of this instance is taken",
                remedy="another `strongroom enclave boot` serves an enclave here: one instance, one"
                " enclave of ours. Stop that one, or take another instance",
            )
        raise ListenFailed(
            f"cannot listen on vsock port {_EGRESS}: {reason}",
            expected="an EC2 instance with enclaves",
            remedy="see that /dev/vsock exists (`sudo modprobe vsock`); elsewhere use --platform"
            " qemu",
        )

    def _admit(self, started: Started) -> None:
        """Proves that the machine that runs is the one asked for, and takes hold of its process.

        Raises:
            MeasuredOtherwise, DebugModeFound: it is not, and is being ended.
            EnclaveDidNotStart: it is gone already.
        """
        with suppress(ProcessLookupError):
            self._machine = os.pidfd_open(started.process_id)
        found = [one for one in self._cli.describe() if one.enclave_id == started.enclave_id]
        # Listed after its process was taken hold of: so the number is still that process's.
        if not found or self._machine < 0 or found[0].process_id != started.process_id:
            raise self._failure(EnclaveDidNotStart, "the enclave ended as soon as it had started")
        try:
            self._compare(found[0])
        except HostError:
            self._end_machine()
            raise

    def _compare(self, described: Described) -> None:
        if not described.running:
            raise self._failure(EnclaveDidNotStart, f"the enclave is {described.state}")
        if described.in_debug_mode and not self._debug:
            raise DebugModeFound(
                "the enclave runs in debug mode, and nobody asked for that",
                expected="flags NONE",
                actual=described.flags,
                remedy="see what nitro-cli is on this machine: it does not do what it is told",
            )
        expected = {index: value for index, value in self._image.pcrs.items() if any(value)}
        reported = {index: value for index, value in described.pcrs.items() if any(value)}
        if reported != expected:
            raise MeasuredOtherwise(
                "nitro-cli did not start the image that was checked"
                f" ({_differing(expected, reported)})",
                expected=_shown(expected),
                actual=_shown(reported),
                remedy="the file changed meanwhile, or nitro-cli reads it in another way: check it"
                " again with `strongroom eif verify`, keep it where only root can write, and see"
                " that nitro-cli is 1.2 or later",
            )

    def _end_machine(self) -> EnclaveStillRuns | None:
        """Returns None when no machine of this boot is left, else what to raise at the end."""
        try:
            if self._starting is not None:
                # Nothing can be ended before it has been started: wait for that.
                starting, self._starting = self._starting, None
                with suppress(NitroCliFailed, NitroCliUnreadable):
                    self._enclave = self._started(starting, LONGEST_START)
            for enclave_id in self._left():
                self._cli.terminate(enclave_id)
            if self._machine >= 0 and not _ended(self._machine, _GONE_S):
                raise EnvironmentFault("its process goes on")
        except HostError as error:
            known = self._enclave.enclave_id if self._enclave else "ID"
            return EnclaveStillRuns(
                "the enclave could not be ended, and may still run",
                actual=error,
                remedy="`nitro-cli describe-enclaves`, then `nitro-cli terminate-enclave"
                f" --enclave-id {known}`",
            )
        return None

    def _started(self, starting: Starting, timeout: float) -> Started:
        try:
            return starting.result(timeout)
        except NitroCliFailed:
            self._asked = False
            raise
        finally:
            self._note(starting.words)

    def _left(self) -> list[str]:
        """Returns the ids of what nitro-cli still holds of this boot, by the name that it has."""
        if not self._asked or (self._machine >= 0 and _ended(self._machine)):
            return []
        return [one.enclave_id for one in self._cli.describe() if one.enclave_name == self._name]

    def _note(self, words: str) -> None:
        with suppress(OSError), open(self.console, "a", opener=private) as console:
            console.write(words)


def _check(image: BootImage, memory_mib: int, cpus: int, cid: int | None) -> None:
    machine, architecture = os.uname().machine, image.format[1]
    if _MACHINES.get(machine, machine) != _MACHINES.get(architecture, architecture):
        raise BadInput(
            f"{image.path} is not for this machine's processor",
            expected=machine,
            actual=architecture,
            remedy="an enclave has the processor of its instance: take an instance of the other"
            " kind, or an image built for this one",
        )
    least = _EIF_RATIO * -(-image.path.stat().st_size >> 20)
    if memory_mib < least:
        raise BadInput(
            f"{memory_mib} MiB of memory are too few for {image.path}",
            expected=f"at least {least} MiB: nitro-cli asks for four times the file's size",
            actual=memory_mib,
            remedy=f"give it more, for instance --memory {max(least, DEFAULT_MEMORY_MIB)}",
        )
    if cpus < 1:
        raise BadInput("an enclave needs a CPU", expected="1 or more", actual=cpus)
    if cid is not None and not _LEAST_CID <= cid < _ANY_CID:
        raise BadInput(
            f"{cid} cannot be an enclave's vsock address",
            expected=f"{_LEAST_CID} to {_ANY_CID - 1}: 0 to 3 and the last are taken",
            actual=cid,
            remedy="leave --cid out",
        )


def _differing(expected: Mapping[int, bytes], reported: Mapping[int, bytes]) -> str:
    if not reported:
        return "it reports no measurement"
    names = [
        f"PCR{index}"
        for index in sorted({*expected, *reported})
        if expected.get(index) != reported.get(index)
    ]
    return ", ".join(names)


def _shown(pcrs: Mapping[int, bytes]) -> str:
    return ", ".join(f"PCR{index} {value.hex()}" for index, value in sorted(pcrs.items())) or "none"


def _ended(machine: int, timeout: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(machine, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _write(process: subprocess.Popen[bytes], line: str) -> None:
    if process.stdin is not None:
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()


def _line(stream: IO[bytes], timeout: float) -> str:
    """Returns the next line, or what there is of it when the stream ends or time is up."""
    deadline, data = time.monotonic() + timeout, b""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    while not data.endswith(b"\n") and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        if not (byte := os.read(stream.fileno(), 1)):
            break
        data += byte
    return data.decode("utf-8", "replace").strip()
