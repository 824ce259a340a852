"""The pinned release keys: whose signatures make a release, how many, and until when.

`reproducible-build/releases/keys.json` of the source tree that this program runs from. It is part
of what an auditor reads: whoever can change it decides which releases count. A key beside a
downloaded release proves nothing, so none is ever looked for there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta, Struct

from strongroom_host.private_files import read_file, write_atomic
from strongroom_host.trust.dsse import key_id
from strongroom_host.trust.release_errors import KeysMalformed

__all__ = ["CHECKOUT", "PINNED_KEYS", "KeyEntry", "KeyRing", "Revocation", "Role"]

CHECKOUT: Final = Path(__file__).resolve().parents[3]
"""The source tree that this module was loaded from; meaningless for an installed wheel."""
PINNED_KEYS: Final = CHECKOUT / "reproducible-build" / "releases" / "keys.json"

Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Role = Literal["release", "rebuild"]
"""`release`: who publishes. `rebuild`: who built it on another machine and got the same bytes."""


class Revocation(Struct, frozen=True, forbid_unknown_fields=True):
    """When and why a key stopped counting, for all it ever signed."""

    at: datetime
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class KeyEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One Ed25519 key, in force from `not_before` until before `not_after`."""

    id: Hex32
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    role: Role
    public: Hex32
    not_before: datetime
    not_after: datetime
    revoked: Revocation | None

    @classmethod
    def of(
        cls, public: bytes, name: str, role: Role, not_before: datetime, not_after: datetime
    ) -> "KeyEntry":
        """Returns the entry of a new key."""
        return cls(key_id(public), name, role, public.hex(), not_before, not_after, None)

    def in_force(self, at: datetime) -> bool:
        """Returns whether `at` lies within the key's life; revocation is another question."""
        return self.not_before <= at < self.not_after


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["strongroom-release-keys/1"]
    threshold: dict[Role, Annotated[int, Meta(ge=0, le=32)]]
    keys: Annotated[tuple[KeyEntry, ...], Meta(max_length=256)]


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by id, and how many different ones of each role have to sign."""

    keys: Mapping[str, KeyEntry]
    threshold: Mapping[Role, int]

    @classmethod
    def of(cls, keys: Iterable[KeyEntry], threshold: Mapping[Role, int]) -> "KeyRing":
        """Returns the ring after proving that it asks for at least one signature of a release key.

        No key at all is allowed: then nothing is accepted, which is right before the first one.

        Raises:
            KeysMalformed: An id that is not its key's, a key that stands twice, an unusable key, a
                life that ends before it begins or has no time zone, or a threshold below one.
        """
        found: dict[str, KeyEntry] = {}
        for entry in keys:
            _check_entry(entry)
            if entry.id in found:
                raise _malformed(f"the key {entry.id} stands there twice")
            found[entry.id] = entry
        if threshold.get("release", 0) < 1:
            raise _malformed(
                "the threshold lets a release pass without any signature",
                expected="at least 1 for the role release",
                actual=threshold.get("release"),
            )
        return cls(found, dict(threshold))

    @classmethod
    def parse(cls, data: bytes, source: str = "keys") -> "KeyRing":
        """Returns the ring in `data`.

        Raises:
            KeysMalformed: See `of`, or it is no such file.
        """
        try:
            read = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _malformed(f"{source} is not a file of release keys: {error}") from error
        return cls.of(read.keys, read.threshold)

    @classmethod
    def load(cls, path: Path | None = None) -> "KeyRing":
        """Returns the ring in a file, by default the one that this source tree pins.

        Raises:
            KeysMalformed: See `of`.
            BadInput: The file cannot be read.
        """
        if path is None and not PINNED_KEYS.is_file():
            raise KeysMalformed(
                "this installation has no source tree with pinned release keys",
                expected=str(PINNED_KEYS),
                remedy="name the file: --keys reproducible-build/releases/keys.json of a checkout"
                " that you trust",
            )
        chosen = path or PINNED_KEYS
        return cls.parse(read_file(chosen), str(chosen))

    def with_key(self, entry: KeyEntry) -> "KeyRing":
        """Returns the ring with one key more.

        Raises:
            KeysMalformed: It is in there already.
        """
        return KeyRing.of((*self.keys.values(), entry), self.threshold)

    def serialise(self) -> bytes:
        """Returns the file's bytes."""
        file = _File("strongroom-release-keys/1", dict(self.threshold), tuple(self.keys.values()))
        return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"

    def save(self, path: Path) -> None:
        """Replaces the file in one step."""
        write_atomic(path, self.serialise())


def _check_entry(entry: KeyEntry) -> None:
    public = bytes.fromhex(entry.public)
    if entry.id != key_id(public):
        raise _malformed(
            f"the id of the key {entry.name!r} is not its key's",
            expected=key_id(public),
            actual=entry.id,
        )
    try:
        Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise _malformed(f"the key {entry.name!r} is no Ed25519 key: {error}") from error
    moments = [entry.not_before, entry.not_after, *([entry.revoked.at] if entry.revoked else [])]
    if any(moment.tzinfo is None for moment in moments):
        raise _malformed(f"a time of the key {entry.name!r} has no zone", expected="UTC: ...Z")
    if not entry.not_before.astimezone(UTC) < entry.not_after.astimezone(UTC):
        raise _malformed(
            f"the key {entry.name!r} ends before it begins",
            expected=f"after {entry.not_before.isoformat()}",
            actual=entry.not_after.isoformat(),
        )


def _malformed(what: str, *, expected: object = None, actual: object = None) -> KeysMalformed:
    return KeysMalformed(
        what,
        expected=expected,
        actual=actual,
        remedy="take reproducible-build/releases/keys.json from a checkout that you trust",
    )
