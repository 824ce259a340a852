"""Joins the sockets of a run directory to an enclave's vsock ports, by the kernel's own vsock.

For platforms where a hypervisor carries vsock, so that the machine is reached by its number (CID).
Clients then find what they find on every platform: Unix sockets in a folder. Nothing here protects
the bytes, and vsock has no permissions: any process of the host may connect to the enclave, and any
machine of the host to our port, so whoever connects to us is compared with the one CID we serve.

vsock tells less about an end than TCP: a connection that was cut may look like one that ended. What
travels on it (TLS, sealed frames) knows its own end.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from strongroom_host.runners.joiner import BUFFER, Joiner, JointLimits, Streams

__all__ = ["KernelVsock", "Vsock", "VsockSockets"]

_BACKLOG: Final = 64


class Vsock(Protocol):
    """A family of sockets in which machines have numbers."""

    def listen(self, port: int) -> socket.socket:
        """Returns a socket on which the machines of this host reach it at `port`.

        Raises:
            OSError: the port is taken, or there is no vsock here.
        """
        ...

    def cid(self, peer: object) -> int | None:
        """Returns the number of the machine behind a peer's address; None if it has none."""
        ...

    async def connect(self, cid: int, port: int) -> socket.socket:
        """Returns a connection to a machine's port.

        Raises:
            OSError: nobody listens there.
        """
        ...


class KernelVsock:
    """AF_VSOCK of Linux."""

    def listen(self, port: int) -> socket.socket:
        """See `Vsock`."""
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        try:
            sock.bind((socket.VMADDR_CID_ANY, port))
            sock.listen(_BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    def cid(self, peer: object) -> int | None:
        """See `Vsock`; the kernel vouches for it."""
        match peer:
            case (int(cid), int()):
                return cid
        return None

    async def connect(self, cid: int, port: int) -> socket.socket:
        """See `Vsock`."""
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (cid, port))
        except BaseException:
            sock.close()
            raise
        return sock


class VsockSockets:
    """The joints of one enclave, both ways.

    Attributes:
        counts: See `Joiner`; guest's and host's connections together.
    """

    def __init__(self, family: Vsock, limits: JointLimits | None = None) -> None:
        self._family, self._joiner, self._cid = family, Joiner(limits), -1
        self.counts: Counter[str] = self._joiner.counts

    async def accept(self, port: int, path: Path) -> None:
        """Leads the enclave's connections to the host's `port` to the Unix socket at `path`.

        Until `open` names the enclave, whoever connects is turned away.

        Raises:
            OSError: the port is taken, or there is no vsock here.
        """

        async def dial() -> Streams:
            return await asyncio.open_unix_connection(str(path), limit=BUFFER)

        def admit(peer: object) -> bool:
            return self._family.cid(peer) == self._cid

        await self._joiner.lead(self._family.listen(port), dial, admit)

    async def open(self, cid: int, listeners: Mapping[int, Path]) -> None:
        """Makes a Unix socket for each port of the machine `cid`, leading there.

        Raises:
            OSError: a path is taken, or cannot be written.
        """
        self._cid = cid
        for port, path in listeners.items():

            async def dial(port: int = port) -> Streams:
                sock = await self._family.connect(cid, port)
                try:
                    return await asyncio.open_connection(sock=sock, limit=BUFFER)
                except BaseException:
                    sock.close()
                    raise

            await self._joiner.lead(_bind_unix(path), dial)

    async def stop(self) -> None:
        """Closes everything and cuts every connection."""
        await self._joiner.stop()


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
