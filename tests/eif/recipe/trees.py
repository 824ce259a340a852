"""Small images and ELF files, put together with struct alone, none of the recipe's code."""

import hashlib
import struct
from dataclasses import dataclass, replace

from strongroom_eif import Image, parse

from tests.eif.samples import CMDLINE, KERNEL, Raw, cpio, cpio_entry, metadata

__all__ = [
    "BOOT",
    "DIRECTORY",
    "DIST",
    "FILE",
    "LIBRARIES",
    "LINK",
    "OWN",
    "PROGRAMS",
    "PYTHON",
    "RUN",
    "Entry",
    "elf",
    "image",
    "listed",
    "raw",
]

FILE, RUN, DIRECTORY, LINK, CHARACTER = 0o100644, 0o100755, 0o040755, 0o120777, 0o020600
LIBRARIES = "usr/lib/x86_64-linux-gnu"
DIST = "usr/local/lib/python3.13/dist-packages"


def elf(
    *needed: str,
    interpreter: str = "",
    runpath: str = "",
    kind: int = 3,
    pie: bool = False,
    machine: int = 62,
) -> bytes:
    """Returns a 64-bit ELF file that says this of itself and holds nothing else."""
    texts, places = b"\0", []
    for text in (*needed, runpath):
        places.append(len(texts))
        texts += text.encode() + b"\0"
    dynamic = [(1, at) for at in places[: len(needed)]]
    dynamic += [(29, places[-1])] if runpath else []
    dynamic += [(0x6FFFFFFB, 0x08000000)] if pie else []
    base, segments = 0x10000, 3 if interpreter else 2
    texts_at = 64 + 56 * segments
    dynamic += [(5, base + texts_at), (10, len(texts)), (0, 0)]
    packed = b"".join(struct.pack("<qQ", tag, value) for tag, value in dynamic)
    dynamic_at = texts_at + len(texts)
    loader = interpreter.encode() + b"\0"
    loader_at = dynamic_at + len(packed)
    size = loader_at + len(loader)

    def segment(type_: int, at: int, length: int) -> bytes:
        return struct.pack("<IIQQQQQQ", type_, 4, at, base + at, 0, length, length, 1)

    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", kind, machine, 1, 0, 64, 0, 0, 64, 56, segments, 0, 0, 0,
    )  # fmt: skip
    table = segment(1, 0, size) + segment(2, dynamic_at, len(packed))
    table += segment(3, loader_at, len(loader)) if interpreter else b""
    return head + table + texts + packed + loader


@dataclass(frozen=True)
class Entry:
    """An entry of an archive; `but` changes some of it."""

    path: str
    mode: int
    content: bytes = b""
    uid: int = 0
    mtime: int = 0
    device: tuple[int, int] = (0, 0)

    def but(self, **changes: object) -> "Entry":
        return replace(self, **changes)  # type: ignore[arg-type]

    def packed(self, number: int) -> bytes:
        return cpio_entry(
            self.path.encode(), self.mode, self.content, ino=number, uid=self.uid,
            mtime=self.mtime, device=self.device,
        )  # fmt: skip


def _directories(*paths: str) -> list[Entry]:
    return [Entry(path, DIRECTORY) for path in paths]


PYTHON = Entry(
    "usr/bin/python3.13",
    RUN,
    elf("libc.so.6", interpreter="/lib64/ld-linux-x86-64.so.2", pie=True),
)
BOOT = [
    *_directories("dev", "tmp", "usr", "usr/bin", "usr/lib", LIBRARIES, "usr/lib64", "usr/local"),
    *_directories("usr/local/lib", "usr/local/lib/python3.13", DIST, f"{DIST}/cbor2"),
    Entry("dev/console", CHARACTER, device=(5, 1)),
    Entry("lib", LINK, b"usr/lib"),
    Entry("lib64", LINK, b"usr/lib64"),
    Entry("usr/lib64/ld-linux-x86-64.so.2", LINK, b"../lib/x86_64-linux-gnu/ld.so.2"),
    Entry(f"{LIBRARIES}/ld.so.2", RUN, elf()),
    Entry(f"{LIBRARIES}/libc.so.6", FILE, elf(interpreter="/lib64/ld-linux-x86-64.so.2")),
    PYTHON,
    Entry(f"{DIST}/cbor2/_cbor2.so", FILE, elf("libc.so.6", "libown.so", runpath="$ORIGIN")),
    Entry(f"{DIST}/cbor2/libown.so", FILE, elf("libc.so.6")),
]
"""A tree that breaks no rule."""

OWN = [
    *_directories("usr", "usr/local", "usr/local/lib", "usr/local/lib/python3.13", DIST),
    *_directories(f"{DIST}/strongroom_enclave"),
    Entry("init", LINK, f"{DIST}/strongroom_enclave/main.py".encode()),
    Entry(f"{DIST}/strongroom_enclave/main.py", RUN, b"#!/usr/bin/python3.13 -I\n"),
]
PROGRAMS = (
    "usr/bin/python3.13",
    f"{LIBRARIES}/ld.so.2",
    f"{LIBRARIES}/libc.so.6",
    f"{DIST}/strongroom_enclave/main.py",
)


def raw(boot: list[Entry], own: list[Entry] | None = None) -> Raw:
    """Returns an image of these entries, every field of which may be changed."""
    ramdisks = [
        cpio(*(entry.packed(number) for number, entry in enumerate(part, 1)))
        for part in (boot, OWN if own is None else own)
    ]
    sections = ((1, KERNEL), (2, CMDLINE), (5, metadata()), *((3, r) for r in ramdisks))
    return Raw(sections)


def image(boot: list[Entry], own: list[Entry] | None = None) -> Image:
    """Returns the same, parsed."""
    return parse(raw(boot, own).data())


def listed(boot: list[Entry], own: list[Entry] | None = None) -> dict[str, str]:
    """Returns what an SBOM says of these entries."""
    return {
        entry.path: f"{entry.mode:06o} {hashlib.sha256(entry.content).hexdigest()}"
        for entry in (*boot, *(OWN if own is None else own))
    }
