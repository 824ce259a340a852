"""QEMU's Nitro machine as the tests start it: for its own opinion of an image, not to run one.

Nothing here goes through the project's runner, so what a boot shows rests on QEMU, the kernel and
the vsock backend alone.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

__all__ = ["ANSWER_PORT", "ECHO_PORT", "MODULE_ID", "Machine", "Outcome", "Verdict"]

BACKEND = (sys.executable, "-P", "-m", "strongroom_host.vsock")
ANSWER_PORT = 5005
"""Where the probe (guest/probe.c) hands over what the security module said."""
ECHO_PORT = 5006
"""Where it sends back what it gets, if there is a file /echo in its image."""
MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
_CID = 16
_MEMORY = "128M"
_TAKEN = "vhost_backend_init failed"
"""What QEMU stumbles over next if it has read the image and there is no vsock backend."""
_LIMIT = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a boot ended: QEMU's exit status, what stood on the console, what the guest sent."""

    status: int
    console: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether QEMU takes an image, and what it says if not."""

    taken: bool
    said: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What to execute up to `-M`: the emulator with its firmware."""

    command: Sequence[str]

    def judge(self, image: Path) -> Verdict:
        """Returns what QEMU's reader makes of an image, without booting it.

        The vsock device comes after the image, and has no backend here: whoever gets as far as
        that has taken the image.
        """
        ended = subprocess.run(
            self._words(image, "-chardev", "null,id=vsock"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        said = ended.stderr.strip().removeprefix("qemu-system-x86_64: ")
        assert ended.returncode == 1, (ended.returncode, said)
        assert said, "QEMU gave no reason"
        return Verdict(_TAKEN in said, said)

    def boot(
        self, image: Path, *properties: str, talk: Callable[[socket], None] | None = None
    ) -> Outcome:
        """Boots an image whose init is the probe, and returns when it has switched itself off.

        Args:
            image: The file.
            properties: Of QEMU's machine.
            talk: Gets a connection on which the guest echoes, if the image asks it to.
        """
        with tempfile.TemporaryDirectory(prefix="sr-") as name:
            folder = Path(name)
            with (
                _backend(folder),
                _listener(folder / "answer") as listener,
                _listener(folder / "echo") as echoes,
            ):
                console = folder / "console"
                vsock = f"socket,id=vsock,path={folder / 'device'}"
                words = self._words(image, "-chardev", vsock, properties=properties)
                with (
                    console.open("wb") as stream,
                    subprocess.Popen(
                        words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
                    ) as emulator,
                ):
                    try:
                        answer = _received(listener, emulator)
                        if talk is not None:
                            with echoes.accept()[0] as connection:
                                talk(connection)
                        status = emulator.wait(_LIMIT)
                    finally:
                        emulator.kill()
                return Outcome(status, console.read_text("latin-1"), answer)

    def _words(self, image: Path, *devices: str, properties: Sequence[str] = ()) -> list[str]:
        machine = ",".join(("nitro-enclave", "vsock=vsock", f"id={MODULE_ID}", *properties))
        return [
            *self.command, "-M", machine, "-accel", "tcg", "-cpu", "max", "-m", _MEMORY,
            "-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-serial", "stdio",
            "-kernel", str(image), *devices,
        ]  # fmt: skip


def _listener(path: Path) -> socket:
    listener = socket(AF_UNIX, SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(_LIMIT)
    return listener


def _received(listener: socket, emulator: "subprocess.Popen[bytes]") -> bytes:
    """Returns all that the guest sends on its one connection, or nothing if it ends before."""
    listener.settimeout(0.2)
    for _ in range(_LIMIT * 5):
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if emulator.poll() is not None:
                return b""
            continue
        connection.settimeout(_LIMIT)
        with connection, connection.makefile("rb") as stream:
            return stream.read()
    return b""


@contextmanager
def _backend(folder: Path) -> Iterator[None]:
    """Runs the vsock backend, which ends with the emulator."""
    words = [
        *BACKEND, "--device", str(folder / "device"), "--cid", str(_CID),
        "--connect", f"{ANSWER_PORT}={folder / 'answer'}",
        "--connect", f"{ECHO_PORT}={folder / 'echo'}", "--heartbeat", "9000",
    ]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as backend:
        assert backend.stdout is not None
        try:
            assert backend.stdout.readline() == "ready\n"
            yield
        finally:
            backend.terminate()
            backend.stdout.read()
