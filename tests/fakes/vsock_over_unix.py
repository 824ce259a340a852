"""A family of sockets in which machines have numbers, made of Unix sockets in one folder.

Stands in for AF_VSOCK where the kernel has no loopback for it. `CID_PORT` is a guest's listener,
`host_PORT` the host's; a guest that connects to the host binds `guest-CID-N` first, so that its
number comes with the connection, as the kernel's would.

As a program: nitro_keeper with this family, in the folder that the first argument names.
"""

import asyncio
import re
import secrets
import socket
import sys
from pathlib import Path

from strongroom_host.runners import nitro_keeper

__all__ = ["VsockOverUnix"]

_GUEST = re.compile(r"guest-(\d+)-")


class VsockOverUnix:
    """See `strongroom_host.runners.vsock_sockets.Vsock`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listen(self, port: int) -> socket.socket:
        return self._listening(f"host_{port}")

    def cid(self, peer: object) -> int | None:
        found = _GUEST.match(Path(str(peer)).name)
        return int(found[1]) if found else None

    async def connect(self, cid: int, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, str(self.folder / f"{cid}_{port}"))
        except BaseException:
            sock.close()
            raise
        return sock

    def guest_listen(self, cid: int, port: int) -> socket.socket:
        """A guest's listener."""
        return self._listening(f"{cid}_{port}")

    def guest_connect(self, cid: int, port: int) -> socket.socket:
        """A guest's connection to the host."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(str(self.folder / f"guest-{cid}-{secrets.token_hex(4)}"))
            sock.connect(str(self.folder / f"host_{port}"))
        except BaseException:
            sock.close()
            raise
        return sock

    def _listening(self, name: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                sock.bind(str(self.folder / name))
            except OSError:
                # A socket's file outlives its listener, which a port of the kernel's does not.
                self._remove_dead(name)
                sock.bind(str(self.folder / name))
            sock.listen(64)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    def _remove_dead(self, name: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.folder / name))
            except ConnectionRefusedError:
                (self.folder / name).unlink()


if __name__ == "__main__":
    sys.exit(nitro_keeper.main(sys.argv[2:], VsockOverUnix(Path(sys.argv[1]))))
