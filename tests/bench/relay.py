"""A signed order through the relay, beside TLS without it and a forwarder that checks nothing.

Venue, relay, forwarder and client are processes of their own, on one machine, over loopback. The
venue's answer says when the whole request was in its socket (the kernel's stamp, if it makes one)
and when its process had read it, by the clock that all share, so the way there is measured by
itself. The ways take turns in short blocks: what the machine does beside them slows all alike.

What the relay adds is the difference of the ways' quantiles, from the call that sends to the bytes
in the venue's socket: the client's sealing, the hop over UDP, and the relay. How long the venue's
process takes to wake up from there is not the relay's doing, and not alike for the ways: with
one process less, sender and venue often share a core, and waking somebody on one's own takes
30 us less than on another. So the second figure, until the venue's process has it, is shown beside.

A relay wants a core: on a machine that is busy with other things its code is cold whenever a packet
comes, and takes several times as long. The flood's packets are forged, 15,000 a second.
"""

import contextlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from strongroom_host.relay import ClientLimits, Pending, RelayClient
from strongroom_host.relay.frames_v2 import MAGIC
from strongroom_host.testnet.certificates import issue

from tests.bench.channel import row

__all__ = ["rows"]

HOST = "venue.test"
GOAL_US, GOAL_RATE = 60.0, 15_000
FLOOD = 15_000
BLOCK = 100

_VENUE = """
import socket, ssl, struct, sys, threading, time
STAMPS = 35  # Linux's SO_TIMESTAMPNS, and what its messages are called
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def serve(plain):
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        plain.setsockopt(socket.SOL_SOCKET, STAMPS, 1)
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, goes, server_side=True)
    step = tls.do_handshake
    try:
        while True:
            try:
                step()
                step = None
                if goes.pending:
                    plain.sendall(goes.read())
                while True:
                    if not tls.read(65536):
                        return
                    body = b'{"at":%020d,"read":%020d,"pad":"%s"}' % (arrived, read, b"x" * 60)
                    head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
                    tls.write(head + body)
                    plain.sendall(goes.read())
            except ssl.SSLWantReadError:
                step = step or (lambda: None)
            if goes.pending:
                plain.sendall(goes.read())
            data, notes, _, _ = plain.recvmsg(65536, 64)
            arrived = read = time.monotonic_ns()
            for _, kind, value in notes:
                if kind == STAMPS:
                    seconds, rest = struct.unpack("qq", value)
                    arrived = seconds * 10**9 + rest - time.time_ns() + time.monotonic_ns()
            if not data:
                return
            came.write(data)
    except OSError:
        pass
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

_FORWARDER = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
tls = context.wrap_socket(
    socket.create_connection(("127.0.0.1", int(sys.argv[2]))), server_hostname="venue.test"
)
tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
print(udp.getsockname()[1], flush=True)
while True:
    data, address = udp.recvfrom(65535)
    tls.sendall(data)
    udp.sendto(tls.recv(65536), address)
"""

_FLOOD = """
import os, socket, sys, time
head, port, rate = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
forged = [head + os.urandom(1100) for _ in range(64)]
print("flooding", flush=True)
start, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - start) * rate)
    for _ in range(min(due - sent, 200)):
        udp.sendto(forged[sent % 64], ("127.0.0.1", port))
        sent += 1
    time.sleep(0.0005)
"""

_ON_CORE = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.execv(sys.argv[2], sys.argv[2:])
"""

Way = Callable[[], bytes]


class Numbers:
    """Packet numbers of one client."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> int:
        return next(self._numbers)


def request() -> bytes:
    """An order as the enclave writes it, some 1,100 bytes long."""
    body = b'{"order":{"salt":%d,"maker":"0x%s"' % (1 << 52, b"a" * 40)
    body += b',"signature":"0x%s"' % (b"5" * 130) + b',"pad":"%s"}}' % (b"x" * 430)
    head = f"POST /order HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: strongroom\r\n"
    head += "Accept: application/json\r\nContent-Type: application/json\r\n"
    head += f"Connection: keep-alive\r\nPOLY_ADDRESS: 0x{'a' * 40}\r\nPOLY_API_KEY: {'k' * 36}\r\n"
    head += f"POLY_PASSPHRASE: {'p' * 64}\r\nPOLY_SIGNATURE: {'s' * 44}\r\n"
    head += f"POLY_TIMESTAMP: 1795269600\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def rows(iterations: int = 20_000) -> list[dict[str, object]]:
    """Returns the table; times in us."""
    table: list[dict[str, object]] = []
    with bench() as desk:
        table += desk.latency(iterations, "sleeping")
        table += desk.latency(iterations // 2, "relay as by default")
        table += desk.latency(iterations // 2, "relay spins")
        if (os.cpu_count() or 1) > 3:  # client and relay, which never sleep, and two others
            table += desk.latency(iterations // 2, "relay and client spin")
        table += desk.flooded(iterations // 2)
        table += desk.rates(iterations)
    with own_core() as core:
        if core is not None:
            with bench(core) as desk:
                table += desk.latency(iterations // 2, "relay spins on a core of its own")
    return table


class Desk:
    """Everything that is measured, running; the relay on `core`, if one is named."""

    def __init__(self, stack: ExitStack, folder: Path, core: int | None = None) -> None:
        self.stack, self.folder, self.core = stack, folder, core
        certificate = issue(folder, (HOST,), datetime.now(UTC))
        self.ca = certificate.ca
        venue = [_VENUE, str(certificate.chain), str(certificate.key)]
        self.venue = int(self.process(venue))
        self.psk = secrets.token_bytes(32)
        self.raw = request()

    def process(self, script: Sequence[str]) -> str:
        """Starts a process and returns its first line."""
        return self.stack.enter_context(running([sys.executable, "-c", *script]))

    @contextmanager
    def relay(self, *options: str) -> Iterator[tuple[str, int]]:
        """A relay's address; it ends with the block."""
        command = [sys.executable, "-m", "strongroom_host.cli.main", "relay", "run", "--json"]
        command += ["--listen", "127.0.0.1:0", "--upstream", HOST, "--ca", str(self.ca)]
        command += ["--dial", f"127.0.0.1:{self.venue}", *options]
        if self.core is not None:
            command = [sys.executable, "-c", _ON_CORE, str(self.core), *command]
        environment = {**os.environ, "RELAY_PSK_HEX": self.psk.hex()}
        with running(command, environment) as line:
            host, _, port = json.loads(line)["address"].rpartition(":")
            yield host, int(port)

    def client(self, address: tuple[str, int], *, spin: bool = False) -> RelayClient:
        """Opens a session with a relay."""
        limits = ClientLimits(spin=spin)
        made = RelayClient(address, self.psk, Numbers(), host=HOST, limits=limits)
        self.stack.callback(made.close)
        made.open()
        return made

    def direct(self) -> Way:
        """The way without a relay: one warm TLS connection."""
        context = ssl.create_default_context(cafile=str(self.ca))
        plain = socket.create_connection(("127.0.0.1", self.venue))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = context.wrap_socket(plain, server_hostname=HOST)
        self.stack.callback(tls.close)

        def exchange() -> bytes:
            tls.sendall(self.raw)
            return tls.recv(65_536)

        return exchange

    def forwarder(self) -> Way:
        """The way over UDP with nothing sealed and nothing checked, one request at a time."""
        port = int(self.process([_FORWARDER, str(self.ca), str(self.venue)]))
        udp = self.stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.connect(("127.0.0.1", port))

        def exchange() -> bytes:
            udp.send(self.raw)
            return udp.recv(65_536)

        return exchange

    def latency(self, iterations: int, how: str) -> list[dict[str, object]]:
        """The ways beside each other; `how` says who polls without sleeping.

        By default the relay does so for two milliseconds after a packet: here, where the next one
        comes sooner, nearly always.
        """
        options = {"sleeping": ["--awake-us", "0"], "relay as by default": []}.get(
            how, ["--busy-poll"]
        )
        with self.relay(*options) as address:
            client = self.client(address, spin="client" in how)
            ways: dict[str, Way] = {"direct": self.direct(), "relay": through(client, self.raw)}
            if how == "sleeping":
                ways["forwarder"] = self.forwarder()
            there, had, both = alternate(ways, iterations)
            held = own_times(client, self.raw, iterations // 4)
            client.close()
        table = []
        for name, times in (
            ("to the venue's socket", there),
            ("to the venue's process", had),
            ("and back", both),
        ):
            ours = row(f"order {name}, relay, {how}", times["relay"])
            beside = row("", times["direct"])
            table.append({**ours, **against(ours, beside, "TLS without a relay")})
            added: dict[str, object] = {
                "name": f"order {name}, added by the relay, {how}",
                "unit": "us",
            }
            added |= {key: difference(ours, beside, key) for key in ("p50", "p99")}
            if name != "and back":
                ratio = round(number(added, "p50") / GOAL_US, 2)
                added |= {"peer": "goal", "peer_value": GOAL_US, "ratio": ratio}
            table.append(added)
            if "forwarder" in times:
                bare = row("", times["forwarder"])
                named = row(f"order {name}, relay (again)", times["relay"])
                table.append({**named, **against(named, bare, "UDP forwarder, no checks")})
        table.append(row(f"relay's own: request in hand to TLS written, {how}", held))
        return table

    def flooded(self, iterations: int) -> list[dict[str, object]]:
        """The relay's latency while forged packets pour in, beside the same relay's without."""
        with self.relay() as address:
            return self.flood(address, iterations)

    def flood(self, address: tuple[str, int], iterations: int) -> list[dict[str, object]]:
        """See `flooded`."""
        client = self.client(address)
        way = {"relay": through(client, self.raw)}
        *_, quiet = alternate(way, iterations)
        # The right type and length, and the client's own session: the dearest to refuse.
        session = client._talk().session
        head = MAGIC + b"\x04" + session + (1 << 40).to_bytes(8, "big")
        with running([sys.executable, "-c", _FLOOD, head.hex(), str(address[1]), str(FLOOD)]):
            refused = told(client, "forged")
            began = time.monotonic()
            *_, noisy = alternate(way, iterations)
            rate = (told(client, "forged") - refused) / (time.monotonic() - began)
        client.close()
        ours, beside = row("order and back during a flood", noisy["relay"]), row("", quiet["relay"])
        return [
            {**ours, **against(ours, beside, "no flood")},
            {"name": "forged packets refused during it", "unit": "1/s", "value": round(rate)},
        ]

    def rates(self, iterations: int) -> list[dict[str, object]]:
        """How much a relay can take: forged packets alone, and orders with four under way."""
        with self.relay() as address:
            return self.rate(address, iterations)

    def rate(self, address: tuple[str, int], iterations: int) -> list[dict[str, object]]:
        """See `rates`."""
        client = self.client(address)
        head = MAGIC + b"\x04" + client._talk().session + (1 << 40).to_bytes(8, "big")
        with running([sys.executable, "-c", _FLOOD, head.hex(), str(address[1]), "10000000"]):
            before, began = told(client, "forged"), time.monotonic()
            time.sleep(2)
            refused = (told(client, "forged") - before) / (time.monotonic() - began)
        events = events_of(client)
        began = time.monotonic()
        orders = busy(client, self.raw, iterations)
        took = time.monotonic() - began
        after = events_of(client)
        packets = (
            after["taken_packet"] - events["taken_packet"] + after["answered"] - events["answered"]
        )
        client.close()
        ratio = round(refused / GOAL_RATE, 2)
        return [
            {
                "name": "forged packets refused, as many as come",
                "unit": "1/s",
                "value": round(refused),
                "peer": "goal",
                "peer_value": GOAL_RATE,
                "ratio": ratio,
            },
            {
                "name": "packets in and out, orders with 8 under way",
                "unit": "1/s",
                "value": round(packets / took),
                "peer": "goal",
                "peer_value": GOAL_RATE,
                "ratio": round(packets / took / GOAL_RATE, 2),
            },
            {"name": "orders answered, 8 under way", "unit": "1/s", "value": round(orders / took)},
        ]


@contextmanager
def bench(core: int | None = None) -> Iterator[Desk]:
    """Everything, and all of it gone at the end."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        yield Desk(stack, Path(folder), core)


@contextmanager
def own_core() -> Iterator[int | None]:
    """A core for the relay alone: all else that is started in the block has the others.

    Who shares a core with a relay that spins is woken on it and takes it away just when a packet
    is there; on two cores the scheduler does that for minutes, and then for minutes not.
    """
    if sys.platform != "linux" or len(cores := os.sched_getaffinity(0)) < 2:
        yield None
        return
    own = max(cores)
    os.sched_setaffinity(0, cores - {own})
    try:
        yield own
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def running(command: list[str], environment: dict[str, str] | None = None) -> Iterator[str]:
    """A process's first line; the process ends with the block."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    with process:
        try:
            yield process.stdout.readline().strip() if process.stdout is not None else ""
        finally:
            process.kill()


def through(client: RelayClient, raw: bytes) -> Way:
    """The way through a relay."""

    def exchange() -> bytes:
        return client.exchange(raw).body

    return exchange


def alternate(ways: dict[str, Way], iterations: int) -> tuple[dict[str, list[int]], ...]:
    """Times in ns: to the venue's socket, to its process, there and back, in blocks in turn."""
    there: dict[str, list[int]] = {name: [] for name in ways}
    had: dict[str, list[int]] = {name: [] for name in ways}
    both: dict[str, list[int]] = {name: [] for name in ways}
    clock = time.monotonic_ns
    for number in range(iterations // BLOCK + 2):
        for name, exchange in ways.items():
            for _ in range(BLOCK):
                began = clock()
                answer = exchange()
                ended = clock()
                if number > 1:  # the first two blocks only warm up
                    there[name].append(stamp(answer, b'"at":') - began)
                    had[name].append(stamp(answer, b'"read":') - began)
                    both[name].append(ended - began)
    return there, had, both


def stamp(answer: bytes, name: bytes) -> int:
    """A time of the venue's, from its answer."""
    at = answer.index(name) + len(name)
    return int(answer[at : at + 20])


def own_times(client: RelayClient, raw: bytes, iterations: int) -> list[int]:
    """How long the relay had each request, by itself."""
    found = []
    for _ in range(iterations):
        pending = client.begin(raw, time.monotonic_ns() + 10**9)
        while not pending.done:
            client.pump(1.0)
        found.append(pending.relay_ns)
    return found


def busy(client: RelayClient, raw: bytes, iterations: int, width: int = 8) -> int:
    """Orders that were answered with so many under way."""
    under_way: list[Pending] = []
    begun = answered = 0
    while answered < iterations:
        while len(under_way) < width and begun < iterations:
            under_way.append(client.begin(raw, time.monotonic_ns() + 2 * 10**9))
            begun += 1
        client.pump(1.0)
        for pending in under_way:
            if pending.done:
                pending.result()
                answered += 1
        under_way = [pending for pending in under_way if not pending.done]
    return answered


def told(client: RelayClient, reason: str) -> int:
    """How often a relay has refused something for that reason."""
    for _ in range(20):
        with contextlib.suppress(Exception):  # in a flood, also this packet may be lost
            return int(json.loads(client.status())["refused"].get(reason, 0))
    return 0


def events_of(client: RelayClient) -> dict[str, int]:
    """A relay's counters of what it did."""
    return {name: int(value) for name, value in json.loads(client.status())["events"].items()}


def number(figures: dict[str, object], key: str) -> float:
    """A figure of a row."""
    return float(str(figures[key]))


def difference(ours: dict[str, object], beside: dict[str, object], key: str) -> float:
    """By how much one quantile is above another."""
    return round(number(ours, key) - number(beside, key), 1)


def against(ours: dict[str, object], beside: dict[str, object], peer: str) -> dict[str, object]:
    """A peer's median beside ours."""
    value = number(beside, "p50")
    return {"peer": peer, "peer_value": value, "ratio": round(number(ours, "p50") / value, 2)}


if __name__ == "__main__":
    for line in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000):
        sys.stdout.write(f"{line}\n")
