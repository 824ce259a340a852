"""The evidence of each boot of a log, kept beside its leaves: `boots/<boot id in hex>.json`.

A log's checkpoints are signed by keys that live as long as a boot. Which image and manifest held
such a key, the boot's evidence proves, now and in ten years: the attestation document, the bundle
of keys that it commits to, and the owners' signed manifest. All of it is public and believed
nothing here; who uses it verifies it each time (`attested`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from strongroom_wire.bundle import Bundle
from strongroom_wire.errors import WireError

from strongroom_host.errors import BadInput
from strongroom_host.log.errors import LogDamaged, LogUnwritable
from strongroom_host.private_files import read_file, write_atomic

__all__ = [
    "BOOTS",
    "BOOTS_INDEX",
    "MAX_BOOT",
    "Boots",
    "StoredBoot",
    "boot_path",
    "parse_boot_path",
    "parse_index",
]

BOOTS: Final = "boots"
BOOTS_INDEX: Final = "boots/index"
"""Names each boot of which there is evidence, so that any file server can serve a log's folder."""
MAX_BOOT: Final = 2 << 20
"""Upper bound of a boot's file in bytes: a document, a bundle and a signed manifest in base64."""
_PATH: Final = re.compile(rf"{BOOTS}/([0-9a-f]{{64}})\.json")
_REMEDY: Final = "fetch the boot's evidence again while it runs, or take it from another copy"


class StoredBoot(Struct, frozen=True):
    """One boot's evidence as it was fetched; see `attested` for what it proves.

    Attributes:
        document: The platform's attestation document.
        bundle: The canonical `Bundle` that the document commits to.
        manifest: The canonical `Statement`: the manifest with its owners' signatures.
        fetched_ms: When it was fetched, by the clock of who did, in ms since the epoch.
        nonce: The challenge it answers, or nothing where whoever stored it did not keep it.
        note: The newest head that it signed, or nothing where that is not kept apart: a later boot
            vouches for the leaves before it by the word of its owners only.
    """

    document: bytes
    bundle: bytes
    manifest: bytes
    fetched_ms: int
    nonce: bytes = b""
    note: bytes = b""

    @property
    def boot_id(self) -> bytes:
        """Which boot it says it is of, 32 bytes.

        Raises:
            LogDamaged: the bundle is none.
        """
        try:
            return Bundle.parse(self.bundle).boot_id
        except WireError as error:
            raise LogDamaged("a boot's bundle is malformed", actual=error) from error

    def serialise(self) -> bytes:
        """Returns the file's bytes."""
        return msgspec.json.format(msgspec.json.encode(_File.of(self)), indent=2) + b"\n"

    @classmethod
    def parse(cls, data: bytes, boot_id: bytes | None = None) -> StoredBoot:
        """Returns what is in the file of the boot with that id, or of whichever boot it is.

        Raises:
            LogDamaged: too long, not such a file, or another boot's.
        """
        if len(data) > MAX_BOOT:
            raise LogDamaged("a boot's file is too long", expected=MAX_BOOT, actual=len(data))
        try:
            found = msgspec.json.decode(data, type=_File).boot
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            which = f" {boot_id.hex()[:16]}" if boot_id else ""
            raise LogDamaged(
                f"the evidence of boot{which} cannot be read",
                actual=error,
                remedy=_REMEDY,
            ) from error
        if boot_id not in (None, found.boot_id):
            raise LogDamaged(
                "a boot's file holds the evidence of another boot",
                expected=(boot_id or b"").hex(),
                actual=found.boot_id.hex(),
                remedy=_REMEDY,
            )
        return found


class _File(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file: the fields of `StoredBoot`, bytes in base64."""

    format: Literal["strongroom-boot/1"]
    fetched_ms: Annotated[int, Meta(ge=0, lt=1 << 53)]
    nonce: bytes
    document: bytes
    bundle: bytes
    manifest: bytes
    note: bytes = b""

    @classmethod
    def of(cls, boot: StoredBoot) -> _File:
        return cls(
            "strongroom-boot/1",
            boot.fetched_ms,
            boot.nonce,
            boot.document,
            boot.bundle,
            boot.manifest,
            boot.note,
        )

    @property
    def boot(self) -> StoredBoot:
        parts = self.document, self.bundle, self.manifest
        return StoredBoot(*parts, self.fetched_ms, self.nonce, self.note)


class Boots:
    """The boots whose evidence is in a log's folder. Any number of processes read and add."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the log's own; nothing is made before the first `add`."""
        self._folder = folder

    def add(self, boot: StoredBoot) -> None:
        """Stores one boot's evidence, durably, in the place of what was known of it before.

        The newest is the one to keep: its bundle names the largest head. It should be verified
        already, so that nothing false takes the place of something true. Without a note, it keeps
        the one that is there.

        Raises:
            LogDamaged: it would not read back.
            LogUnwritable: it cannot be written; what was there still is.
        """
        boot_id = boot.boot_id
        if not boot.note and (path := self._folder / boot_path(boot_id)).is_file():
            with suppress(LogDamaged, BadInput):  # what is damaged is replaced
                known = StoredBoot.parse(read_file(path, limit=MAX_BOOT), boot_id)
                boot = msgspec.structs.replace(boot, note=known.note)
        data = boot.serialise()
        StoredBoot.parse(data, boot_id)
        try:
            write_atomic(self._folder / boot_path(boot_id), data)
            write_atomic(self._folder / BOOTS_INDEX, self.index())
        except BadInput as error:
            raise LogUnwritable(error.what, remedy=error.remedy) from error

    def get(self, boot_id: bytes) -> StoredBoot | None:
        """The evidence of the boot with this id (32 bytes), or None where none is stored.

        Raises:
            LogDamaged: what is stored is not that.
        """
        path = self._folder / boot_path(boot_id)
        if not path.is_file():
            return None
        try:
            data = read_file(path, limit=MAX_BOOT)
        except BadInput as error:
            raise LogDamaged(error.what, expected=error.expected, remedy=_REMEDY) from error
        return StoredBoot.parse(data, boot_id)

    def ids(self) -> tuple[bytes, ...]:
        """Of which boots there is a file, whatever is in it."""
        names = (f"{BOOTS}/{path.name}" for path in (self._folder / BOOTS).glob("*.json"))
        found = (parse_boot_path(name) for name in names)
        return tuple(sorted(boot_id for boot_id in found if boot_id is not None))

    def index(self) -> bytes:
        """What is at `BOOTS_INDEX`: the boot ids in hex, a line each."""
        return "".join(f"{boot_id.hex()}\n" for boot_id in self.ids()).encode()

    def __iter__(self) -> Iterator[StoredBoot]:
        """Every boot's evidence, by boot id.

        Raises:
            LogDamaged: see `get`.
        """
        for boot_id in self.ids():
            boot = self.get(boot_id)
            if boot is not None:
                yield boot


def boot_path(boot_id: bytes) -> str:
    """Where a boot's evidence is, relative to the log's prefix, in a folder and over HTTP."""
    return f"{BOOTS}/{boot_id.hex()}.json"


def parse_boot_path(path: str) -> bytes | None:
    """The boot id in such a path, or None where it is no such path."""
    match = _PATH.fullmatch(path)
    return None if match is None else bytes.fromhex(match[1])


def parse_index(data: bytes) -> tuple[bytes, ...]:
    """Returns the boot ids in an index.

    Raises:
        LogDamaged: it is none.
    """
    lines = data.decode("ascii", "replace").split("\n")
    found = [parse_boot_path(f"{BOOTS}/{line}.json") for line in lines[:-1]]
    ids = tuple(boot_id for boot_id in found if boot_id is not None)
    if lines[-1] or len(ids) != len(found):
        raise LogDamaged("the index of the boots is malformed", actual=data[:200])
    return ids
