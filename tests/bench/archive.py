"""The archive: export to a write-once directory, verification from it, one leaf read in place.

An export verifies the log, builds segments, seals openings, writes them durably and reads them
back. Verification reads everything again and proves it from the archive alone. The disk is this
machine's; to S3 the network is what counts, and it is not measured.
"""

import gc
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from random import Random
from time import perf_counter, perf_counter_ns
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_host.archive.check import Trusted, check
from strongroom_host.archive.export import Order, export
from strongroom_host.archive.folder import FolderStore, clear_immutable
from strongroom_host.archive.manifest import segment_key
from strongroom_host.archive.segments import Segment
from strongroom_host.archive.store import DAY_MS
from strongroom_host.log.boots import Boots
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, signed_note
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.leaves import Boot, Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier

from tests.bench.signing import summary

__all__ = ["rows"]

EPOCH, DIGEST, TIME = bytes(32), sha256(b"").digest(), 1_800_000_000_000
RECORD = bytes(300)  # a decision's is about that long
KEY = bytes(range(32))


def _log(folder: Path, size: int) -> int:
    """Put a log of `size` leaves, with openings, into a folder; return its leaves' bytes."""
    origin, key = log_origin(EPOCH, "fund", Role.SIGNER), Ed25519PrivateKey.generate()
    start = Boot(Frontier().head, DIGEST, DIGEST, DIGEST, "1.0.0").serialise()
    total = 0
    with LogFiles(folder) as log, Openings(folder, write=True) as openings:
        for at in range(0, size, 4096):
            entries, known = [], {}
            for index in range(at, min(at + 4096, size)):
                opening = sha256(b"%d" % index).digest() + RECORD
                kind, public = (Kind.SIGNED, b"") if index else (Kind.BOOT, start)
                leaf = Leaf(kind, EPOCH, index, TIME + index, commitment(opening), public)
                entries.append(leaf.serialise())
                known[index] = opening
            log.append(at, entries)
            openings.put(known)
            total += sum(map(len, entries))
        text = checkpoint_text(origin, log.head)
        named = VerifierKey(origin, key.public_key().public_bytes_raw())
        log.publish(signed_note(text, named, key.sign(text)))
    return total


def _export(log: Path, store: FolderStore, sealed: bytes) -> float:
    now = int(time.time() * 1000)
    with Openings(log) as openings:
        order = Order(StoredLog(log), Boots(log), openings, sealed, DAY_MS, now, "bench")
        gc.collect()
        start = perf_counter()
        export(order, store)
        return perf_counter() - start


def _in_place(path: Path, times: int) -> dict[str, float]:
    """Return what reading one leaf of a mapped segment costs."""
    import mmap

    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    segment, dice, samples = Segment(data), Random(1), []  # noqa: S311 - repeatable
    for _ in range(times):
        index = dice.randrange(segment.start, segment.end)
        start = perf_counter_ns()
        segment.leaf(index)
        samples.append(perf_counter_ns() - start)
    return summary(samples)


def rows(size: int = 200_000, times: int = 20_000) -> list[dict[str, Any]]:
    """Return one row per stage, for a log of `size` leaves."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        total = _log(folder / "log", size)
        for words, sealed in (("leaves alone", b""), ("with sealed openings", KEY)):
            store = FolderStore(folder / words)
            seconds = _export(folder / "log", store, sealed)
            name = f"export of {size:,} leaves, {words}"
            found.append({"name": name, "unit": "leaves/s", "value": size / seconds})
            gc.collect()
            start = perf_counter()
            report = check(store, Trusted(openings_key=sealed), now_ms=int(time.time() * 1000))
            seconds = perf_counter() - start
            if not report.ok:
                raise RuntimeError(
                    f"the benchmark's own archive is not in order: {report.findings}"
                )
            name = f"the archive verified, {words}"
            found.append({"name": name, "unit": "leaves/s", "value": size / seconds})
        again = _export(folder / "log", store, KEY)
        found.append(
            {"name": "export again, nothing new", "unit": "leaves/s", "value": size / again}
        )
        each = report.manifest.segments
        stored = sum(entry.bytes for entry in each)
        found.append({"name": "stored for a leaf", "unit": "B", "value": stored / size})
        found.append({"name": "of which the leaf itself", "unit": "B", "value": total / size})
        leaf = _in_place(folder / "leaves alone" / segment_key(each[0]), times)
        found.append(
            {"name": "one leaf, read in place", "unit": "us", "value": leaf["p50"], **leaf}
        )
        for path in folder.rglob("*-*"):
            if path.is_file():
                clear_immutable(path)
    return found
