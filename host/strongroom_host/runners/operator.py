"""The operator's daemon: one enclave, the proxy it goes out through, the ports others come in by.

It ends with the enclave and never restarts it: a new boot has other keys, and whether those get a
permit is the owners' decision.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.egress import EgressProxy, Place
from strongroom_host.runners.forward import PortForwarder
from strongroom_host.runners.implementations import event_loop
from strongroom_host.runners.runner import Platform, Runner

__all__ = ["DEFAULT_VENUES", "HostPlan", "Serving", "Summary", "serve"]

DEFAULT_VENUES: Final = ("clob.polymarket.com:443",)
_WATCH_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What to run, on which platform, and what passes through.

    Attributes:
        platform: Where the enclave runs.
        listen: Address and first of three TCP ports.
        allow: Destinations the enclave may connect to.
        mapping: Leads destinations elsewhere, as in `EgressProxy`.
        until_stdin_ends: Also stop when stdin closes.
    """

    platform: Platform
    listen: tuple[str, int]
    allow: tuple[str, ...] = DEFAULT_VENUES
    mapping: Mapping[str, Place] | None = None
    until_stdin_ends: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """What runs now, and where it is reached."""

    plan: HostPlan
    address: str
    sockets: Path
    root_certificate: Path | None
    console: Path
    enclave_pid: int
    boot_s: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What passed through, for the closing line."""

    forwarded: Mapping[str, int]
    egress: Mapping[str, int]


def serve(plan: HostPlan, ready: Callable[[Serving], None]) -> Summary:
    """Runs until SIGTERM, SIGINT or SIGHUP, calling `ready` once when everything serves.

    Call it from the main thread: it handles signals, and the enclave lives as long as the thread
    that started it.

    Raises:
        RunDirectoryRefused, RunDirectoryInUse, ListenFailed: nothing was started.
        EnclaveDidNotStart, EnclaveEnded, EnclaveHalted: with the console's last words.
    """
    with asyncio.Runner(loop_factory=event_loop()) as loop:
        return loop.run(_serve(plan, ready))


async def _serve(plan: HostPlan, ready: Callable[[Serving], None]) -> Summary:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, done.set)
    if plan.until_stdin_ends:
        _call_at_end_of_stdin(lambda: loop.call_soon_threadsafe(done.set))
    runner = plan.platform.runner()
    started = loop.time()
    try:
        directory = runner.claim()
        # Ports first: a busy one should cost nobody a boot.
        forwarder = PortForwarder(*plan.listen, runner.address)
        proxy = EgressProxy(plan.allow, unix_path=directory.egress, mapping=plan.mapping)
        async with forwarder, proxy:
            # Here, not in a thread of the pool: the enclave lives as long as the starting thread.
            runner.spawn()
            await _until(done, asyncio.to_thread(runner.wait_ready))
            if not done.is_set():
                boot_s = loop.time() - started
                ready(_serving(plan, runner, directory.path, forwarder, boot_s))
                await _until(done, _watch(runner))
        return Summary(dict(forwarder.counts), dict(proxy.counts))
    finally:
        await asyncio.to_thread(runner.stop)


def _serving(
    plan: HostPlan, runner: Runner, sockets: Path, forwarder: PortForwarder, boot_s: float
) -> Serving:
    return Serving(
        plan=plan,
        address=forwarder.address,
        sockets=sockets,
        root_certificate=runner.root_certificate,
        console=runner.console,
        enclave_pid=runner.pid or 0,
        boot_s=boot_s,
    )


async def _watch(runner: Runner) -> None:
    """Never returns: raises when the enclave ended or halted."""
    while True:
        await asyncio.to_thread(runner.check)
        await asyncio.sleep(_WATCH_S)


async def _until(done: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Returns when `work` ends or `done` is set, whichever comes first; raises what
    `work` raises."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(done.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    for pending in (task, stop):
        pending.cancel()
    if task.done() and not task.cancelled():
        task.result()


def _call_at_end_of_stdin(stop: Callable[[], object]) -> None:
    def read() -> None:
        os.read(sys.stdin.fileno(), 1)
        stop()

    threading.Thread(target=read, name="until-stdin-ends", daemon=True).start()
