"""Run-directory sockets joined to vsock ports: whole, both ways, and for one machine only."""

import asyncio
import errno
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from strongroom_host.runners.joiner import JointLimits
from strongroom_host.runners.vsock_sockets import KernelVsock, VsockSockets

from tests.fakes.vsock_over_unix import VsockOverUnix

CID, OTHER, PORT, EGRESS = 16, 17, 5003, 5002
LOCAL = 1  # VMADDR_CID_LOCAL, which the socket module does not name


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the whole request after its end, so that half-close has to work."""
    data = await reader.read()
    writer.write(hashlib.sha256(data).digest())
    writer.close()


@asynccontextmanager
async def joined(
    folder: Path, limits: JointLimits | None = None, *, opened: bool = True
) -> AsyncIterator[VsockSockets]:
    (folder / "vsock").mkdir()
    family = VsockOverUnix(folder / "vsock")
    guest = await asyncio.start_server(shout, sock=family.guest_listen(CID, PORT))
    proxy = await asyncio.start_unix_server(shout, str(folder / "egress.sock"))
    sockets = VsockSockets(family, limits)
    await sockets.accept(EGRESS, folder / "egress.sock")
    if opened:
        await sockets.open(CID, {PORT: folder / "bootstrap.sock", 5000: folder / "control.sock"})
    async with guest, proxy, asyncio.timeout(30):
        yield sockets
        await sockets.stop()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    await writer.drain()
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def from_guest(folder: Path, cid: int, data: bytes) -> bytes:
    sock = VsockOverUnix(folder / "vsock").guest_connect(cid, EGRESS)
    return await ask(*await asyncio.open_connection(sock=sock), data)


def test_the_host_reaches_the_guest_and_the_guest_the_proxy(short: Path) -> None:
    sent = bytes(range(256)) * 8192

    async def scene() -> None:
        async with joined(short) as sockets:
            path = str(short / "bootstrap.sock")
            answer = await ask(*await asyncio.open_unix_connection(path), sent)
            assert answer == hashlib.sha256(sent).digest()
            assert await from_guest(short, CID, b"out") == hashlib.sha256(b"out").digest()
            assert sockets.counts["opened"] == 2
            assert sockets.counts["bytes_up"] == len(sent) + 3

    asyncio.run(scene())


def test_another_machine_of_the_host_is_turned_away(short: Path) -> None:
    async def scene() -> None:
        async with joined(short) as sockets:
            assert await refused(from_guest(short, OTHER, b"out"))
            assert sockets.counts["stranger"] == 1
            assert await from_guest(short, CID, b"out")
            assert sockets.counts["opened"] == 1

    asyncio.run(scene())


def test_nobody_is_let_in_before_the_machine_is_known(short: Path) -> None:
    async def scene() -> None:
        async with joined(short, opened=False) as sockets:
            assert await refused(from_guest(short, CID, b"out"))
            assert sockets.counts["stranger"] == 1

    asyncio.run(scene())


def test_a_peer_without_a_number_is_nobody(short: Path) -> None:
    async def scene() -> None:
        async with joined(short, opened=False) as sockets:
            path = str(short / "vsock" / f"host_{EGRESS}")
            assert await refused(ask(*await asyncio.open_unix_connection(path), b"out"))
            assert sockets.counts["stranger"] == 1

    asyncio.run(scene())


def test_a_port_where_nobody_listens_yet_breaks_the_connection(short: Path) -> None:
    async def scene() -> None:
        async with joined(short) as sockets:
            path = str(short / "control.sock")
            assert await refused(ask(*await asyncio.open_unix_connection(path), b"x"))
            assert sockets.counts["refused"] == 1

    asyncio.run(scene())


def test_connections_are_bounded(short: Path) -> None:
    async def scene() -> None:
        async with joined(short, JointLimits(connections=1)) as sockets:
            path = str(short / "bootstrap.sock")
            _, first = await asyncio.open_unix_connection(path)
            first.write(b"x")
            while not sockets.counts["opened"]:
                await asyncio.sleep(0.01)
            assert await refused(from_guest(short, CID, b"out"))
            assert sockets.counts["busy"] == 1
            first.close()

    asyncio.run(scene())


def test_a_taken_port_is_an_error_at_once(short: Path) -> None:
    async def scene() -> None:
        async with joined(short):
            again = VsockSockets(VsockOverUnix(short / "vsock"))
            with pytest.raises(OSError, match="in use") as taken:
                await again.accept(EGRESS, short / "egress.sock")
            assert taken.value.errno == errno.EADDRINUSE

    asyncio.run(scene())


async def refused(work: Awaitable[bytes]) -> bool:
    """Whether the other side broke the connection; over Unix sockets that may look like an end."""
    try:
        return await work == b""
    except OSError:
        return True


def test_the_kernel_says_who_a_peer_is() -> None:
    assert KernelVsock().cid((16, 1234)) == 16
    assert KernelVsock().cid("/a/path") is None
    assert KernelVsock().cid(("16", 1)) is None
    assert KernelVsock().cid(None) is None


def test_real_vsock_where_this_kernel_has_a_loopback(short: Path) -> None:
    """Over AF_VSOCK itself, host and guest both being this machine (CID 1)."""

    async def scene() -> None:
        family, port = KernelVsock(), _loopback_port()
        listener = family.listen(port)
        guest = await asyncio.start_server(shout, sock=listener)
        sockets = VsockSockets(family)
        await sockets.open(LOCAL, {port: short / "bootstrap.sock"})
        async with guest, asyncio.timeout(30):
            path = str(short / "bootstrap.sock")
            answer = await ask(*await asyncio.open_unix_connection(path), b"hello")
            assert answer == hashlib.sha256(b"hello").digest()
            await sockets.stop()

    asyncio.run(scene())


def _loopback_port() -> int:
    """A port that this machine reaches on itself; skips where the kernel has no loopback."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
            listener.bind((LOCAL, socket.VMADDR_PORT_ANY))
            listener.listen(1)
            port: int = listener.getsockname()[1]
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
                probe.settimeout(2)
                probe.connect((LOCAL, port))
            return port
    except (OSError, AttributeError) as error:
        pytest.skip(f"no vsock loopback in this kernel (modprobe vsock_loopback): {error}")
