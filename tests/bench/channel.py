"""Intent to signed request over the sealed channel, beside a bare exchange of the same bytes.

The signer is the real process, reached over a Unix socket as the host reaches it; this module plays
init, so that no venue is needed. The goal is what the enclave may cost: the bare pipeline of the
same run (an exchange of the same bytes with another process, and the same request built and signed
without policy, encryption or log), plus 35 us. Bare and sealed take turns, through the host's own
transport. Busy-polling, both ends spin instead of sleeping. With a nonce pool, a turn's signatures
come from it; it is filled between.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.links import Link
from strongroom_host.contract.frames import intent_bytes
from strongroom_host.contract.roles import role_keys
from strongroom_host.contract.sealing import seal
from strongroom_host.enclave_client.channel import StreamTransport
from strongroom_wire import frames, manifest
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, RoleKeys, hpke_info
from strongroom_wire.encoding import pack, u32, u64
from strongroom_wire.errors import Code
from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    Budget,
    OwnerOrder,
    Permit,
)

from tests.bench import signing

__all__ = ["rows"]

TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
BLOCK, SLACK_US, REFILL_S = 250, 35.0, 0.05
_PATIENCE_S = 10.0

Exchange = Callable[[], object]
Swap = Callable[[bytes], bytes]


def rows(iterations: int = 20_000) -> list[dict[str, object]]:
    """Returns the table; times in us, memory in MiB."""
    table: list[dict[str, object]] = []
    plain, pooled = list(signing.ours().values())[:2]
    for busy, pool in product((False, True), (0, signing.POOL)):
        with signer(busy, pool) as desk, echo(desk.sizes(), busy) as bare:
            jobs = {"bare": bare, "sealed": desk.exchange, "alone": pooled if pool else plain}
            times = alternate(jobs, iterations // (4 if busy else 1))
            how = "busy-poll" if busy else "blocking"
            nonces = "nonce pool" if pool else "RFC 6979"
            table.append(row(f"bare exchange of the same bytes, {how}", times["bare"]))
            table.append(row(f"bare request, in process, {nonces}", times["alone"]))
            sealed = row(f"intent -> signed request, sealed, {nonces}, {how}", times["sealed"])
            both = (statistics.median(times[part]) / 1e3 for part in ("bare", "alone"))
            allowed = sum(both) + SLACK_US
            ratio = round(float(str(sealed["p50"])) / allowed, 2)
            goal = {"peer": "bare pipeline + 35 us", "peer_value": round(allowed, 1)}
            table.append({**sealed, **goal, "ratio": ratio})
            if not busy and not pool:
                table.append(
                    {"name": "signer process, resident", "unit": "MiB", "value": desk.rss()}
                )
    table.append(row("policy decision of one order, three windows", policy_times(iterations)))
    return table


class Desk:
    """A configured signer process and an open channel to it."""

    def __init__(self, folder: Path, busy: bool, pool: int = 0) -> None:
        """Starts it; with `pool`, that many nonces are made ahead."""
        self._pool = pool
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "frames.sock"))
        listener.listen()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "strongroom_enclave.signer"]
        command += [*(["--busy-poll"] * busy), str(theirs.fileno()), str(listener.fileno())]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        descriptors = (theirs.fileno(), listener.fileno())
        self.process = subprocess.Popen(command, pass_fds=descriptors, env=environment)
        theirs.close()
        listener.close()
        self._link = Link(ours.detach())
        self._owner, self._client = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self._configure(self._link.receive(30).payload)
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(folder / "frames.sock"))
        self._swap = swapper(stream, busy)
        self._open()

    def _configure(self, keys: bytes) -> None:
        """Does what init does for a boot: manifest, time, permit, a key, its credential."""
        frame_key, owner = (public(key).hex() for key in (self._client, self._owner))
        document = manifest.Manifest(
            format="strongroom-manifest/1",
            version=1,
            mode="development",
            account="bench",
            genesis=manifest.OwnerSet((owner,), 1),
            owner_changes=(),
            clients=(manifest.Client("bot", b"none", frame_key, ("order", "log")),),
            keys=(
                manifest.Key(
                    *("main", "generate", "eoa", "", 137, "clob.polymarket.com", True, policy()),
                    nonce_pool=self._pool,
                ),
            ),
            egress=(manifest.Egress("clob.polymarket.com", 443, (), ()),),
            accounts=(),
            witnesses=(),
            witness_quorum=0,
        )
        init = RoleKeys(Role.INIT, bytes(32), bytes(32))
        roles = (init, RoleKeys(Role.SIGNER, keys[:32], keys[32:]))
        self._bundle = Bundle(os.urandom(32), os.urandom(32), document.owner_root, b"", roles)
        encoded = (self._bundle.serialise(), msgspec.msgpack.encode(document))
        self._link.send(Kind.CONFIGURE, 0, pack(b"configure", *encoded))
        self.anchor()
        until = (int(time.time()) + 3600) * 1000
        permit = Permit(
            document.owner_root,
            self._bundle.manifest_digest,
            self._bundle.keys_digest,
            1,
            0,
            until,
            Frontier().serialise(),
            EMPTY_LOG,
            b"",
            (Budget("main", 10**18, 10**9),),
        )
        statement = self._signed(PERMIT_DOMAIN, permit.serialise())
        self._link.send(Kind.PERMIT, 0, pack(b"permit", statement, b""))
        for number, action in ((1, Action.GENERATE), (2, Action.ENROLL_CREATE)):
            body = u64(0) if action is Action.ENROLL_CREATE else b""
            bound = (self._bundle.boot_id, self._bundle.manifest_digest, "main", body)
            order = OwnerOrder(action, *bound).serialise()
            self._link.send(Kind.SUBMIT_ORDER, number, self._signed(ORDER_DOMAIN, order))
            self._answered()
        secret = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        fields = (b"00000000-0000-0000-0000-000000000000", secret, b"passphrase-0")
        self._link.send(Kind.ENROLLED, 2, u32(Code.OK) + pack(b"credential", *fields))
        self._answered()

    def _answered(self) -> None:
        """Waits for an answer, or for an enrolment's job; the signer's heads come between."""
        while self._link.receive(10).kind == Kind.HEAD:
            pass

    def _signed(self, domain: bytes, payload: bytes) -> bytes:
        value = self._owner.sign(pack(domain, payload))
        return Statement(payload, (Signature(public(self._owner), value),)).serialise()

    def anchor(self) -> None:
        """Tells the signer the time, as init does every few seconds."""
        now = u64(time.time_ns() // 1_000_000) + u64(time.monotonic_ns())
        self._link.send(Kind.ANCHOR, 0, now)

    def _open(self) -> None:
        secret, info = os.urandom(32), hpke_info(self._bundle, Role.SIGNER, b"channel")
        sealed = seal(secret, role_keys(self._bundle, Role.SIGNER).hpke, info)
        unsigned = frames.ChannelOpen(public(self._client), sealed, bytes(64))
        signature = self._client.sign(unsigned.message(self._bundle.keys_digest))
        opening = frames.ChannelOpen(public(self._client), sealed, signature).serialise()
        opened = frames.ChannelOpened.parse(self._swap(opening))
        keys = frames.channel_keys(secret, opening, opened.random)
        self._channel = frames.SealedChannel(opened.channel, keys, frames.Direction.TO_ENCLAVE)
        self._count = 0

    def exchange(self) -> frames.Reply:
        """Sends one intent and returns the reply with the signed request."""
        now = time.time_ns() // 1_000_000
        order = frames.OrderIntent(TOKEN, 0, 0, 1, 0, 570_000, 12_340_000, 0, now, 0)
        intent = frames.Intent(frames.Kind.ORDERS, 0, now // 1000, now + 5000, (order,))
        return self.ask(intent_bytes(intent))

    def ask(self, intent: bytes) -> frames.Reply:
        """Sends an intent that is encoded already, and returns the reply."""
        self._count += 1
        if self._count % 500 == 0:
            self.anchor()
        frame = self._channel.seal(intent)
        reply = frames.Reply.parse(self._channel.open(self._swap(frame)))
        if reply.code is not Code.OK:
            raise RuntimeError(f"the signer refused: {reply}")
        if self._count % 5_000 == 0:
            self._read_up_to(Leaf.parse(reply.leaf).index)
        return reply

    def _read_up_to(self, index: int) -> None:
        """Says that the leaves so far were read, as a keeper does: unread ones end the signing."""
        intent = frames.Intent(frames.Kind.READ_LOG, 0, 0, 0, (), u64(index))
        frame = self._channel.seal(intent_bytes(intent))
        reply = frames.Reply.parse(self._channel.open(self._swap(frame)))
        if reply.code is not Code.OK:
            raise RuntimeError(f"the signer did not show its log: {reply}")

    def sizes(self) -> tuple[int, int]:
        """Returns how many bytes a request and its reply take on the stream."""
        return 24 + 24 + 80 + 16, 24 + 16 + len(self.exchange().serialise())

    def rss(self) -> float:
        """Returns the process's resident memory in MiB, shared pages included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        lines = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return round(int(next(lines).split()[1]) / 1024, 1)


@contextmanager
def signer(busy: bool, pool: int = 0) -> Iterator[Desk]:
    """Yields a signer process with an open channel, and ends it."""
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), busy, pool)
        try:
            yield desk
        finally:
            desk.process.kill()
            desk.process.wait()


_ECHO = """
import socket, sys
stream, size, reply = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
stream.setblocking(sys.argv[4] != "busy")
answer = reply.to_bytes(4, "big") + bytes(reply)
got = 0
while True:
    try:
        data = stream.recv(65536)
    except BlockingIOError:
        continue
    if not data:
        break
    got += len(data)
    if got >= size + 4:
        got -= size + 4
        stream.sendall(answer)
"""


@contextmanager
def echo(sizes: tuple[int, int], busy: bool) -> Iterator[Exchange]:
    """Yields an exchange with a process that answers `sizes[0]` bytes with `sizes[1]`."""
    ours, theirs = socket.socketpair()
    arguments = [str(theirs.fileno()), str(sizes[0]), str(sizes[1]), "busy" if busy else "block"]
    command = [sys.executable, "-c", _ECHO, *arguments]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
    theirs.close()
    request, swap = bytes(sizes[0]), swapper(ours, busy)
    try:
        yield lambda: swap(request)
    finally:
        ours.close()
        process.wait()


def swapper(stream: socket.socket, busy: bool) -> Swap:
    """Returns what sends one message and returns the next, as the host's fast channel does."""
    transport = StreamTransport(stream, busy_poll=busy)
    return lambda message: transport.exchange(message, _PATIENCE_S)


def alternate(jobs: dict[str, Exchange], iterations: int) -> dict[str, list[int]]:
    """Returns the times of each job in ns, taken in alternating blocks."""
    times: dict[str, list[int]] = {name: [] for name in jobs}
    for _ in range(max(1, iterations // BLOCK)):
        for name, job in jobs.items():
            if isinstance(job, signing.Pooled):
                job.refill()
            time.sleep(REFILL_S)  # the signer makes nonces while nobody waits
            for _ in range(BLOCK):
                start = time.perf_counter_ns()
                job()
                times[name].append(time.perf_counter_ns() - start)
    return {name: taken[BLOCK:] or taken for name, taken in times.items()}


def policy_times(iterations: int) -> list[int]:
    """Returns the times of approving one order in process, in ns."""
    from strongroom_enclave.signer.amounts import Side
    from strongroom_enclave.signer.clob import OrderType
    from strongroom_enclave.signer.policy import Approved, PolicyEngine, ProposedOrder

    engine = PolicyEngine(policy())
    engine.permit(Budget("main", 10**18, 10**9), 2**48)
    now, kinds = 1_790_000_000_000, (Side.BUY, OrderType.GTC)
    intent = (TOKEN, *kinds, 1, 0, 570_000, 12_340_000, 0, now, 0)
    order = ProposedOrder(*intent, "v2", 7_033_800, 12_340_000, 0)
    times = []
    for _ in range(iterations):
        start = time.perf_counter_ns()
        decision = engine.decide([order], lambda: now)
        times.append(time.perf_counter_ns() - start)
        if not isinstance(decision, Approved):
            raise RuntimeError(f"the policy refused: {decision}")
    return times


def policy() -> manifest.Policy:
    """Returns a policy with three windows that nothing in this benchmark exhausts."""
    return manifest.Policy(
        markets=(market(),),
        order_types=("GTC",),
        order_notional=Decimal(100),
        windows=tuple(manifest.Window(n, Decimal(10**9)) for n in (60, 3600, 86400)),
        orders_per_minute=1_000_000,
        max_lifetime=0,
        max_skew=600,
        builder="00" * 32,
        metadata="00" * 32,
    )


def market() -> manifest.Market:
    """Returns the one market that the benchmark trades."""
    band = (Decimal("0.01"), Decimal("0.99"))
    return manifest.Market(str(TOKEN), "v2", ("buy", "sell"), *band)


def row(name: str, times: Sequence[int]) -> dict[str, object]:
    """Returns one row of the table from times in ns."""
    ordered = sorted(times)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
    cut = {
        key: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e3, 1)
        for key, share in at.items()
    }
    return {"name": name, "unit": "us", **cut}


def public(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    """Returns the raw public key, 32 bytes."""
    return key.public_key().public_bytes_raw()


if __name__ == "__main__":
    for line in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000):
        sys.stdout.write(f"{line}\n")
