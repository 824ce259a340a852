"""What an ELF file of the image says it is: a program or a library, and which libraries it needs.

64-bit little-endian only, as everything on x86-64 is. Offsets and sizes come from the file and are
checked before use; nothing is loaded.
"""

import struct
from dataclasses import dataclass
from typing import Final

from strongroom_eif.recipe.content_errors import ElfUnreadable, WrongMachine

__all__ = ["MAGIC", "Elf", "read_elf"]

MAGIC: Final = b"\x7fELF"

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_CLASS64, _LITTLE, _X86_64 = 2, 1, 62
_ET_EXEC = 2
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_NULL, _NEEDED, _STRTAB, _STRSZ, _RPATH, _RUNPATH, _FLAGS_1 = 0, 1, 5, 10, 15, 29, 0x6FFFFFFB
_DF_1_PIE: Final = 0x08000000
_MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True)
class Elf:
    """What there is to know of an ELF file without loading it.

    Attributes:
        program: It can be started: at a fixed address, position-independent, or with a loader.
        interpreter: The loader that the kernel starts it with, absolute; empty if none.
        needed: Names of the libraries that it is linked against.
        search: Folders where it looks for them first, as written: `$ORIGIN/../cbor2.libs`.
    """

    program: bool
    interpreter: str
    needed: tuple[str, ...]
    search: tuple[str, ...]


def read_elf(data: bytes, path: str) -> Elf:
    """Returns what an ELF file says of itself.

    Args:
        data: The whole file.
        path: For messages.

    Raises:
        WrongMachine: It is for other processors.
        ElfUnreadable: It is cut off, or its tables point outside.
    """
    try:
        return _read(data, path)
    except (struct.error, IndexError, ValueError) as error:
        raise ElfUnreadable(f"{path} is no complete ELF file: {error}") from error


def _read(data: bytes, path: str) -> Elf:
    ident, kind, machine, _, _, segments_at, _, _, _, each, count, *_ = _HEADER.unpack_from(data)
    if (ident[4], ident[5], machine) != (_CLASS64, _LITTLE, _X86_64):
        raise WrongMachine(f"{path} is for another machine", expected="x86-64 (62)", actual=machine)
    loads, dynamic, interpreter = [], b"", ""
    for number in range(count):
        segment = _cut(data, segments_at + number * each, _SEGMENT.size, path)
        type_, _, offset, address, _, size, _, _ = _SEGMENT.unpack(segment)
        if type_ == _PT_LOAD:
            loads.append((address, offset, size))
        elif type_ == _PT_DYNAMIC:
            dynamic = _cut(data, offset, size, path)
        elif type_ == _PT_INTERP:
            interpreter = _cut(data, offset, size, path).rstrip(b"\0").decode()
    entries = list(_dynamic(dynamic))
    values = dict(entries)
    texts = b""
    if _STRTAB in values:
        texts = _cut(data, _offset(values[_STRTAB], loads, path), values.get(_STRSZ, 0), path)
    search = [_text(texts, at) for tag, at in entries if tag in (_RPATH, _RUNPATH)]
    return Elf(
        program=kind == _ET_EXEC or bool(interpreter) or bool(values.get(_FLAGS_1, 0) & _DF_1_PIE),
        interpreter=interpreter,
        needed=tuple(_text(texts, at) for tag, at in entries if tag == _NEEDED),
        search=tuple(folder for text in search for folder in text.split(":") if folder),
    )


def _dynamic(data: bytes) -> list[tuple[int, int]]:
    entries = []
    for tag, value in _DYNAMIC.iter_unpack(data[: len(data) // 16 * 16]):
        if tag == _NULL:
            break
        entries.append((tag, value))
    return entries


def _offset(address: int, loads: list[tuple[int, int, int]], path: str) -> int:
    for start, offset, size in loads:
        if start <= address < start + size:
            return offset + address - start
    raise ElfUnreadable(f"{path} has its texts at {address:#x}, which nothing loads")


def _cut(data: bytes, offset: int, size: int, path: str) -> bytes:
    if offset + size > len(data):
        raise ElfUnreadable(f"{path} is cut off", expected=offset + size, actual=len(data))
    return data[offset : offset + size]


def _text(texts: bytes, at: int) -> str:
    end = texts.index(b"\0", at, at + _MAX_TEXT) if at < len(texts) else -1
    if end < 0:
        raise IndexError(f"text {at} of {len(texts)}")
    return texts[at:end].decode()
