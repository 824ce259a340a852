"""Sealed openings: what the leaves of a segment commit to, for the holders of one key.

Openings say what was decided, so they leave the owner's folder only encrypted. One key (32 bytes,
`read_key`) serves a whole archive; whoever has it reads all of it, and without it the archived
openings are lost, so it belongs into the hands of more than one person.

The same openings give the same bytes, so that an export can be repeated: the key that encrypts is
derived for these very openings (HKDF-SHA256 over the log, the range and the plaintext's digest), is
used once, and so needs no nonce. The digest discloses nothing, as every opening holds 32 random
bytes.

    at   bytes                              numbers unsigned, little-endian
    0    16     "strongroom/opn/1"
    16   8 x 3  start, end: the segment's range; how many openings are in here
    40   8      identifies the key
    48   32     SHA-256 of the log's origin line
    80   32     SHA-256 of the plaintext
    112         AES-256-GCM: ciphertext and tag; bytes 0 to 111 are authenticated with it

Plaintext: a row of 16 bytes for every leaf, u64 offset in the plaintext and u64 length (0 and 0
where the opening is not known), then the openings, one directly after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from strongroom_wire.encoding import pack

from strongroom_host.archive.errors import OpeningsSealed, SegmentMalformed
from strongroom_host.archive.segments import FULL
from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_private

__all__ = ["KEY_SIZE", "SealedOpenings", "key_id", "open_openings", "read_key", "seal_openings"]

KEY_SIZE: Final = 32
_MAGIC: Final = b"strongroom/opn/1"
_HEADER: Final = struct.Struct("<16sQQQ8s32s32s")
_ROW: Final = struct.Struct("<QQ")
_TAG: Final = 16
_NONCE: Final = bytes(12)  # a key is used for one message
_KEY: Final = b"strongroom/archive/openings-key/v1"
_ID: Final = b"strongroom/archive/openings-key-id/v1"


@dataclass(frozen=True, slots=True)
class SealedOpenings:
    """What the header of sealed openings says, which anybody can read."""

    start: int
    end: int
    known: int
    key_id: bytes
    log: bytes
    plaintext: bytes

    @classmethod
    def parse(cls, data: bytes | memoryview) -> SealedOpenings:
        """The header of sealed openings; what is behind it is for `open_openings`.

        Raises:
            SegmentMalformed: it is none.
        """
        view = memoryview(data)
        least = _HEADER.size + _TAG
        if len(view) >= least:
            magic, start, end, known, *rest = _HEADER.unpack_from(view)
            count = end - start
            if magic == _MAGIC and 0 < count <= FULL and 0 < known <= count:
                if len(view) >= least + count * _ROW.size:
                    return cls(start, end, known, *rest)
        raise SegmentMalformed(
            "no sealed openings", expected=_MAGIC.decode(), actual=bytes(view[:48])
        )


def read_key(path: Path) -> bytes:
    """The key in a file of this user only, as `strongroom archive key` makes it: 64 hex digits.

    Raises:
        BadInput, FileExposed: no such file, open to others, or none.
    """
    try:
        key = bytes.fromhex(read_private(path).decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise BadInput(f"{path} is no key of an archive", expected="64 hexadecimal digits")
    return key


def key_id(key: bytes) -> bytes:
    """8 bytes by which a key is recognised."""
    return sha256(pack(_ID, key)).digest()[:8]


def seal_openings(
    origin: str, start: int, end: int, openings: Mapping[int, bytes], key: bytes
) -> bytes:
    """The sealed openings of leaves `start` up to `end`, as far as they are given: at least one."""
    table, body = bytearray(), bytearray()
    at, known = (end - start) * _ROW.size, 0
    for index in range(start, end):
        opening = openings.get(index, b"")
        table += _ROW.pack(at if opening else 0, len(opening))
        body += opening
        at += len(opening)
        known += bool(opening)
    plaintext = bytes(table + body)
    digest, log = sha256(plaintext).digest(), sha256(origin.encode()).digest()
    header = _HEADER.pack(_MAGIC, start, end, known, key_id(key), log, digest)
    SealedOpenings.parse(header + bytes(_TAG) + plaintext)
    cipher = _cipher(key, header)
    return header + cipher.encrypt(_NONCE, plaintext, header)


def open_openings(data: bytes | memoryview, origin: str, key: bytes) -> dict[int, bytes]:
    """The openings in there by index; whether they belong to the leaves, those say.

    Raises:
        SegmentMalformed: it is none.
        OpeningsSealed: sealed for another log or by another key, or altered.
    """
    found = SealedOpenings.parse(data)
    header, sealed = bytes(data[: _HEADER.size]), bytes(data[_HEADER.size :])
    if found.key_id != key_id(key):
        raise OpeningsSealed(
            "these openings are sealed with another key",
            expected=found.key_id.hex(),
            actual=key_id(key).hex(),
            remedy="give the key whose id this is (`strongroom archive key` prints it)",
        )
    try:
        plaintext = _cipher(key, header).decrypt(_NONCE, sealed, header)
    except InvalidTag as error:
        raise OpeningsSealed("sealed openings were altered") from error
    if found.log != sha256(origin.encode()).digest():
        raise OpeningsSealed("these are another log's openings", expected=origin)
    return dict(_rows(plaintext, found))


def _cipher(key: bytes, header: bytes) -> AESGCM:
    # The header holds the log, the range and the plaintext's digest: no two messages, one key.
    derived = HKDF(SHA256(), KEY_SIZE, None, pack(_KEY, header)).derive(key)
    return AESGCM(derived)


def _rows(plaintext: bytes, found: SealedOpenings) -> Iterator[tuple[int, bytes]]:
    count = found.end - found.start
    following, known = count * _ROW.size, 0
    for place in range(count):
        offset, length = _ROW.unpack_from(plaintext, place * _ROW.size)
        if length:
            if offset != following or following + length > len(plaintext):
                raise SegmentMalformed("a row of openings leads elsewhere", actual=place)
            yield found.start + place, plaintext[offset : offset + length]
            following += length
            known += 1
    if (following, known) != (len(plaintext), found.known):
        raise SegmentMalformed("openings of another number", expected=found.known, actual=known)
