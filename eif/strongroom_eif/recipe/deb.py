"""Reading Debian packages (.deb): an ar archive of control.tar and data.tar, as deb(5) says.

No dpkg takes part and no maintainer script is ever run. What comes out of `entries` has one reading
and stays below the root it is unpacked to: the rules of `strongroom_eif.paths` hold, and special
files, links out of the package by hard link, and sizes beyond bounds are refused. Symbolic links
may point anywhere, as in every root file system, so whoever unpacks must not write through one.
"""

import io
import lzma
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from strongroom_eif.archive_errors import ArchiveError
from strongroom_eif.newc import encoded
from strongroom_eif.paths import FilePolicy, Tree
from strongroom_eif.recipe.errors import DebInvalid

__all__ = ["DebEntry", "EntryKind", "control", "copyright_text", "entries"]

MAX_INFLATED: Final = 4 << 30
"""Bytes that may come out of one package; gcc's are 100 MB, the kernel's source 141 MB."""
MAX_FILE: Final = 512 << 20
MAX_ENTRIES: Final = 200_000
_MAX_HEADERS: Final = 1 << 20
"""Extended tar headers of one entry: tarfile reads them into memory whole."""

_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_FEED: Final = 1 << 16
_PIECE: Final = 1 << 18
_POLICY: Final = FilePolicy(devices=frozenset(), hard_links=True, loose_paths=True)


@unique
class EntryKind(StrEnum):
    """What an entry is; others are refused."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    HARD_LINK = "hard link"


@dataclass(frozen=True, slots=True)
class DebEntry:
    """Something that a package installs.

    Attributes:
        path: Relative to the root: no leading slash, no `.` or `..`, never empty.
        kind: What it is.
        mode: Permissions as the package has them, set-user-ID bits included.
        data: A file's content, else empty.
        target: Of a symbolic link what it says, of a hard link the path of a file that came before.
    """

    path: str
    kind: EntryKind
    mode: int
    data: bytes = b""
    target: str = ""


def entries(path: Path) -> Iterator[DebEntry]:
    """Yields what a package installs, in the package's order (directories before their content).

    Raises:
        DebInvalid: It is malformed or holds what is not allowed.
    """
    tree = Tree(_POLICY)
    files: set[str] = set()
    with _member(path, "data.tar") as stream, _refusing(path), _tar(stream) as archive:
        count = 0
        for info in archive:
            count += 1
            check_count(path, count)
            name = _clean(info.name)
            if not name:
                continue
            kind = _kind(path, info)
            tree.add(name, _TYPE_BITS[kind] | info.mode & 0o7777)
            data, target = b"", ""
            if kind is EntryKind.FILE:
                data = _content(path, archive, info)
                files.add(name)
            elif kind is EntryKind.HARD_LINK:
                target = _clean(info.linkname)
                check_hard_link(path, name, target, files)
                files.add(name)
            elif kind is EntryKind.LINK:
                target = info.linkname
                check_target(path, name, target)
            yield DebEntry(name, kind, info.mode & 0o7777, data, target)
        check_end(path, count, stream)


def control(path: Path) -> dict[str, str]:
    """Returns the control fields: `Package`, `Version`, `Source` (where it differs), ...

    Continuation lines keep their line ends.

    Raises:
        DebInvalid: The package is malformed or has no control file.
    """
    with _member(path, "control.tar") as stream, _refusing(path), _tar(stream) as archive:
        for info in archive:
            if _clean(info.name) == "control" and info.isreg():
                return _fields(path, _content(path, archive, info))
    raise DebInvalid(f"{path.name} has no control file")


def copyright_text(path: Path, name: str) -> str:
    """Returns the copyright file of package `name`; empty if it is a link to another package's.

    Raises:
        DebInvalid: The package is malformed.
    """
    wanted = f"usr/share/doc/{name}/copyright"
    for entry in entries(path):
        if entry.path == wanted and entry.kind is EntryKind.FILE:
            return entry.data.decode("utf-8", "replace")
    return ""


# --- The container -------------------------------------------------------------------------------


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    def pieces(self, data: bytes) -> Iterator[bytes]: ...


class _Stored:
    eof = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Xz:
    def __init__(self) -> None:
        # Debian's packages need 64 MiB at most; the limit keeps a forged one from taking more.
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while not self._inner.eof:
            yield self._inner.decompress(data, _PIECE)
            data = b""
            if self._inner.needs_input:
                break


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data and not self._inner.eof:
            yield self._inner.decompress(data, _PIECE)
            data = self._inner.unconsumed_tail


_COMPRESSION: Final[dict[str, type[_Decompressor]]] = {
    "": _Stored,
    ".gz": _Gzip,
    ".xz": _Xz,
}


class _Inflated(io.RawIOBase):
    """A member's content as a stream that only goes forward and counts what it gives."""

    def __init__(self, path: Path, source: BinaryIO, size: int, inner: _Decompressor) -> None:
        super().__init__()
        self._path, self._source, self._left, self._inner = path, source, size, inner
        self._pieces: Iterator[bytes] = iter(())
        self._waiting = memoryview(b"")
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._next()
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        self._waiting = piece[count:]
        return count

    def _next(self) -> memoryview:
        """Returns bytes, empty at the end only."""
        while not self._waiting:
            piece = next(self._pieces, None)
            if piece is None:
                fed = self._source.read(min(_FEED, self._left))
                if not fed:
                    check_complete(self._path, self._left, self._inner.eof)
                    return memoryview(b"")
                self._left -= len(fed)
                self._pieces = self._inner.pieces(fed)
                continue
            self._given += len(piece)
            check_inflated(self._path, self._given)
            self._waiting = memoryview(piece)
        return self._waiting


@contextmanager
def _member(path: Path, wanted: str) -> Iterator[_Inflated]:
    """Gives the content of the member `wanted`, whatever it is compressed with."""
    try:
        source = path.open("rb")
    except OSError as error:
        raise DebInvalid(
            f"cannot read {path}: {error.strerror or error}",
            remedy="check the path and its permissions",
        ) from error
    with source:
        check_magic(path, source.read(len(_MAGIC)))
        while header := source.read(_HEADER_BYTES):
            name, size = _member_header(path, header)
            stem, suffix = name[: len(wanted)], name[len(wanted) :]
            if stem == wanted:
                check_compression(path, suffix)
                yield _Inflated(path, source, size, _COMPRESSION[suffix]())
                return
            source.seek(size + size % 2, io.SEEK_CUR)
    raise DebInvalid(f"{path.name} has no member {wanted}", expected=wanted)


def _member_header(path: Path, header: bytes) -> tuple[str, int]:
    """Returns a member's name and size from its 60 bytes (ar(5), without GNU's long names)."""
    name, digits = header[:16].rstrip(b" "), header[48:58].rstrip(b" ")
    check_member_header(path, header, name, digits)
    return name.removesuffix(b"/").decode("ascii"), int(digits)


def _tar(stream: _Inflated) -> tarfile.TarFile:
    # "r|": forward only, so nothing but this stream's bounded pieces is ever in memory.
    return tarfile.open(
        fileobj=io.BufferedReader(stream, _PIECE),
        mode="r|",
        tarinfo=_BoundedInfo,
        encoding="utf-8",
        errors="surrogateescape",
    )


class _BoundedInfo(tarfile.TarInfo):
    """Refuses what tarfile would take: extended headers of any size, and an archive that breaks off
    where a header should be, which it reads as the end.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_BoundedInfo":
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                raise
            raise ValueError(f"no entry and no end where one has to be: {error}") from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and not 0 <= self.size <= _MAX_HEADERS:
            raise tarfile.ReadError("an extended header is larger than a megabyte")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]


_EXTENDED: Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turns what tarfile, the decompressors and our own path rules raise into `DebInvalid`."""
    try:
        yield
    except ArchiveError as error:
        raise DebInvalid(
            f"{path.name}: {error}", expected=error.expected, actual=error.actual
        ) from error
    except (
        tarfile.TarError,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        OverflowError,
        RecursionError,
        ValueError,
    ) as error:
        raise DebInvalid(f"{path.name} is damaged: {ascii(str(error))[1:-1]}") from error


# --- Entries -------------------------------------------------------------------------------------

_TYPE_BITS: Final = {
    EntryKind.FILE: stat.S_IFREG,
    EntryKind.HARD_LINK: stat.S_IFREG,
    EntryKind.DIRECTORY: stat.S_IFDIR,
    EntryKind.LINK: stat.S_IFLNK,
}


def _clean(name: str) -> str:
    """Returns a path without the `./` that dpkg-deb puts in front; empty for the root itself."""
    return name.removeprefix("./") if name not in (".", "./") else ""


def _kind(path: Path, info: tarfile.TarInfo) -> EntryKind:
    if info.isreg() and not info.issparse():
        return EntryKind.FILE
    if info.isdir():
        return EntryKind.DIRECTORY
    if info.issym():
        return EntryKind.LINK
    if info.islnk():
        return EntryKind.HARD_LINK
    raise DebInvalid(
        f"{path.name}: {info.name!a} is neither file, directory nor link", actual=info.type
    )


def _content(path: Path, archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    check_file_size(path, info)
    stream = archive.extractfile(info)
    data = bytearray()
    # In pieces: read(size) would take the memory before there is anything to put there. Where the
    # archive ends inside the file, tarfile itself raises.
    while stream is not None and (piece := stream.read(min(_PIECE, info.size - len(data)))):
        data += piece
    return bytes(data)


def _fields(path: Path, text: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in text.decode("utf-8", "replace").splitlines():
        if line[:1] in (" ", "\t") and last:
            fields[last] += f"\n{line}"
        elif line.strip():
            last, colon, value = line.partition(":")
            check_field(path, line, last, colon, fields)
            fields[last] = value.strip()
    return fields


# --- Rules ---------------------------------------------------------------------------------------


def check_magic(path: Path, found: bytes) -> None:
    """Refuses what is no ar archive."""
    if found != _MAGIC:
        raise DebInvalid(f"{path.name} is no Debian package", expected=_MAGIC, actual=found)


def check_member_header(path: Path, header: bytes, name: bytes, digits: bytes) -> None:
    """Refuses a member header that ar(5) does not describe."""
    if (
        len(header) != _HEADER_BYTES
        or header[58:] != b"`\n"
        or not digits.isdigit()
        or not name.isascii()
    ):
        raise DebInvalid(f"{path.name}: a member's header is malformed", actual=header)


def check_compression(path: Path, suffix: str) -> None:
    """Refuses what Debian's archive does not use for the packages we pin."""
    if suffix not in _COMPRESSION:
        raise DebInvalid(
            f"{path.name} is compressed in a way that is not supported",
            expected=", ".join(filter(None, _COMPRESSION)),
            actual=suffix,
            remedy="pin the package as Debian's archive has it",
        )


def check_complete(path: Path, left: int, ended: bool) -> None:
    """Refuses a member that is cut off."""
    if left or not ended:
        raise DebInvalid(f"{path.name} is cut off")


def check_inflated(path: Path, count: int) -> None:
    """Bounds what comes out of a package."""
    if count > MAX_INFLATED:
        raise DebInvalid(f"{path.name} holds more than {MAX_INFLATED} bytes")


def check_count(path: Path, count: int) -> None:
    """Bounds the number of entries."""
    if count > MAX_ENTRIES:
        raise DebInvalid(f"{path.name} holds more than {MAX_ENTRIES} entries")


def check_file_size(path: Path, info: tarfile.TarInfo) -> None:
    """Bounds a file before it is read into memory."""
    if not 0 <= info.size <= MAX_FILE:
        raise DebInvalid(
            f"{path.name}: {info.name!a} is too large", expected=MAX_FILE, actual=info.size
        )


def check_hard_link(path: Path, name: str, target: str, files: set[str]) -> None:
    """Proves that a hard link's target is a file that the same package brought before."""
    if target not in files:
        raise DebInvalid(
            f"{path.name}: {name!a} is a hard link to {target!a}, which is no earlier file of it"
        )


def check_target(path: Path, name: str, target: str) -> None:
    """Refuses a link that no system call would make."""
    if not target or "\0" in target or len(encoded(target)) > 4_095:
        raise DebInvalid(f"{path.name}: the link {name!a} has an impossible target")


def check_end(path: Path, count: int, stream: _Inflated) -> None:
    """Reads to the member's end, so that damage after the last entry shows, and wants entries."""
    while stream.read(_PIECE):
        pass
    if not count:
        raise DebInvalid(f"{path.name} installs nothing")


def check_field(path: Path, line: str, name: str, colon: str, fields: dict[str, str]) -> None:
    """Refuses a line that is no field, and a field that occurs twice."""
    if not colon or not name or name in fields:
        raise DebInvalid(f"{path.name}: malformed control file", actual=ascii(line[:80]))
