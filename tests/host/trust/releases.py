"""Releases for tests: records of hand-made images, throw-away keys, and signatures made here.

Records are written as JSON from digests computed here, and envelopes are put together from the
specification's text, so that a fault which signer and verifier share shows.
"""

import base64
import gzip
import hashlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_host.trust.release import RELEASE_TYPE
from strongroom_host.trust.release_keys import KeyEntry, KeyRing, Revocation, Role

from tests.eif.samples import Raw, baseline, pcr

__all__ = [
    "NOW", "entry", "envelope", "key", "public", "record", "record_of", "revoked", "ring", "sign",
    "signature",
]  # fmt: skip

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_KINDS = {1: "kernel", 2: "cmdline", 3: "ramdisk", 4: "signature", 5: "metadata"}


@cache
def key(number: int = 1) -> Ed25519PrivateKey:
    """Returns a throw-away key, the same all through a run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest())


def public(number: int = 1) -> bytes:
    return key(number).public_key().public_bytes_raw()


def entry(number: int = 1, role: Role = "release", **changes: Any) -> KeyEntry:
    start, end = NOW - timedelta(days=30), NOW + timedelta(days=335)
    made = KeyEntry.of(
        public(number), f"key {number}", role, changes.pop("start", start), changes.pop("end", end)
    )
    assert not changes
    return made


def ring(*entries: KeyEntry, **threshold: int) -> KeyRing:
    """Returns a ring, by default of key 1 alone."""
    return KeyRing.of(entries or (entry(),), threshold or {"release": 1})  # type: ignore[arg-type]


def revoked(made: KeyEntry) -> KeyEntry:
    gone = Revocation(NOW - timedelta(days=1), "laptop stolen")
    return KeyEntry(
        made.id, made.name, made.role, made.public, made.not_before, made.not_after, gone
    )


def record(raw: Raw | None = None, **changes: Any) -> dict[str, Any]:
    """Returns the record of an image as a plain dictionary, members replaced as asked."""
    raw = raw or baseline()
    data = raw.data()
    of = {kind: [c for k, c in raw.sections if k == kind] for kind in _KINDS}
    ramdisks = of[3]
    boot = (*of[1], *of[2], *ramdisks[:1])
    numbers = itertools.count()
    made: dict[str, Any] = {
        "format": "strongroom-release/1",
        "version": "1.2.3",
        "source": {"tree": "aa" * 32, "commit": None},
        "eif": {
            "name": "strongroom-1.2.3.eif",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        },
        "pcrs": {
            "0": pcr(*of[1], *of[2], *ramdisks).hex(),
            "1": pcr(*boot).hex(),
            "2": pcr(*ramdisks[1:]).hex(),
        },
        "cmdline": "console=ttyS0",
        "sections": [
            {
                "name": f"ramdisk[{next(numbers)}]" if kind == 3 else _KINDS[kind],
                "type": _KINDS[kind],
                "length": len(content),
                "sha384": hashlib.sha384(content).hexdigest(),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for kind, content in raw.sections
        ],
        "kernel": {
            "version": "6.12.57",
            "sha256": "bb" * 32,
            "config_sha256": "cc" * 32,
            "inputs": {},
        },
        "packages": [],
        "wheels": [],
        "toolchain": [],
        "inputs": {},
        "sbom": {"name": "strongroom-1.2.3.cdx.json", "size": 2, "sha256": "dd" * 32},
        "files": {f"ramdisk[{n}]": _lines(content) for n, content in enumerate(ramdisks)},
    }
    return made | changes


def _lines(ramdisk: bytes) -> list[str]:
    """Returns one line per entry of an archive, read here field by field."""
    data = gzip.decompress(ramdisk) if ramdisk[:2] == b"\x1f\x8b" else ramdisk
    found: list[str] = []
    at = 0
    while data[at : at + 6] == b"070701":
        mode, size, length = (int(data[at + o : at + o + 8], 16) for o in (14, 54, 94))
        name = data[at + 110 : at + 110 + length - 1].decode()
        if name == "TRAILER!!!":
            break
        at += (110 + length + 3) // 4 * 4
        digest = hashlib.sha256(data[at : at + size]).hexdigest()
        found.append(f"{mode:06o} {digest} {name}")
        at += (size + 3) // 4 * 4
    return found


def record_of(raw: Raw | None = None, **changes: Any) -> bytes:
    """Returns the same as the bytes of a file."""
    return json.dumps(record(raw, **changes), indent=2).encode() + b"\n"


def signature(payload: bytes, number: int = 1, kind: str = RELEASE_TYPE) -> dict[str, str]:
    """Returns one member of `signatures`, made after the specification's text."""
    head = f"DSSEv1 {len(kind.encode())} {kind} {len(payload)} ".encode()
    return {
        "keyid": hashlib.sha256(public(number)).hexdigest(),
        "sig": base64.b64encode(key(number).sign(head + payload)).decode(),
    }


def envelope(payload: bytes, *signatures: dict[str, str], kind: str = RELEASE_TYPE) -> bytes:
    """Returns an envelope with these signatures."""
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": list(signatures),
        }
    ).encode()


def sign(payload: bytes, *numbers: int) -> bytes:
    """Returns an envelope signed by these keys, key 1 by default."""
    return envelope(payload, *(signature(payload, number) for number in numbers or (1,)))
