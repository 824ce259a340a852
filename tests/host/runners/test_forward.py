"""The byte forwarder: whole, in order, both ways, bounded, and honest about who is not there."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.errors import BadInput
from strongroom_host.runners.errors import ListenFailed
from strongroom_host.runners.forward import PortForwarder, parse_listen
from strongroom_host.runners.joiner import JointLimits

ResultT = TypeVar("ResultT")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NAMES = ("bootstrap", "control", "frames")


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the whole request after its end, so that half-close has to work."""
    data = await reader.read()
    writer.write(data.upper())
    writer.close()


@asynccontextmanager
async def forwarding(
    folder: Path,
    serve: Serve = shout,
    names: tuple[str, ...] = NAMES,
    limits: JointLimits | None = None,
) -> AsyncIterator[PortForwarder]:
    async with AsyncExitStack() as stack:
        for name in names:
            server = await asyncio.start_unix_server(serve, str(folder / f"{name}.sock"))
            await stack.enter_async_context(server)
        address = EnclaveAddress.at_run_directory(folder)
        yield await stack.enter_async_context(PortForwarder("127.0.0.1", 0, address, limits))


def run(work: Awaitable[ResultT]) -> ResultT:
    async def bounded() -> ResultT:
        async with asyncio.timeout(30):
            return await work

    return asyncio.run(bounded())


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def test_each_port_leads_to_its_own_listener(short: Path) -> None:
    async def name_yourself(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("sockname").encode())
        writer.close()

    async def scene() -> None:
        async with forwarding(short, name_yourself) as forwarder:
            for offset, name in enumerate(NAMES):
                answer = await ask(forwarder.port + offset, b"")
                assert answer == str(short / f"{name}.sock").encode()
            assert forwarder.counts["opened"] == 3

    run(scene())


def test_half_closed_connections_get_their_answer(short: Path) -> None:
    async def scene() -> None:
        async with forwarding(short) as forwarder:
            assert await ask(forwarder.port, b"hello") == b"HELLO"
        assert (forwarder.counts["bytes_up"], forwarder.counts["bytes_down"]) == (5, 5)
        assert forwarder.counts["closed"] == 1

    run(scene())


def test_much_arrives_whole_through_a_slow_reader(short: Path) -> None:
    sent = bytes(range(256)) * (8 << 12)

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest = hashlib.sha256()
        while chunk := await reader.read(1 << 20):
            digest.update(chunk)
            await asyncio.sleep(0.001)
        writer.write(digest.digest())
        writer.close()

    async def scene() -> None:
        async with forwarding(short, slowly) as forwarder:
            assert await ask(forwarder.port, sent) == hashlib.sha256(sent).digest()

    run(scene())


def test_a_reader_that_does_not_read_stops_the_writer(short: Path) -> None:
    stuck = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stuck.wait()
        writer.close()

    async def scene() -> None:
        async with forwarding(short, never) as forwarder:
            _, writer = await asyncio.open_connection("127.0.0.1", forwarder.port)
            writer.transport.set_write_buffer_limits(high=0)
            written = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while written < 1 << 28:
                        writer.write(bytes(1 << 16))
                        await writer.drain()
                        written += 1 << 16
            # Kernel buffers and the streams' own limits, and no more than that.
            assert written < 1 << 26
            stuck.set()
            writer.transport.abort()

    run(scene())


def test_nobody_behind_a_port_is_a_reset_and_not_an_empty_answer(short: Path) -> None:
    async def scene() -> None:
        async with forwarding(short, names=("bootstrap",)) as forwarder:
            # Nothing is sent: unread bytes would make the kernel reset the connection anyway.
            reader, writer = await asyncio.open_connection("127.0.0.1", forwarder.port + 1)
            with pytest.raises(ConnectionResetError):
                assert await reader.read() == b"", "an orderly end"
            writer.close()
            assert forwarder.counts["refused"] == 1
            assert await ask(forwarder.port, b"still") == b"STILL"

    run(scene())


def test_connections_are_bounded(short: Path) -> None:
    async def scene() -> None:
        limits = JointLimits(connections=1)
        async with forwarding(short, limits=limits) as forwarder:
            first = await asyncio.open_connection("127.0.0.1", forwarder.port)
            while not forwarder.counts["opened"]:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", forwarder.port)
            with pytest.raises(ConnectionResetError):
                assert await reader.read() == b"", "served beyond the limit"
            writer.close()
            assert forwarder.counts["busy"] == 1
            first[1].write_eof()
            assert await first[0].read() == b""
            first[1].close()

    run(scene())


def test_what_is_silent_for_too_long_is_cut(short: Path) -> None:
    async def scene() -> None:
        async with forwarding(short, limits=JointLimits(idle_s=0.1)) as forwarder:
            reader, writer = await asyncio.open_connection("127.0.0.1", forwarder.port)
            with pytest.raises(ConnectionResetError):
                assert await reader.read() == b"", "an orderly end"
            writer.close()
            assert forwarder.counts["idle"] == 1

    run(scene())


def test_stopping_cuts_what_is_open_and_frees_the_ports(short: Path) -> None:
    async def scene() -> None:
        async with forwarding(short) as forwarder:
            reader, _ = await asyncio.open_connection("127.0.0.1", forwarder.port)
            while not forwarder.counts["opened"]:
                await asyncio.sleep(0.01)
            await forwarder.stop()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            address = EnclaveAddress.at_run_directory(short)
            async with PortForwarder("127.0.0.1", forwarder.port, address):
                assert await ask(forwarder.port, b"again") == b"AGAIN"

    run(scene())


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_busy_port_is_named_and_the_others_are_let_go(short: Path, taken: int) -> None:
    address = EnclaveAddress.at_run_directory(short)

    async def scene() -> None:
        async with forwarding(short) as forwarder:
            base = forwarder.port
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", base + taken))
            holder.listen(1)
            named = rf":{base + taken} \({NAMES[taken]}\)"
            with pytest.raises(ListenFailed, match=named) as failed:
                await PortForwarder("127.0.0.1", base, address).start()
            for offset in {0, 1, 2} - {taken}:
                socket.create_server(("127.0.0.1", base + offset)).close()
            del failed  # till here its frames kept open what only the collector would close
        free = PortForwarder("127.0.0.1", base, address)
        await free.start()
        await free.stop()

    run(scene())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:7700", ("127.0.0.1", 7700)),
        ("[::1]:0", ("::1", 0)),
        ("0.0.0.0:65533", ("0.0.0.0", 65533)),  # noqa: S104
    ],
)
def test_addresses_to_listen_on(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":", "7700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "a:65534", "a:-1", "a:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="not an address to listen on"):
        parse_listen(text)


def test_an_address_that_is_not_ours_is_refused(short: Path) -> None:
    forwarder = PortForwarder("192.0.2.1", 7700, EnclaveAddress.at_run_directory(short))
    with pytest.raises(ListenFailed, match=r"192\.0\.2\.1"):
        run(forwarder.start())
