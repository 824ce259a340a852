"""Leaves of a log: what happened, in which boot, at which place, and a commitment to the details.

A leaf is public, so it holds nothing that discloses. The details are its *record*, and it commits
to them under a salt of its own: commitment = SHA-256 over domain and *opening*, the opening being
32 random bytes and the record. Whoever is handed the opening can check it, and nobody can guess it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from msgspec import Struct

from strongroom_wire.bundle import LogHead
from strongroom_wire.encoding import digest, emit, member, pack, u32, u64, uint, unpack_fields
from strongroom_wire.errors import Malformed, Rule, WireError
from strongroom_wire.frames import Reply
from strongroom_wire.statements import Action

__all__ = ["MAX_LEAF", "Boot", "Decision", "Kind", "Leaf", "ModelDecision"]
__all__ += ["WrongOpening", "commitment"]

_LEAF = b"strongroom/leaf/v1"
_BOOT = b"strongroom/leaf/boot/v1"
_DECISION = b"strongroom/leaf/decision/v1"
_MODEL = b"strongroom/leaf/model/v1"
_COMMITMENT = b"strongroom/leaf/commitment/v1"
_SALT = 32
MAX_LEAF = 1024  # bytes; the leaf of a decision has 112 or 113


class WrongOpening(WireError):
    """An opening does not belong to the leaf: another one's, or altered."""


class Kind(IntEnum):
    """What happened, what the leaf says of it in public, and its record.

    BOOT is the first leaf of an epoch, and only that: a `Boot`; the signed start permit. KEY, an
    order about a key was obeyed (to enrol one: begun, and the venue may refuse): u8 `Action`; the
    signed order. SIGNED, orders were approved, counted and signed, a whole batch, or cancels were:
    nothing; a `Decision`. DENIED, they were refused: u8 `Rule`, NONE if it was none; a `Decision`.
    KILL, a key or all of them stopped for good: nothing; the signed order. PERMIT, a further permit
    of this boot: its SHA-256; the signed permit. MODEL, a client handed in what its model decided:
    nothing; a `ModelDecision`. SYNC, an account was connected or synchronised, and RETURNS, returns
    were published: the root of all account states then, 32 bytes; a `record.SyncReceipt`, and a
    `record.ReturnsReceipt`.
    """

    BOOT = 1
    KEY = 2
    SIGNED = 3
    DENIED = 4
    KILL = 5
    PERMIT = 6
    MODEL = 7
    SYNC = 8
    RETURNS = 9


@dataclass(frozen=True, slots=True)
class Boot:
    """What a boot starts from: the head it continues, which is that of all leaves before this one,
    and SHA-256 digests (32 bytes each) of its manifest, of its keys (`Bundle.keys_digest`, which
    ties the epoch to evidence of the image) and of the signed start permit. `version` is the
    image's own, ASCII."""

    continued: LogHead
    manifest_digest: bytes
    keys_digest: bytes
    permit_digest: bytes
    version: str

    def serialise(self) -> bytes:
        """Returns the canonical encoding; raises `WireError` for what `parse` would refuse."""
        digests = (self.manifest_digest, self.keys_digest, self.permit_digest)
        head, version = self.continued.serialise(), self.version.encode()
        return emit(self, pack(_BOOT, head, *digests, version), Boot.parse)

    @classmethod
    def parse(cls, data: bytes) -> "Boot":
        """Returns what is encoded in `data`, or raises `Malformed`."""
        sizes = (40, 32, 32, 32, None)
        head, manifest, keys, permit, version = unpack_fields(_BOOT, data, *sizes, limit=512)
        return cls(LogHead.parse(head), manifest, keys, permit, _text(version))


_PUBLIC: Mapping[Kind, Callable[[bytes], object]] = {
    Kind.BOOT: Boot.parse,
    Kind.KEY: lambda field: member(Action, uint(field, 1)),
    Kind.DENIED: lambda field: member(Rule, uint(field, 1)),
    Kind.PERMIT: lambda field: uint(field, 32),
    Kind.SYNC: lambda field: uint(field, 32),
    Kind.RETURNS: lambda field: uint(field, 32),
}  # what reads, and so checks, the public part of a kind; that of the others is empty


class Leaf(Struct, frozen=True):
    """One leaf. It names its own place, so that a copy of it is worth nothing anywhere else.

    `epoch` is the boot id (32 bytes), `index` the position in the tree from its first boot on,
    `time_ms` the boot's authenticated time since the epoch of Unix, or 0 where it has none.
    """

    kind: Kind
    epoch: bytes
    index: int
    time_ms: int
    commitment: bytes
    public: bytes = b""

    def __post_init__(self) -> None:
        if (sizes := [len(self.epoch), len(self.commitment)]) != [32, 32]:
            raise Malformed("leaf", "an epoch and a commitment of 32 bytes", sizes)
        if reader := _PUBLIC.get(self.kind):
            reader(self.public)
        elif self.public:
            raise Malformed("leaf", f"nothing public of {self.kind.name}", self.public.hex())

    def serialise(self) -> bytes:
        """Returns the canonical encoding, the bytes that the tree hashes; `Malformed` if a number
        does not fit."""
        fixed = u32(self.kind) + u64(self.index) + u64(self.time_ms) + self.epoch + self.commitment
        return pack(_LEAF, fixed, self.public)

    @classmethod
    def parse(cls, data: bytes) -> "Leaf":
        """Returns the leaf encoded in `data`; whether it is in a log is for a proof to say.

        Raises:
            TooLarge: above `MAX_LEAF`.
            Malformed: wrong layout, unknown kind, or a public part that is not this kind's.
        """
        fixed, public = unpack_fields(_LEAF, data, 84, None, limit=MAX_LEAF)
        numbers = uint(fixed[4:12], 8), uint(fixed[12:20], 8)
        return cls(member(Kind, uint(fixed[:4], 4)), fixed[20:52], *numbers, fixed[52:], public)

    def record(self, opening: bytes) -> bytes:
        """Returns the record in `opening` after proving that this leaf commits to it.

        Raises:
            WrongOpening: it does not.
        """
        if len(opening) < _SALT or commitment(opening) != self.commitment:
            raise WrongOpening("opening", self.commitment.hex(), "another's")
        return opening[_SALT:]


class Decision(Struct, frozen=True):
    """What was decided about orders, and where that left the key's limits.

    `key` and `client` are the manifest's names, `intent` the SHA-256 of the decrypted intent,
    `request` that of the complete signed request (zero when denied). `notional` (millionths of
    pUSD) and `orders` count all that the key ever signed in this boot, this included. `context` is
    what the client reports to have led to it: SHA-256 of a model and of its inputs, 64 bytes, or
    nothing. `reply` is what the client was told, less the request, in which there are secrets.
    """

    key: str
    client: str
    intent: bytes
    request: bytes
    notional: int
    orders: int
    context: bytes
    reply: Reply

    def __post_init__(self) -> None:
        sizes = [len(self.intent), len(self.request), len(self.reply.request)]
        if (
            sizes != [32, 32, 0]
            or len(self.context) not in (0, 64)
            or not (self.key + self.client).isascii()
        ):
            raise Malformed("decision", "ASCII names, digests, no request", sizes)

    def serialise(self) -> bytes:
        """Returns the canonical encoding; `Malformed` if a number does not fit."""
        fixed = u64(self.notional) + u64(self.orders) + self.intent + self.request
        names = self.key.encode(), self.client.encode()
        return pack(_DECISION, fixed, *names, self.context, self.reply.serialise())

    @classmethod
    def parse(cls, data: bytes) -> "Decision":
        """Returns the decision encoded in `data`, or raises `Malformed`."""
        fixed, *rest = unpack_fields(_DECISION, data, 80, None, None, None, None)
        key, client, context, reply = rest
        counts = uint(fixed[:8], 8), uint(fixed[8:16], 8)
        named = _text(key), _text(client), fixed[16:48], fixed[48:]
        return cls(*named, *counts, context, Reply.parse(reply))


class ModelDecision(Struct, frozen=True):
    """What a client reports of its model: SHA-256 of the model, of its inputs and of its output, 32
    bytes each. That they are true nobody in here can say; when they were reported, the leaf does.
    """

    client: str
    model: bytes
    inputs: bytes
    output: bytes

    def serialise(self) -> bytes:
        """Returns the canonical encoding; raises `WireError` for what `parse` would refuse."""
        digests = (self.model, self.inputs, self.output)
        return emit(self, pack(_MODEL, *digests, self.client.encode()), ModelDecision.parse)

    @classmethod
    def parse(cls, data: bytes) -> "ModelDecision":
        """Returns what is encoded in `data`, or raises `Malformed`."""
        *digests, client = unpack_fields(_MODEL, data, 32, 32, 32, None, limit=512)
        return cls(_text(client), *digests)


def commitment(opening: bytes) -> bytes:
    """Returns what a leaf holds in place of `opening`: 32 bytes that say nothing about it."""
    return digest(_COMMITMENT, opening)


def _text(field: bytes) -> str:
    if not field.isascii():
        raise Malformed("name", "ASCII", field[:40])
    return field.decode("ascii")
