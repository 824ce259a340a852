"""The log kept: from an enclave's answer to what may be acted upon, and what witnesses vouch for.

The enclave's part is its own ledger, in this process, without the way to it. Kept means: fetched
with a signed head, verified, and synchronised to the disk together with the opening; that is what a
client waits for before an order leaves. Cosigned is apart from that and never waited for.
"""

import gc
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, perf_counter_ns, time
from typing import Any

from strongroom_enclave.identity import Identity
from strongroom_enclave.log.ledger import Ledger
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.cosigning import Cosigner, WitnessAt
from strongroom_host.log.keeper import Keeper, Source
from strongroom_host.log.notes import Checkpoint, Note, VerifierKey, signed_note
from strongroom_host.log.submissions import Submission
from strongroom_host.log.tree import LogReader
from strongroom_host.log.witnessed import Quorum, witnessed
from strongroom_wire.bundle import Bundle, Role, RoleKeys
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.leaves import Boot, Kind, Leaf
from strongroom_wire.merkle import Frontier
from strongroom_wire.pages import Entry, LogPage

from tests.bench.signing import summary
from tests.host.log.histories import stored
from tests.host.witness.logs import Station
from tests.host.witness.serving import serving

__all__ = ["rows"]

ROOT, ACCOUNT, DIGEST = bytes(32), "fund", bytes(32)
CLIENTS = 16


class _Enclave:
    """A signer's log in this process."""

    def __init__(self) -> None:
        self._identity, self._lock = Identity(Role.SIGNER), threading.Lock()
        hpke, receipt = self._identity.public[:32], self._identity.public[32:]
        self.bundle = Bundle(
            b"\x01" * 32, DIGEST, ROOT, b"", (RoleKeys(Role.SIGNER, hpke, receipt),)
        )
        self._identity.boot = self.bundle
        self.key = VerifierKey(log_origin(ROOT, ACCOUNT, Role.SIGNER), receipt)
        self._ledger = Ledger(self._identity, Role.SIGNER, ACCOUNT, lambda: int(time() * 1000))
        start = Boot(Frontier().head, DIGEST, self.bundle.keys_digest, DIGEST, "1.0.0")
        self._ledger.open(Frontier(), b"permit", start.serialise())

    def decide(self) -> Entry:
        with self._lock:
            return self._ledger.append(Kind.SIGNED, bytes(200))

    def page(self, start: int) -> bytes:
        with self._lock:
            return self._ledger.page(start, opened=True)

    @contextmanager
    def source(self) -> Iterator[Source]:
        boot = StoredBoot(b"document", self.bundle.serialise(), b"manifest", 1)
        yield Source(self.page, self.key, boot)


def _row(name: str, samples: list[int]) -> dict[str, Any]:
    figures = summary(samples)
    return {"name": name, "unit": "us", "value": figures["p50"], **figures}


def _kept(folder: Path, times: int) -> list[dict[str, Any]]:
    enclave, samples = _Enclave(), list[int]()
    with Keeper(folder / "log", enclave.source) as keeper:
        for _ in range(times):
            entry = enclave.decide()
            start = perf_counter_ns()
            keeper.keep([entry])
            samples.append(perf_counter_ns() - start)

        def client() -> None:
            for _ in range(times // 4):
                keeper.keep([enclave.decide()])

        before, clients = keeper.size, [threading.Thread(target=client) for _ in range(CLIENTS)]
        begun = perf_counter()
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        rate = (keeper.size - before) / (perf_counter() - begun)
    together = f"kept, {CLIENTS} clients that each wait"
    return [
        _row("kept: fetched, verified and durable, one client", samples),
        {"name": together, "unit": "leaves/s", "value": rate},
    ]


def _cosigned(folder: Path, times: int) -> list[dict[str, Any]]:
    enclave = _Enclave()
    for _ in range(1_000):
        enclave.decide()
    page = LogPage.parse(enclave.page(0))
    note = signed_note(page.checkpoint, enclave.key, page.signature)
    entries: list[bytes] = []
    while part := LogPage.parse(enclave.page(len(entries))).entries:
        entries += [entry.leaf for entry in part]
    head = Checkpoint.parse(page.checkpoint).head
    reader = LogReader(stored(entries), head)
    assert Leaf.parse(entries[-1]).index == head.size - 1
    stations = [
        Station(folder / f"w{n}", enclave.key, name=f"witness.example/{n}") for n in range(3)
    ]
    for station in stations:
        station.clock.seconds = time()
    alone, first, third = list[int](), stations[0], list[int]()
    first.witness.add_checkpoint(Submission(0, (), note).serialise())
    again = Submission(head.size, (), note).serialise()
    for _ in range(times):
        start = perf_counter_ns()
        first.witness.add_checkpoint(again)
        alone.append(perf_counter_ns() - start)
    with ExitStack() as stack:
        at = [WitnessAt(each.public, stack.enter_context(serving(each))) for each in stations]
        cosigner = stack.enter_context(Cosigner(at, now=first.clock))
        cosigned, problems = cosigner.cosign(note, reader)
        for _ in range(times // 4):
            for station in stations:
                station.clock.seconds += 200  # sooner, they would not be asked about it again
            start = perf_counter_ns()
            cosigned, problems = cosigner.cosign(note, reader)
            third.append(perf_counter_ns() - start)
    if problems or len(Note.parse(cosigned).signatures) != 4:
        raise RuntimeError(f"the benchmark's own witnesses refused: {[*map(str, problems)]}")
    quorum, checked = Quorum(tuple(each.public for each in stations), 2), list[int]()
    for _ in range(times):
        start = perf_counter_ns()
        witnessed([cosigned], enclave.key.name, [enclave.key], quorum)
        checked.append(perf_counter_ns() - start)
    return [
        _row("a witness: verified, durable and cosigned", alone),
        {"name": "a witness, one after another", "unit": "1/s", "value": 1e9 / median(alone)},
        _row("cosigned by three over HTTP, connections kept", third),
        _row("a quorum of two of three, verified", checked),
    ]


def rows(times: int = 400) -> list[dict[str, Any]]:
    """Return one row per stage."""
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        return [*_kept(Path(folder), times), *_cosigned(Path(folder), times)]
