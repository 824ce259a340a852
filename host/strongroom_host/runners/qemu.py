"""Runs an image in QEMU's Nitro machine: the very EIF, a real kernel, real vsock, no hardware.

QEMU measures the image itself, and nobody signs what its security module says: good for trying an
image and for tests, no protection from this host.

Three processes of ours, one family (`supervise`): the supervisor, the vsock backend (a process so
that a busy guest stalls nobody), QEMU. All end with the runner, however that ends.
"""

import os
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import IO, Final

from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.runners.boot_image import BootImage
from strongroom_host.runners.emulator import MACHINE, Emulator
from strongroom_host.runners.process_group import end_group, ending
from strongroom_host.runners.run_directory import RunDirectory
from strongroom_host.runners.runner import Boot, Platform, private
from strongroom_host.runners.supervise import Plan
from strongroom_host.runners.timestamp_counter import clock_arguments

__all__ = [
    "DEFAULT_MEMORY_MIB",
    "Accelerator",
    "AcceleratorUnusable",
    "QemuRunner",
    "qemu_platform",
]

DEFAULT_MEMORY_MIB: Final = 512
DEFAULT_TIMEOUT: Final = 180.0
"""Seconds to the first answer: a quarter of a minute without KVM on an idle machine."""
_CID: Final = 16
"""The guest's context id. Each machine has a backend of its own, so all may have the same."""
_BOOTSTRAP, _CONTROL, _FRAMES, _EGRESS, _HEARTBEAT = 5003, 5000, 5001, 5002, 9000
_KVM: Final = Path("/dev/kvm")
_EIF_VERSION: Final = 4
_KERNEL_MIB: Final = 32
"""What a kernel takes for itself before init runs; less is certain to fail."""


class Accelerator(Enum):
    """How the guest's instructions run."""

    TCG = "tcg"
    """Translated by QEMU: everywhere, and slow."""
    KVM = "kvm"
    """By the processor. A /dev/kvm that exists need not work, so it is never a default."""


class AcceleratorUnusable(EnvironmentFault):
    """KVM was asked for, and this machine or user has none."""


def qemu_platform(
    image: BootImage,
    run: Path,
    emulator: Emulator,
    *,
    memory_mib: int = DEFAULT_MEMORY_MIB,
    accelerator: Accelerator = Accelerator.TCG,
    timeout: float = DEFAULT_TIMEOUT,
) -> Platform:
    """Returns QEMU's Nitro machine with `image`, to be started in `run`; see `QemuRunner`.

    Raises:
        BadInput: such a machine cannot boot this image.
        AcceleratorUnusable: there is no KVM here.
    """
    _check_image(image, memory_mib)
    if accelerator is Accelerator.KVM:
        _check_kvm(_KVM)
    return Platform(
        name="qemu",
        runner=lambda: QemuRunner(
            image,
            run,
            emulator,
            memory_mib=memory_mib,
            accelerator=accelerator,
            timeout=timeout,
        ),
        facts={**image.facts, "emulator": f"{emulator.command[0]} ({emulator.origin})"},
        notes=(
            "nobody signs this platform's evidence: whoever verifies it has to trust this machine,"
            " and only a development trust file that says so accepts it",
        ),
    )


class QemuRunner(Boot):
    """One boot of an image in QEMU; see `Runner`."""

    def __init__(
        self,
        image: BootImage,
        run: Path,
        emulator: Emulator,
        *,
        memory_mib: int = DEFAULT_MEMORY_MIB,
        accelerator: Accelerator = Accelerator.TCG,
        timeout: float = DEFAULT_TIMEOUT,
        backend: tuple[str, ...] = (sys.executable, "-P", "-m", "strongroom_host.vsock"),
    ) -> None:
        """Claims nothing yet.

        Args:
            image: What to boot.
            run: Folder for this boot's sockets; see `RunDirectory`.
            emulator: Which QEMU.
            memory_mib: The guest's memory. Ramdisks are unpacked into it.
            accelerator: How the guest's instructions run.
            timeout: Seconds within which the enclave must answer.
            backend: The vsock backend's command; its options follow.
        """
        super().__init__(run, timeout)
        self._image, self._emulator, self._backend = image, emulator, backend
        self._memory_mib, self._accelerator = memory_mib, accelerator
        self._process: subprocess.Popen[bytes] | None = None
        self._reports: IO[bytes] | None = None
        self._listening = Lock()  # one thread may wait for the boot while another ends it
        self._heard = b""
        self._events: set[str] = set()
        self._end: tuple[str, str] | None = None

    @property
    def pid(self) -> int | None:
        """The supervisor's process id while it runs."""
        return self._process.pid if self._process else None

    def launch(self, directory: RunDirectory) -> None:
        """Starts supervisor, backend and QEMU."""
        plan = Plan(directory.console, self._backend_command(directory), self._machine(directory))
        command = [sys.executable, "-P", "-m", "strongroom_host.runners.supervise", plan.encode()]
        with open(directory.console, "ab", opener=private) as console:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=console,
                pass_fds=[directory.lock],
                # Ctrl-C at the terminal is for the runner, which then ends the enclave.
                process_group=0,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._process, self._reports = process, process.stdout
        if self._reports is not None:
            os.set_blocking(self._reports.fileno(), False)

    def end(self) -> None:
        """Ends QEMU, backend and supervisor. The guest is not asked: it has nothing to save."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process)
        with self._listening:
            reports, self._reports = self._reports, None
            if reports is not None:
                reports.close()

    def outcome(self) -> str | None:
        """Returns how QEMU or its backend ended, as the supervisor reports it."""
        process = self._process
        if process is None:
            return "stopped"
        status = process.poll()  # first: what it said before it ended is read below
        self._listen()
        if self._end is not None:
            return self._words(*self._end)
        return None if status is None else f"its supervisor: {ending(status)}"

    def may_answer(self) -> bool:
        """Returns whether the guest has sent its heartbeat: before that nothing listens."""
        return "heartbeat" in self._events

    def silence(self) -> str:
        """Tells an image that never came up from one that came up and hangs."""
        if self.may_answer():
            return "the enclave sent its heartbeat but did not answer"
        return "the enclave sent no heartbeat"

    def advice(self) -> str:
        """Adds what leaves nothing on the console."""
        if self._end is None:
            return (
                f"read {self.console}; on a busy machine give it longer with --timeout, and memory"
                " with --memory"
            )
        if self._end == ("machine", str(-signal.SIGKILL)):
            return "somebody killed QEMU, or the kernel did for want of memory (`dmesg` tells)"
        return super().advice()

    def _backend_command(self, directory: RunDirectory) -> tuple[str, ...]:
        listen = {_BOOTSTRAP: "bootstrap", _CONTROL: "control", _FRAMES: "frames"}
        words = ["--device", str(directory.device), "--cid", str(_CID)]
        for port, name in listen.items():
            words += ["--listen", f"{port}={directory.path / name}.sock"]
        words += ["--connect", f"{_EGRESS}={directory.egress}", "--heartbeat", str(_HEARTBEAT)]
        return (*self._backend, *words)

    def _machine(self, directory: RunDirectory) -> tuple[str, ...]:
        return (
            *self._emulator.words,
            *("-M", f"{MACHINE},vsock=vsock,id={_enclave_id()}"),
            *("-chardev", f"socket,id=vsock,path={_quoted(directory.device)}"),
            *("-accel", self._accelerator.value, "-cpu", "max", "-smp", "1"),
            *("-m", f"{self._memory_mib}M", "-kernel", str(self._image.path)),
            # No default devices and no network; the serial line is our stdout. An image that
            # restarts has ended: another boot would have other keys.
            *("-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"),
            *(clock_arguments() if self._accelerator is Accelerator.TCG else ()),
        )

    def _listen(self) -> None:
        """Takes in what the supervisor has reported since the last time."""
        with self._listening, suppress(BlockingIOError):
            while self._reports is not None and (data := os.read(self._reports.fileno(), 4096)):
                self._heard += data
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            word, _, rest = line.decode("utf-8", "replace").partition(" ")
            self._events.add(word)
            if word == "failed":
                self._end = self._end or (word, rest)
            elif word == "ended":
                name, _, status = rest.partition(" ")
                self._end = self._end or (name, status)

    def _words(self, name: str, how: str) -> str:
        if name == "failed":
            return f"cannot be started: {how}"
        if name == "backend":
            return f"its vsock backend: {ending(int(how))}"
        if "panic" in self._events:
            return "its kernel panicked"
        if how == "0":
            return "it switched its machine off"
        return f"QEMU: {ending(int(how))}"


def _enclave_id() -> str:
    """Returns an id in the form of AWS's: instance, then enclave."""
    return f"i-{secrets.token_hex(9)[:17]}-enc{secrets.token_hex(8)}"


def _quoted(path: Path) -> str:
    """Returns a path for QEMU's options, where a comma ends a value unless it is doubled."""
    return str(path).replace(",", ",,")


def _check_image(image: BootImage, memory_mib: int) -> None:
    version, architecture = image.format
    if version < _EIF_VERSION or architecture != "x86_64":
        raise BadInput(
            f"QEMU's Nitro machine does not boot {image.path}",
            expected=f"format version {_EIF_VERSION} for x86_64",
            actual=f"version {version} for {architecture}",
            remedy="build the image anew with `strongroom eif build`, or run it on real hardware",
        )
    needed = _KERNEL_MIB + -(-image.unpacked >> 20)
    if memory_mib < needed:
        raise BadInput(
            f"{memory_mib} MiB of memory are too few to unpack {image.path}",
            expected=f"at least {needed} MiB, and what the enclave itself needs",
            actual=memory_mib,
            remedy=f"give it more, for instance --memory {needed + 256}",
        )


def _check_kvm(device: Path) -> None:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise AcceleratorUnusable(
            f"KVM cannot be used: {device}: {error.strerror or error}",
            remedy="leave --kvm out (slower, and works everywhere), or give this user access to"
            f" {device}",
        ) from error
