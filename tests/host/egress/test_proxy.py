"""The proxy over real sockets: every status, both half-closes, back-pressure, and TLS unread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.egress import EgressLimits, EgressProxy, InvalidTarget, ListenFailed
from strongroom_host.egress import proxy as proxy_module
from strongroom_host.egress.__main__ import main
from strongroom_host.errors import BadInput
from strongroom_host.testnet import TestnetServer, default_config

VENUE = "venue.test:443"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, and after the end of input a last word."""
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.write(b"bye")
    writer.close()


@contextlib.asynccontextmanager
async def running(
    tmp_path: Path, handler: Handler = echo, **how: Any
) -> AsyncIterator[EgressProxy]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    place = server.sockets[0].getsockname()
    options: dict[str, Any] = {
        "unix_path": tmp_path / "egress.sock",
        "mapping": {VENUE: place},
        "limits": EgressLimits(head_s=5, connect_s=5, idle_s=30),
    }
    async with server, EgressProxy((), **(options | how)) as proxy:
        yield proxy


async def dial(tmp_path: Path) -> Streams:
    return await asyncio.open_unix_connection(str(tmp_path / "egress.sock"))


async def ask(tmp_path: Path, request: bytes) -> tuple[int, bytes, Streams]:
    """Send a request head; returns status, reason line and the open connection."""
    reader, writer = await dial(tmp_path)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head, (reader, writer)


def connect(target: str = VENUE) -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()


async def close(streams: Streams) -> None:
    streams[1].close()
    with contextlib.suppress(OSError):
        await streams[1].wait_closed()


async def status_of(tmp_path: Path, request: bytes) -> int:
    status, _, streams = await ask(tmp_path, request)
    await close(streams)
    return status


async def counted(proxy: EgressProxy, reason: str, count: int = 1) -> None:
    """Wait until the proxy has counted `reason`; the test's own time limit bounds the wait."""
    while proxy.counts[reason] < count:
        await asyncio.sleep(0.001)


def test_bytes_go_both_ways_and_ends_of_stream_pass_through(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as proxy:
            status, _, (reader, writer) = await ask(tmp_path, connect())
            assert status == 200
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.write_eof()  # half-close: the venue sees it and still answers
            assert await reader.read() == b"bye"
            await close((reader, writer))
            await counted(proxy, "closed")
            assert proxy.counts == {"opened": 1, "closed": 1, "bytes_up": 5, "bytes_down": 8}

    asyncio.run(scenario())


def test_the_venue_may_close_its_half_first(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"greeting")
        writer.write_eof()
        received.append(await reader.read())
        writer.close()

    async def scenario() -> None:
        async with running(tmp_path, speak_first) as proxy:
            _, _, (reader, writer) = await ask(tmp_path, connect())
            assert await reader.read() == b"greeting"
            writer.write(b"still heard")
            writer.write_eof()
            await counted(proxy, "closed")
            await close((reader, writer))

    asyncio.run(scenario())
    assert received == [b"still heard"]


def test_bytes_sent_along_with_the_request_are_not_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path):
            _, _, streams = await ask(tmp_path, connect() + b"early")
            assert await streams[0].readexactly(5) == b"early"
            await close(streams)

    asyncio.run(scenario())


REFUSALS = [
    (connect("evil.test:443"), 403, "forbidden"),
    (connect("venue.test:444"), 403, "forbidden"),
    (connect("127.0.0.1:22"), 403, "forbidden"),
    (connect("sub.venue.test:443"), 403, "forbidden"),
    (connect("venue.test"), 400, "malformed"),
    (b"GET http://venue.test/ HTTP/1.1\r\nHost: venue.test\r\n\r\n", 405, "method"),
    (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "malformed"),
    (b"CONNECT venue.test:443 HTTP/1.1\r\nX: " + b"y" * 8192 + b"\r\n\r\n", 431, "oversized"),
    (b"x" * 20_000, 431, "oversized"),
]


@pytest.mark.parametrize(("request_bytes", "status", "reason"), REFUSALS)
def test_refusals(tmp_path: Path, request_bytes: bytes, status: int, reason: str) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as proxy:
            got, _, (reader, writer) = await ask(tmp_path, request_bytes)
            assert got == status
            assert await reader.read() == f"egress: {reason}\n".encode()
            assert proxy.counts == {reason: 1}
            await close((reader, writer))
            # The same proxy still serves what is allowed.
            assert await status_of(tmp_path, connect()) == 200

    asyncio.run(scenario())


def test_a_head_that_stops_half_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, limits=EgressLimits(head_s=0.05)) as proxy:
            got, _, streams = await ask(tmp_path, connect()[:20])
            assert (got, proxy.counts["slow"]) == (408, 1)
            await close(streams)
            reader, writer = await dial(tmp_path)
            writer.write(connect()[:20])
            writer.write_eof()
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400")
            await close((reader, writer))

    asyncio.run(scenario())


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_venue_that_refuses_connections(tmp_path: Path) -> None:
    async def scenario() -> None:
        mapping = {VENUE: ("127.0.0.1", unused_port())}
        async with running(tmp_path, mapping=mapping) as proxy:
            got, _, streams = await ask(tmp_path, connect())
            assert (got, proxy.counts["unreachable"]) == (502, 1)
            await close(streams)

    asyncio.run(scenario())


def test_a_name_that_leads_into_the_private_network(tmp_path: Path) -> None:
    """localhost resolves, and somebody listens there; only a mapping may lead to it."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as inside:
            target = f"localhost:{inside.getsockname()[1]}"
            async with EgressProxy([target], unix_path=tmp_path / "egress.sock") as proxy:
                got, _, streams = await ask(tmp_path, connect(target))
                assert (got, proxy.counts["private"]) == (403, 1)
                await close(streams)

    asyncio.run(scenario())


def test_a_name_that_does_not_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with EgressProxy([VENUE], unix_path=tmp_path / "egress.sock") as proxy:
            loop = asyncio.get_running_loop()

            async def nowhere(*_: object, **__: object) -> list[Any]:
                raise socket.gaierror(socket.EAI_NONAME, "unknown")

            monkeypatch.setattr(loop, "getaddrinfo", nowhere)
            got, _, streams = await ask(tmp_path, connect())
            assert (got, proxy.counts["unresolved"]) == (502, 1)
            await close(streams)

    asyncio.run(scenario())


def test_connecting_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(host: str, port: int) -> Streams:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    monkeypatch.setattr(proxy_module, "_open", never)

    async def scenario() -> None:
        async with running(tmp_path, limits=EgressLimits(connect_s=0.05)) as proxy:
            got, _, streams = await ask(tmp_path, connect())
            assert (got, proxy.counts["timeout"]) == (504, 1)
            await close(streams)

    asyncio.run(scenario())


def test_the_next_address_is_tried_and_only_public_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def fails(host: str, port: int) -> Streams:
        tried.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr(proxy_module, "_open", fails)

    async def scenario() -> None:
        async with EgressProxy([VENUE], unix_path=tmp_path / "egress.sock"):

            async def answers(*_: object, **__: object) -> list[Any]:
                addresses = ("10.0.0.1", "1.1.1.1", "2606:4700::1111", "169.254.169.254")
                return [(0, 0, 0, "", (address, 443)) for address in addresses]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
            got, _, streams = await ask(tmp_path, connect())
            assert got == 502
            await close(streams)

    asyncio.run(scenario())
    assert tried == ["1.1.1.1", "2606:4700::1111"]


def test_silence_ends_a_tunnel_and_traffic_keeps_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        loop.time = lambda: now  # type: ignore[method-assign]
        limits = EgressLimits(idle_s=60, mapped_idle_s=60)
        async with running(tmp_path, limits=limits) as proxy:
            _, _, (reader, writer) = await ask(tmp_path, connect())
            for _ in range(8):
                now += 59
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            assert proxy.counts["idle"] == 0
            now += 61
            assert await reader.read() == b""
            await counted(proxy, "idle")
            await close((reader, writer))

    asyncio.run(scenario())


def test_there_are_only_so_many_tunnels(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, limits=EgressLimits(tunnels=2)) as proxy:
            open_ones = [(await ask(tmp_path, connect()))[2] for _ in range(2)]
            got, _, refused = await ask(tmp_path, connect())
            assert (got, proxy.counts["busy"]) == (503, 1)
            await close(refused)
            reader, writer = open_ones.pop()
            writer.write_eof()
            assert await reader.read() == b"bye"
            await close((reader, writer))
            await counted(proxy, "closed")
            status = 503
            while status == 503:  # the slot is free once the connection is wound up
                status, _, streams = await ask(tmp_path, connect())
                await close(streams)
            assert status == 200
            await close(open_ones.pop())

    asyncio.run(scenario())


def test_a_reader_that_does_not_read_stops_the_sender(tmp_path: Path) -> None:
    """50 MB towards a client that reads nothing: the venue gets stuck, memory does not grow."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            for _ in range(800):
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536
        writer.close()

    async def scenario() -> None:
        async with running(tmp_path, flood):
            _, _, (reader, writer) = await ask(tmp_path, connect())
            before = -1
            while sent != before:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.1)
            assert sent < 30_000_000
            total = 0
            while chunk := await reader.read(1 << 20):
                total += len(chunk)
            assert total == 800 * 65536
            await close((reader, writer))

    asyncio.run(scenario())


def test_a_broken_side_breaks_the_other(tmp_path: Path) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()  # with no time to linger: a reset instead of an end of stream

    async def scenario() -> None:
        async with running(tmp_path, slam) as proxy:
            _, _, (reader, writer) = await ask(tmp_path, connect())
            writer.write(b"x")
            with contextlib.suppress(OSError):
                await reader.read()
            await counted(proxy, "reset")
            await close((reader, writer))

    asyncio.run(scenario())


def test_stopping_cuts_tunnels_and_removes_the_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as proxy:
            _, _, (reader, writer) = await ask(tmp_path, connect())
            await proxy.stop()
            assert not (tmp_path / "egress.sock").exists()
            with contextlib.suppress(OSError):
                assert await reader.read() == b""
            await close((reader, writer))

    asyncio.run(scenario())


def test_the_socket_is_private_and_stale_ones_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "egress.sock"

    async def scenario() -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        async with running(tmp_path, unix_mode=0o600):
            assert path.stat().st_mode & 0o777 == 0o600
            with pytest.raises(ListenFailed):  # in use
                await EgressProxy((), unix_path=path).start()
            assert await status_of(tmp_path, connect()) == 200
        path.write_text("precious")
        with pytest.raises(ListenFailed):
            await EgressProxy((), unix_path=path).start()
        assert path.read_text() == "precious"

    asyncio.run(scenario())


def test_it_listens_on_tcp_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, tcp=("127.0.0.1", 0)) as proxy:
            reader, writer = await asyncio.open_connection(*proxy.tcp_address)
            writer.write(connect())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await close((reader, writer))
        with pytest.raises(BadInput):
            _ = proxy.tcp_address

    asyncio.run(scenario())


@pytest.mark.parametrize("allow", [["venue.test"], ["venue.test:0"], ["http://venue.test:443"]])
def test_a_wrong_allow_list_is_refused_at_once(tmp_path: Path, allow: list[str]) -> None:
    with pytest.raises(InvalidTarget):
        EgressProxy(allow, unix_path=tmp_path / "egress.sock")
    with pytest.raises(BadInput):
        EgressProxy([VENUE])


def tls_through(sock: socket.socket, context: ssl.SSLContext, name: str) -> bytes:
    with context.wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(f"GET /ok HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := tls.recv(65536):
            answer += chunk
    return answer


def test_tls_ends_beyond_the_proxy(tmp_path: Path) -> None:
    """As an enclave does it: CONNECT over the Unix socket, then TLS verified for the real name."""
    with TestnetServer(default_config(80002), tmp_path / "t", names=("clob.testnet",)) as venue:
        path = tmp_path / "egress.sock"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "strongroom_host.egress", "--unix", str(path)),
                *("--map", f"clob.testnet:443=127.0.0.1:{venue.port}"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"] is True
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(connect("clob.testnet:443"))
            assert sock.recv(4096) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            answer = tls_through(sock, venue.client_context(), "clob.testnet")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b'"OK"')
        process.send_signal(signal.SIGTERM)
        counts = json.loads(process.stdout.readline())["counts"]
        assert (process.wait(timeout=30), counts["opened"]) == (0, 1)
        process.stdout.close()


def test_the_command_explains_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--unix", str(tmp_path / "e.sock"), "--allow", "nonsense"]) == 2
    assert "a destination is host:port: nonsense" in capsys.readouterr().err
    assert main(["--unix", str(tmp_path / "no" / "e.sock"), "--allow", VENUE]) == 5
    assert "cannot listen" in capsys.readouterr().err


async def _echoed(tmp_path: Path) -> bytes:
    server = await asyncio.start_unix_server(echo, str(tmp_path / "place.sock"))
    mapping = {"store.test:1": tmp_path / "place.sock"}
    async with server, running(tmp_path, mapping=mapping):
        status, _, (reader, writer) = await ask(tmp_path, b"CONNECT store.test:1 HTTP/1.1\r\n\r\n")
        assert status == 200
        writer.write(b"hello")
        writer.write_eof()
        found = await reader.read()
        writer.close()
        return found


def test_a_name_may_lead_to_a_socket_of_this_machine(tmp_path: Path) -> None:
    assert asyncio.run(_echoed(tmp_path)) == b"hellobye"
