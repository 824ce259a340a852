"""Images made by hand: bytes put together with struct alone, none of the library's code.

So a fault that reader and writer share shows here. `Raw` holds every field of the file, also those
that the library computes, and a test changes the one it is about.
"""

import gzip
import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

__all__ = [
    "CMDLINE",
    "CURVES",
    "KERNEL",
    "NOW",
    "RAMDISKS",
    "Raw",
    "baseline",
    "certificate",
    "cpio",
    "cpio_entry",
    "kernel",
    "key",
    "metadata",
    "signature_section",
    "with_crc",
]

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KERNEL_SECTION, CMDLINE_SECTION, RAMDISK, SIGNATURE, METADATA = 1, 2, 3, 4, 5
CURVES: dict[str, Any] = {
    "P-256": (ec.SECP256R1(), hashes.SHA256(), -7, 32),
    "P-384": (ec.SECP384R1(), hashes.SHA384(), -35, 48),
    "P-521": (ec.SECP521R1(), hashes.SHA512(), -36, 66),
}


def kernel(body: bytes = b"", *, version: bytes = b"6.12.57 (build@host) #1 SMP") -> bytes:
    """Returns the first sectors of a bzImage, boot protocol 2.15."""
    head = bytearray(0x300)
    head[0x1FE:0x206] = b"\x55\xaa\xeb\x6aHdrS"
    struct.pack_into("<H", head, 0x206, 0x020F)
    struct.pack_into("<H", head, 0x20E, 0x60)
    struct.pack_into("<I", head, 0x238, 2047)
    head[0x260 : 0x260 + len(version)] = version
    return bytes(head) + body


def cpio_entry(
    path: bytes,
    mode: int,
    content: bytes = b"",
    *,
    ino: int = 1,
    uid: int = 0,
    gid: int = 0,
    nlink: int = 1,
    mtime: int = 0,
    device: tuple[int, int] = (0, 0),
    check: int = 0,
    magic: bytes = b"070701",
    terminator: bytes = b"\0",
    size: int | None = None,
    pad: bytes = b"\0",
) -> bytes:
    """Returns one newc entry, padding included."""
    name = path + terminator
    values = (
        ino, mode, uid, gid, nlink, mtime, len(content) if size is None else size, 0, 0,
        *device, len(name), check,
    )  # fmt: skip
    head = magic + b"".join(b"%08X" % value for value in values) + name
    return head + pad * (-len(head) % 4) + content + pad * (-len(content) % 4)


TRAILER = cpio_entry(b"TRAILER!!!", 0, ino=0)


def cpio(*entries: bytes, trailer: bytes = TRAILER) -> bytes:
    """Returns an archive of entries."""
    return b"".join(entries) + trailer


FILE, DIRECTORY, LINK, CHARACTER = 0o100644, 0o040755, 0o120777, 0o020600

BOOT_RAMDISK = cpio(
    cpio_entry(b"dev", DIRECTORY),
    cpio_entry(b"dev/console", CHARACTER, device=(5, 1), ino=2),
    cpio_entry(b"init", 0o100755, b"\x7fELF init", ino=3),
)
APPLICATION = cpio(
    cpio_entry(b"app", DIRECTORY),
    cpio_entry(b"app/main.py", FILE, b"print('hello')\n", ino=2),
    cpio_entry(b"app/run", LINK, b"main.py", ino=3),
)

KERNEL = kernel(b"kernel code")
CMDLINE = b"reboot=t panic=1 console=ttyS0"
RAMDISKS = (BOOT_RAMDISK, gzip.compress(APPLICATION, mtime=0))


def metadata(**changes: object) -> bytes:
    """Returns a metadata section."""
    build = {
        "BuildTime": "1970-01-01T00:00:00Z",
        "BuildTool": "by hand",
        "BuildToolVersion": "0",
        "OperatingSystem": "Linux",
        "KernelVersion": "6.12.57",
    }
    members: dict[str, object] = {
        "ImageName": "sample",
        "ImageVersion": "1.2.3",
        "BuildMetadata": build,
        "DockerInfo": None,
        "CustomMetadata": None,
    }
    return json.dumps(members | changes, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Raw:
    """Every field of an EIF. What is None is computed as it should be."""

    sections: tuple[tuple[int, bytes], ...] = ()
    magic: bytes = b".eif"
    version: int = 4
    flags: int = 0
    mem: int = 1 << 30
    cpus: int = 2
    reserved: int = 0
    count: int | None = None
    offsets: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    own_sizes: dict[int, int] = field(default_factory=dict)
    section_flags: dict[int, int] = field(default_factory=dict)
    gaps: dict[int, bytes] = field(default_factory=dict)
    unused: int = 0
    crc: int | None = None
    tail: bytes = b""

    def but(self, **changes: Any) -> "Raw":
        return replace(self, **changes)

    def replacing(self, number: int, data: bytes) -> "Raw":
        sections = list(self.sections)
        sections[number] = (sections[number][0], data)
        return replace(self, sections=tuple(sections))

    def adding(self, *sections: tuple[int, bytes]) -> "Raw":
        return replace(self, sections=(*self.sections, *sections))

    def data(self) -> bytes:
        offsets, sizes = [0] * 32, [0] * 32
        body, at = b"", 548
        for number, (kind, content) in enumerate(self.sections):
            gap = self.gaps.get(number, b"")
            own = self.own_sizes.get(number, len(content))
            head = struct.pack(">HHQ", kind, self.section_flags.get(number, 0), own)
            if number < 32:
                offsets[number], sizes[number] = at + len(gap), own
            body += gap + head + content
            at += len(gap) + 12 + len(content)
        for number, value in self.offsets.items():
            offsets[number] = value
        for number, value in self.sizes.items():
            sizes[number] = value
        count = len(self.sections) if self.count is None else self.count
        head = struct.pack(
            ">4sHHQQHH32Q32QI", self.magic, self.version, self.flags, self.mem, self.cpus,
            self.reserved, count, *offsets, *sizes, self.unused,
        )  # fmt: skip
        rest = body + self.tail
        crc = zlib.crc32(rest, zlib.crc32(head)) if self.crc is None else self.crc
        return head + struct.pack(">I", crc) + rest


def baseline() -> Raw:
    """Returns an unsigned image with two ramdisks, in the order of AWS's builder."""
    return Raw(
        (
            (KERNEL_SECTION, KERNEL),
            (CMDLINE_SECTION, CMDLINE),
            (METADATA, metadata()),
            (RAMDISK, RAMDISKS[0]),
            (RAMDISK, RAMDISKS[1]),
        )
    )


def with_crc(data: bytes) -> bytes:
    """Returns a file with the checksum that its other bytes call for."""
    return (
        data[:0x220]
        + struct.pack(">I", zlib.crc32(data[0x224:], zlib.crc32(data[:0x220])))
        + (data[0x224:])
    )


def pcr(*contents: bytes) -> bytes:
    """Returns a PCR by the formula, on its own."""
    return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(contents)).digest()).digest()


@cache
def key(curve: str = "P-384", number: int = 1) -> ec.EllipticCurvePrivateKey:
    """Returns a throw-away key, the same all through a run."""
    return ec.derive_private_key(1_000_003 + number, CURVES[curve][0])


@cache
def certificate(
    curve: str = "P-384",
    number: int = 1,
    *,
    start: datetime = NOW - timedelta(days=30),
    end: datetime = NOW + timedelta(days=335),
    name: str = "signer",
) -> bytes:
    """Returns a self-signed certificate in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    private = key(curve, number)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(number)
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(private, hashes.SHA384(), ecdsa_deterministic=True)
        .public_bytes(Encoding.PEM)
    )


def signature_section(
    pcr0: bytes,
    curve: str = "P-384",
    *,
    pem: bytes | None = None,
    protected: bytes | None = None,
    payload: bytes | None = None,
    raw: bytes | None = None,
    unprotected: object = None,
    index: int = 0,
) -> bytes:
    """Returns a signature section, encoded by cbor2 and signed here."""
    _, digest, algorithm, width = CURVES[curve]
    if protected is None:
        protected = cbor2.dumps({1: algorithm})
    if payload is None:
        payload = cbor2.dumps({"register_index": index, "register_value": list(pcr0)})
    if raw is None:
        signed = cbor2.dumps(["Signature1", protected, b"", payload])
        halves = decode_dss_signature(
            key(curve).sign(signed, ec.ECDSA(digest, deterministic_signing=True))
        )
        raw = b"".join(half.to_bytes(width, "big") for half in halves)
    cose = cbor2.dumps([protected, unprotected or {}, payload, raw])
    pem = certificate(curve) if pem is None else pem
    return cbor2.dumps([{"signing_certificate": list(pem), "signature": list(cose)}])
