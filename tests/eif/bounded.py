"""Reads hostile images in a process that may hardly allocate (`python -m tests.eif.bounded`).

The kernel counts, so memory that C libraries take is counted too. Prints `bounded` if every image
was refused by a rule, or accepted, without running out.
"""

import gzip
import resource
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from strongroom_eif import EifError, Limits, describe, diff, parse, verify

from tests.eif.mutations import MUTATIONS
from tests.eif.samples import FILE, LINK, NOW, RAMDISK, TRAILER, baseline, cpio_entry

__all__ = ["hostile_images", "main"]

ROOM = 24 << 20
"""Bytes that may be allocated on top of what the loaded code takes."""
LIMITS = Limits(inflated=256 << 20, entries=20_000, names=4 << 20)


def holding(ramdisk: bytes) -> bytes:
    """Returns an image whose second ramdisk is this one."""
    return baseline().but(sections=(*baseline().sections[:4], (RAMDISK, ramdisk))).data()


def packed(pieces: Iterator[bytes]) -> bytes:
    """Returns a gzip member, without ever holding what is in it."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(map(deflater.compress, pieces)) + deflater.flush()


def hostile_images() -> Iterator[bytes]:
    """Yields images that claim, or hold, far more than `ROOM`."""
    base = baseline()
    for number in range(len(base.sections)):
        for size in (1 << 30, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
            yield base.but(own_sizes={number: size}).data()
            yield base.but(own_sizes={number: size}, sizes={number: size}).data()
            yield base.but(sizes={number: size}, offsets={number: size}).data()
    yield holding(cpio_entry(b"f", FILE, size=0xFFFF_FFFF))
    yield holding(cpio_entry(b"l", LINK, size=0xFFFF_FFFF))
    zeros = bytes(1 << 20)
    yield holding(packed(zeros for _ in range(512)))
    for kind in (FILE, LINK):
        head = cpio_entry(b"f", kind, size=200 << 20)
        yield holding(packed(iter([head, *[zeros] * 200, TRAILER])))
    path = b"/".join([b"a" * 255] * 15)
    yield holding(packed(cpio_entry(b"%d/" % n + path, FILE) for n in range(10_000)))
    yield holding(packed(cpio_entry(b"%d" % n, LINK, b"t" * 4_000) for n in range(10_000)))
    yield holding(packed(cpio_entry(b"%d" % n, FILE) for n in range(100_000)))
    yield base.adding((4, b"\x81\xa2\x73signing_certificate\x9b" + b"\xff" * 8)).data()
    yield base.adding((4, b"\x81\xa2\x73signing_certificate\x9a\x00\xff\xff\xff")).data()
    yield base.replacing(2, b"[" * (1 << 20)).data()


def read(data: bytes) -> None:
    """Gives an image to everything that reads one; only our own errors pass."""
    for call in (
        lambda: verify(data, NOW, limits=LIMITS),
        lambda: describe(data, NOW),
        lambda: diff(parse(data), parse(baseline().data()), LIMITS),
    ):
        with suppress(EifError):
            call()


def limit_data() -> None:
    """Lets this process allocate `ROOM` more and nothing beyond."""
    lines = Path("/proc/self/status").read_text().splitlines()
    used = int(next(line.split()[1] for line in lines if line.startswith("VmData"))) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + ROOM, used + ROOM))
    try:
        bytearray(2 * ROOM)
    except MemoryError:
        return
    raise SystemExit("the limit does not hold here")


def main() -> None:
    """Reads all of them, and all mutations."""
    images = list(hostile_images())
    # What is loaded on first use is loaded before the limit is set.
    read(holding(gzip.compress(cpio_entry(b"f", FILE) + TRAILER)))
    limit_data()
    for data in images:
        read(data)
    for mutation in MUTATIONS:
        try:
            mutation.attempt()
        except mutation.error:
            continue
        raise SystemExit(f"{mutation} was accepted")
    sys.stdout.write("bounded\n")


if __name__ == "__main__":
    main()
