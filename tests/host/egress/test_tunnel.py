"""Joined streams end as `End` says, on each event loop that the host may run on."""

import asyncio
import importlib
import socket
from collections.abc import Callable, Iterator

import pytest
from strongroom_host.egress.tunnel import End, Flow, join

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Runs coroutines on one kind of event loop."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if request.param == "uvloop":
        try:
            factory = importlib.import_module("uvloop").new_event_loop
        except ModuleNotFoundError:
            pytest.skip("uvloop is not installed")
    with asyncio.Runner(loop_factory=factory) as running:
        yield running


async def streams() -> tuple[socket.socket, Streams]:
    """Returns a socket, and the streams of its other end."""
    near, far = socket.socketpair()
    return near, await asyncio.open_unix_connection(sock=far)


@pytest.mark.parametrize(
    ("late", "end"), [(b"", End.CLOSED), (b"one record after the client left", End.RESET)]
)
def test_a_client_that_left_ends_the_tunnel(runner: asyncio.Runner, late: bytes, end: End) -> None:
    """What arrives after the client closed is lost; that is an end, not a defect."""

    async def scenario() -> End:
        client, inner = await streams()
        remote, outer = await streams()
        flow = Flow()
        tunnel = asyncio.create_task(join(inner, outer, flow, idle_s=30))
        client.close()
        while await asyncio.to_thread(remote.recv, 1):
            pass
        remote.sendall(late)
        while late and not flow.down and not tunnel.done():
            await asyncio.sleep(0)
        remote.close()
        result = await tunnel
        for _, writer in (inner, outer):
            writer.close()
        return result

    assert runner.run(scenario()) is end
