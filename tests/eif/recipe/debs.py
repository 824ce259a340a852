"""Debian packages for tests, put together with struct and tarfile, none of the recipe's code."""

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from strongroom_eif.recipe.pins import Package

__all__ = [
    "CONTROL",
    "PACKERS",
    "Item",
    "ar",
    "deb",
    "directory",
    "file",
    "hard_link",
    "link",
    "member",
    "pin",
    "special",
    "tar",
]

Item = tuple[tarfile.TarInfo, bytes]

CONTROL = b"Package: sample\nVersion: 1:2.0-1\nDescription: short\n long line\n .\n end\n"


def file(name: str, data: bytes = b"", mode: int = 0o644) -> Item:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    return info, data


def directory(name: str, mode: int = 0o755) -> Item:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info, b""


def link(name: str, target: str) -> Item:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info, b""


def hard_link(name: str, target: str) -> Item:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info, b""


def special(name: str, kind: bytes) -> Item:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info, b""


def tar(items: Iterable[Item]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in items:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, data: bytes, *, size: int | None = None, end: bytes = b"`\n") -> bytes:
    digits = b"%d" % (len(data) if size is None else size)
    header = name.encode().ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"100644".ljust(8)
    return header + digits.ljust(10) + end + data + b"\n" * (len(data) % 2)


def ar(*members: bytes) -> bytes:
    return b"!<arch>\n" + b"".join(members)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, 1, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=0),
}


def deb(*items: Item, suffix: str = ".xz", control: bytes = CONTROL) -> bytes:
    """Returns a package that installs `items`."""
    pack = PACKERS[suffix]
    return ar(
        member("debian-binary", b"2.0\n"),
        member(f"control.tar{suffix}", pack(tar([file("./control", control)]))),
        member(f"data.tar{suffix}", pack(tar(items))),
    )


def pin(folder: Path, name: str, *items: Item) -> Package:
    """Writes a package into `folder` under its digest and returns its pin."""
    data = deb(*items)
    digest = hashlib.sha256(data).hexdigest()
    (folder / digest).write_bytes(data)
    return Package(
        name=name,
        version="1",
        architecture="all",
        path=f"pool/main/{name[0]}/{name}/{name}_1_all.deb",
        size=len(data),
        sha256=digest,
        source=name,
    )
