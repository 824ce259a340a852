"""Tick to complete signed request over the Unix channel, beside the bare pipeline of the same run.

Both begin with a tick that is published in the ring, are read from it, decided on by the baseline
strategy, and end with the whole HTTP request back in this process. The bare pipeline leaves out
what makes it an enclave: its signer is a second process that takes 168 plain bytes and signs, with
no policy, no encryption and no log; like ours it draws a salt for each order, and it is reached
through the same transport. They take turns, and whose turn it is not is stopped: spinning, the two
would take each other's core. The goal: ours within the bare pipeline + 35 us, with RFC 6979 and
with nonces made ahead, sleeping and spinning.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import Flag, Kind, Side
from strongroom_host.ring.writer import RingWriter
from strongroom_host.store import Journal
from strongroom_host.strategy.port import Intent, OrderType, Reason, TickView
from strongroom_host.strategy.registry import load_strategy
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.venue import SignedRequest
from strongroom_wire.pages import Entry

from tests.bench.channel import BLOCK, SLACK_US, TOKEN, Exchange, row, signer, swapper

__all__ = ["rows"]

_NAME: Final = f"polymarket:{TOKEN}"
_POOL: Final = 4096
_DISK: Final = 400

_REFILL_S: Final = 0.03

Way = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Bare:
    """A signer without anything around it."""

    pid: int
    sign: Way


class Pipeline:
    """Ring, strategy and intent, before whatever signs."""

    def __init__(self, writer: RingWriter, reader: RingReader, sign: Way) -> None:
        self._publish, self._poll, self._sign = writer.publish, reader.poll, sign
        self._instrument = writer.instrument(_NAME)
        self._strategy = load_strategy("baseline", {"market": _NAME}, ["", _NAME])
        self._market = TradedMarket(self._instrument, _NAME, TOKEN, 1)
        self._intents = IntentWriter(0, self._strategy.model_sha256)
        self._view: TickView | None = None
        self._number = 0

    def run(self) -> bytes:
        """One tick to one request."""
        self._number += 1
        self._publish(
            *(Kind.LEVEL, Side.BUY, 1, Flag.LAST, self._instrument, 1, self._number),
            *(57_000_000, 100_000_000 + self._number, time.monotonic_ns(), 0, 0),
        )
        tick = self._poll()
        if tick is None:
            raise RuntimeError("the ring lost a tick")
        if self._view is None:
            self._view = TickView(tick)
        self._strategy.on_tick(self._view)
        decided = Intent(
            *(self._instrument, Side.BUY, 570_000, 12_340_000, OrderType.GTC, Reason.QUOTE),
            bytes(32),
        )
        return self._sign(self._intents.order(decided, self._market, time.time_ns()))


def rows(iterations: int = 20_000) -> list[dict[str, object]]:
    """Returns the table; times in us."""
    table: list[dict[str, object]] = []
    for pool in (0, _POOL):
        for busy in (False, True):
            table += _compared(busy, pool, iterations // (4 if busy else 1))
    return table + _journal()


def _compared(busy: bool, pool: int, iterations: int) -> list[dict[str, object]]:
    how = f"{'nonce pool' if pool else 'RFC 6979'}, {'busy-poll' if busy else 'blocking'}"
    with ExitStack() as stack:
        desk = stack.enter_context(signer(busy, pool))
        bare = stack.enter_context(bare_signer(busy, pool))
        jobs: dict[str, tuple[int, Exchange]] = {}
        ways = (
            ("bare", bare.pid, bare.sign),
            ("sealed", desk.process.pid, lambda intent: desk.ask(intent).request),
        )
        for name, pid, sign in ways:
            ring = f"bench-{secrets.token_hex(4)}"
            writer = stack.enter_context(RingWriter.create(ring))
            writer.instrument(_NAME)
            reader = stack.enter_context(RingReader.attach(ring))
            jobs[name] = pid, Pipeline(writer, reader, sign).run
        times = _turns(jobs, iterations, desk.anchor)
    allowed = statistics.median(times["bare"]) / 1e3 + SLACK_US
    sealed = row(f"tick -> signed request, {how}", times["sealed"])
    ratio = round(float(str(sealed["p50"])) / allowed, 2)
    peer = {"peer": "bare + 35 us", "peer_value": round(allowed, 1), "ratio": ratio}
    return [row(f"bare pipeline, {how}", times["bare"]), {**sealed, **peer}]


def _turns(
    jobs: dict[str, tuple[int, Exchange]], iterations: int, anchor: Callable[[], None]
) -> dict[str, list[int]]:
    """Returns each job's times in ns, taken in blocks; only one of the two signers runs."""
    times: dict[str, list[int]] = {name: [] for name in jobs}
    for pid, _ in jobs.values():
        os.kill(pid, signal.SIGSTOP)
    gc.collect()
    gc.disable()
    try:
        for _ in range(max(2, iterations // BLOCK)):
            for name, (pid, job) in jobs.items():
                os.kill(pid, signal.SIGCONT)
                if name == "sealed":
                    anchor()
                time.sleep(_REFILL_S)  # nonces are made while nobody waits
                for _ in range(BLOCK):
                    start = time.perf_counter_ns()
                    job()
                    times[name].append(time.perf_counter_ns() - start)
                os.kill(pid, signal.SIGSTOP)
    finally:
        gc.enable()
        for pid, _ in jobs.values():
            os.kill(pid, signal.SIGCONT)
    return {name: taken[BLOCK:] for name, taken in times.items()}


def _journal() -> list[dict[str, object]]:
    """What it costs to have an order's hash on the disk before its first byte leaves."""
    taken: list[int] = []
    with TemporaryDirectory(dir=Path.cwd()) as folder, Journal(Path(folder) / "j.db") as journal:
        for number in range(_DISK):
            entry = Entry(os.urandom(110), os.urandom(300))
            request = b"POST /order " + os.urandom(900)
            signed = SignedRequest((os.urandom(32),), request, number, entry)
            start = time.perf_counter_ns()
            journal.prepare(signed, sending=True)
            taken.append(time.perf_counter_ns() - start)
    return [row("journal: hash on the disk, SQLite", taken)]


_BARE = """
import secrets, socket, sys
from strongroom_wire.frames import Intent
from strongroom_enclave.signer.amounts import Side, Tick, limit_amounts
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import RequestBuilder
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.nonces import NoncePool
from strongroom_enclave.signer.orders import Account, Order, SignatureType

stream, busy, size = socket.socket(fileno=int(sys.argv[1])), sys.argv[2] == "busy", int(sys.argv[3])
stream.setblocking(not busy)
secret = bytes(31) + b"\\x07"
pool = NoncePool(secret, size) if size else None
key = SigningKey(secret, pool)
account = Account(key.address, SignatureType.EOA, key.address)
credential = ApiCredential("0" * 36, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "passphrase-0")
builder = RequestBuilder("clob.polymarket.com", account, credential)
exchange, zero, ticks = Exchange.POLYGON_V2, bytes(32), tuple(Tick)
while pool and pool.refill():
    pass

def answer(data):
    intent = Intent.parse(data)
    wanted = intent.orders[0]
    side = Side(wanted.side)
    amounts = limit_amounts(side, wanted.price, wanted.size, ticks[wanted.tick])
    head = (secrets.randbits(53), account.maker, account.signer, wanted.token, *amounts)
    order = Order(*head, side, account.signature_type, wanted.timestamp, zero, zero)
    signed = key.sign_order(order, exchange, account)
    return builder.post([(signed, wanted)], intent.timestamp)

got = b""
while True:
    try:
        data = stream.recv(65536)
    except BlockingIOError:
        if pool:
            pool.refill()
        continue
    if not data:
        break
    got += data
    if len(got) >= 4 and len(got) >= 4 + int.from_bytes(got[:4], "big"):
        request = answer(got[4:])
        got = b""
        stream.sendall(len(request).to_bytes(4, "big") + request)
        if pool and not busy:
            stream.setblocking(False)
            while True:
                try:
                    stream.recv(1, socket.MSG_PEEK)
                    break
                except BlockingIOError:
                    if not pool.refill():
                        break
            stream.setblocking(True)
"""


@contextmanager
def bare_signer(busy: bool, pool: int) -> Iterator[Bare]:
    """Yields a process that signs whatever it is given."""
    ours, theirs = socket.socketpair()
    how = "busy" if busy else "block"
    command = [sys.executable, "-P", "-c", _BARE, str(theirs.fileno()), how, str(pool)]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment)
    theirs.close()
    try:
        yield Bare(process.pid, swapper(ours, busy))
    finally:
        ours.close()
        process.wait()


if __name__ == "__main__":
    for line in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000):
        sys.stdout.write(f"{line}\n")
