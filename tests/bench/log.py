"""The log: what a decision costs inside the enclave, proofs and verification at a million leaves.

Inside, the enclave's own ledger: `Decision`, its opening, the leaf, its hash, and the frontier; the
goal is 15 us for all of it. The head's signature and the disk are stages of their own: heads are
signed at intervals, and appends are made durable in batches by whoever runs the host (`keeping`).
"""

import gc
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_enclave.identity import Identity
from strongroom_enclave.log.ledger import Ledger
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, open_checkpoint, signed_note
from strongroom_host.log.proofs import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from strongroom_host.log.tiles import HEIGHT, WIDTH, parent
from strongroom_host.log.verify import Expected, KnownHead, verify
from strongroom_wire.bundle import Bundle, LogHead, Role, RoleKeys
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.errors import Code
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import Boot, Decision, Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.bench.signing import summary

__all__ = ["rows"]

EPOCH, DIGEST, TIME = bytes(32), sha256(b"").digest(), 1_800_000_000_000
GOAL_US = 15.0


class _Enclave:
    """What the signer does for one decision's leaf: asks its ledger for room, and appends."""

    def __init__(self) -> None:
        identity = Identity(Role.SIGNER)
        keys = RoleKeys(Role.SIGNER, identity.public[:32], identity.public[32:])
        identity.boot = Bundle(EPOCH, DIGEST, EPOCH, b"", (keys,))
        self.ledger = Ledger(identity, Role.SIGNER, "fund", lambda: TIME)
        start = Boot(Frontier().head, DIGEST, DIGEST, DIGEST, "1.0.0").serialise()
        self.ledger.open(Frontier(), b"permit", start)
        self.size = 1

    def decide(self) -> None:
        self.ledger.admit()
        told = Reply(Code.OK, self.size, order_hashes=(DIGEST,))
        decision = Decision("main", "bot", DIGEST, DIGEST, 25_000_000, 1, b"", told)
        self.ledger.append(Kind.SIGNED, decision.serialise())
        self.size += 1
        if self.size % 4096 == 0:
            self.ledger.page(self.size, opened=True)  # somebody reads: what is read makes room


class _Tree:
    """Subtree hashes of many leaves in memory, as tiles hold them: every eighth level."""

    def __init__(self, hashes: list[bytes]) -> None:
        self.levels = [hashes]
        while len(hashes) >= WIDTH:
            whole = range(0, len(hashes) - WIDTH + 1, WIDTH)
            hashes = [parent(hashes[at : at + WIDTH]) for at in whole]
            self.levels.append(hashes)

    def __call__(self, level: int, index: int) -> bytes:
        tiles, height = divmod(level, HEIGHT)
        return parent(self.levels[tiles][index << height : (index + 1) << height])


def _timed(job: Callable[[], object], times: int) -> dict[str, float]:
    for _ in range(times // 20 + 1):
        job()
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    samples = []
    try:
        for _ in range(times):
            start = perf_counter_ns()
            job()
            samples.append(perf_counter_ns() - start)
    finally:
        if was_enabled:
            gc.enable()
    return summary(samples)


def _row(name: str, figures: dict[str, float], **more: object) -> dict[str, Any]:
    return {"name": name, "unit": "us", "value": figures["p50"], **figures, **more}


def _in_the_enclave(times: int) -> list[dict[str, Any]]:
    enclave = _Enclave()
    whole = _timed(enclave.decide, times)
    head = _timed(lambda: enclave.ledger.head, times)
    grown, digest = Frontier(), leaf_hash(b"")
    bare = _timed(lambda: grown.append(digest), times)
    key, origin = Ed25519PrivateKey.generate(), log_origin(EPOCH, "fund", Role.SIGNER)
    sign = _timed(lambda: key.sign(checkpoint_text(origin, enclave.ledger.head)), times // 4)
    goal = {"peer": "goal", "peer_value": GOAL_US, "ratio": GOAL_US / whole["p50"]}
    per_second = {"name": "appends per second inside", "unit": "1/s", "value": 1e6 / whole["p50"]}
    return [
        _row("one decision's leaf, added to a decision", whole, **goal),
        per_second,
        _row("of which appending to the frontier", bare),
        _row("the head, computed", head),
        _row("the head, computed and signed (its own stage)", sign),
    ]


def _history(size: int) -> list[bytes]:
    """Return the leaves of one boot, cheaply made and fully readable."""
    start = Boot(Frontier().head, DIGEST, DIGEST, DIGEST, "1.0.0").serialise()
    first = Leaf(Kind.BOOT, EPOCH, 0, TIME, DIGEST, start).serialise()
    rest = (Leaf(Kind.SIGNED, EPOCH, n, TIME + n, DIGEST).serialise() for n in range(1, size))
    return [first, *rest]


def _proofs(entries: list[bytes], times: int) -> list[dict[str, Any]]:
    size, hashes = len(entries), [leaf_hash(entry) for entry in entries]
    tree, frontier = _Tree(hashes), Frontier()
    for each in hashes:
        frontier.append(each)
    head, index, old = frontier.head, size // 3, size - size // 7
    proof = inclusion_proof(index, size, tree)
    grown = consistency_proof(old, size, tree)
    before = Frontier()
    for each in hashes[:old]:
        before.append(each)
    known = before.head
    made = _timed(lambda: inclusion_proof(index, size, tree), times)
    checked = _timed(lambda: verify_inclusion(hashes[index], index, head, proof), times)
    linked = _timed(lambda: verify_consistency(known, head, grown), times)
    return [
        {"name": f"inclusion proof at {size:,} leaves", "unit": "B", "value": 32 * len(proof)},
        _row("inclusion proof, made from tiles in memory", made),
        _row("inclusion proof, verified", checked),
        {"name": f"consistency proof to {size:,} leaves", "unit": "B", "value": 32 * len(grown)},
        _row("consistency proof, verified", linked),
        _verification(entries, head),
    ]


def _verification(entries: list[bytes], head: LogHead) -> dict[str, Any]:
    gc.collect()
    start = perf_counter()
    report = verify(entries, Expected([KnownHead(head, "head")]))
    seconds = perf_counter() - start
    if not report.ok:
        raise RuntimeError(f"the benchmark's own log is not in order: {report.findings[:3]}")
    return {"name": "whole log verified", "unit": "leaves/s", "value": len(entries) / seconds}


def _on_the_disk(entries: list[bytes]) -> list[dict[str, Any]]:
    found, origin = [], log_origin(EPOCH, "fund", Role.SIGNER)
    key = Ed25519PrivateKey.generate()
    named = VerifierKey(origin, key.public_key().public_bytes_raw())
    with tempfile.TemporaryDirectory() as folder:
        for batch, count in ((1, 300), (WIDTH, 40)):
            with LogFiles(Path(folder) / str(batch)) as log:
                gc.collect()
                start = perf_counter()
                for n in range(count):
                    log.append(n * batch, entries[n * batch : (n + 1) * batch])
                rate = count * batch / (perf_counter() - start)
                name = f"appends made durable, {batch} at a time"
                found.append({"name": name, "unit": "leaves/s", "value": rate})
                text = checkpoint_text(origin, log.head)
                note = signed_note(text, named, key.sign(text))
    opened = _timed(lambda: open_checkpoint(note, origin, [named]), 500)
    return [*found, _row("checkpoint parsed and verified", opened)]


def rows(size: int = 1_000_000, times: int = 20_000) -> list[dict[str, Any]]:
    """Return one row per stage; `size` leaves for proofs and verification."""
    inside = _in_the_enclave(times)
    entries = _history(size)
    return [*inside, *_proofs(entries, max(100, times // 10)), *_on_the_disk(entries)]
