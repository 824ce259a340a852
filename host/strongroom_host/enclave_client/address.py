"""Where an enclave is: the local platform's run directory, or the host daemon's forwarded ports.

An address of an enclave names three listeners. `unix:/run/dir` (or the directory itself) means the
sockets in it; `HOST:PORT` means the ports PORT (bootstrap), PORT+1 (control) and PORT+2 (frames)
that `strongroom host run` forwards.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from strongroom_host.enclave_client.errors import Unreachable
from strongroom_host.errors import BadInput

__all__ = ["Address", "EnclaveAddress", "TcpAddress", "UnixAddress", "parse_enclave_address"]

_MAX_SOCKET_PATH = 103
"""Bytes of a Unix socket's path that every system takes (macOS has 104 with the final NUL)."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix stream socket."""

    path: Path

    @property
    def target(self) -> str:
        """The name gRPC knows it by."""
        return f"unix:{self.path}"

    def connect(self, timeout: float) -> socket.socket:
        """Returns a connected stream socket with `timeout` seconds set.

        Raises:
            Unreachable: nothing listens there.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        return _connected(sock, str(self.path), timeout, str(self))

    def __str__(self) -> str:
        return self.target


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP port, on which the host daemon forwards bytes to the enclave."""

    host: str
    port: int

    @property
    def target(self) -> str:
        """The name gRPC knows it by."""
        return f"dns:{self}"

    def connect(self, timeout: float) -> socket.socket:
        """Returns a connected stream socket with `timeout` seconds set.

        Raises:
            Unreachable: nothing listens there.
        """
        try:
            sock = socket.create_connection((self.host, self.port), timeout)
        except OSError as error:
            raise _unreachable(str(self), error) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


@dataclass(frozen=True, slots=True)
class EnclaveAddress:
    """The three listeners of one enclave."""

    bootstrap: Address
    control: Address
    frames: Address

    @classmethod
    def at_run_directory(cls, run: Path) -> "EnclaveAddress":
        """Returns the sockets of the local platform in `run`.

        Raises:
            BadInput: the path is too long for a Unix socket.
        """
        paths = [run / f"{name}.sock" for name in ("bootstrap", "control", "frames")]
        longest = max(len(bytes(path)) for path in paths)
        if longest > _MAX_SOCKET_PATH:
            raise BadInput(
                f"the run directory's path is too long for Unix sockets: {run}",
                expected=f"socket paths of at most {_MAX_SOCKET_PATH} bytes",
                actual=longest,
                remedy="choose a shorter directory, for instance under /tmp or /run",
            )
        bootstrap, control, frames = (UnixAddress(path) for path in paths)
        return cls(bootstrap, control, frames)

    @classmethod
    def at_ports(cls, host: str, port: int) -> "EnclaveAddress":
        """Returns the listeners that the host daemon forwards from `port` on."""
        return cls(*(TcpAddress(host, port + offset) for offset in range(3)))


def parse_enclave_address(text: str) -> EnclaveAddress:
    """Returns the address written as `unix:/run/dir`, `/run/dir` or `HOST:PORT`.

    Raises:
        BadInput: none of these.
    """
    if text.startswith(("unix:", "/", "./", "../", "~")):
        return EnclaveAddress.at_run_directory(
            Path(text.removeprefix("unix:")).expanduser().absolute()
        )
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not _base(int(port)):
        raise BadInput(
            f"{text!r} is not the address of an enclave",
            expected="unix:DIR, a directory that begins with / or ./, or HOST:PORT (1..65533)",
            remedy="use what `host run` or `enclave boot` printed as its address",
        )
    return EnclaveAddress.at_ports(host, int(port))


def _base(port: int) -> bool:
    return 1 <= port <= 65533


def _connected(sock: socket.socket, where: str, timeout: float, name: str) -> socket.socket:
    sock.settimeout(timeout)
    try:
        sock.connect(where)
    except OSError as error:
        sock.close()
        raise _unreachable(name, error) from error
    return sock


def _unreachable(name: str, error: OSError) -> Unreachable:
    return Unreachable(
        f"nothing answers at {name}: {error.strerror or error}",
        remedy="start the enclave with `strongroom host run` (or `enclave boot`), and check the"
        " address",
    )
