"""Leaves of a log: what happened, in which boot, at which place, and a commitment to the details.

A leaf is public, so it holds nothing that discloses. The details are its *record*, and it commits
to them under a salt of its own: commitment = SHA-256 over domain and *opening*, the opening being
32 random bytes and the record. Whoever is handed the opening can check it, and nobody can guess it.
"""

from enum import IntEnum
from typing import ClassVar

from msgspec import Struct

from strongroom_wire.bundle import LogHead
from strongroom_wire.canonical import B32, U64, Ascii, Canonical
from strongroom_wire.encoding import digest
from strongroom_wire.errors import Malformed, Rule
from strongroom_wire.frames import Reply
from strongroom_wire.statements import Action

_COMMITMENT = b"strongroom/leaf/commitment/v1"
MAX_LEAF = 1024  # bytes; the leaf of a decision has some 110


# What happened, what the leaf says of it in public, and its record; numbered from 1.
#
# BOOT is the first leaf of an epoch, and only that: a `Boot`; the signed start permit. KEY, an
# order about a key was obeyed (to enrol one: begun, and the venue may refuse): u8 `Action`; the
# signed order. SIGNED, orders were approved, counted and signed, a whole batch, or cancels were:
# nothing; a `Decision`. DENIED, they were refused: u8 `Rule`, NONE if it was none; a `Decision`.
# KILL, a key or all of them stopped for good: nothing; the signed order. PERMIT, a further permit
# of this boot: its SHA-256; the signed permit. MODEL, a client handed in what its model decided:
# nothing; a `ModelDecision`. SYNC, an account was connected or synchronised, and RETURNS, returns
# were published: the root of all account states then, 32 bytes; a `record.SyncReceipt`, and a
# `record.ReturnsReceipt`.
Kind = IntEnum("Kind", "BOOT KEY SIGNED DENIED KILL PERMIT MODEL SYNC RETURNS")


class Boot(Struct, Canonical, frozen=True):
    """What a boot starts from: the head it continues, which is that of all leaves before this one,
    and SHA-256 digests (32 bytes each) of its manifest, of its keys (`Bundle.keys_digest`, which
    ties the epoch to evidence of the image) and of the signed start permit. `version` is the
    image's own, ASCII."""

    domain: ClassVar = b"strongroom/leaf/boot/v2"
    longest: ClassVar = 512
    continued: LogHead
    manifest_digest: B32
    keys_digest: B32
    permit_digest: B32
    version: Ascii


# How many bytes are public of a kind, and which they may be; of the other kinds, none are.
_PUBLIC = {
    Kind.KEY: (1, {int(action) for action in Action}),
    Kind.DENIED: (1, {int(rule) for rule in Rule}),
    **dict.fromkeys((Kind.PERMIT, Kind.SYNC, Kind.RETURNS), (32, {*range(256)})),
}


class Leaf(Struct, Canonical, frozen=True, array_like=True):
    """One leaf. It names its own place, so that a copy of it is worth nothing anywhere else.

    `epoch` is the boot id (32 bytes), `index` the position in the tree from its first boot on,
    `time_ms` the boot's authenticated time since the epoch of Unix, or 0 where it has none.
    """

    domain: ClassVar = b"strongroom/leaf/v2"
    longest: ClassVar = MAX_LEAF
    kind: Kind
    epoch: B32
    index: U64
    time_ms: U64
    commitment: B32
    public: bytes = b""

    def __post_init__(self) -> None:
        size, known = _PUBLIC.get(self.kind, (0, set()))
        if self.kind is Kind.BOOT:
            Boot.parse(self.public)
        elif len(self.public) != size or not known >= {*self.public}:
            raise Malformed("leaf", f"what is public of {self.kind.name}", self.public.hex())


class Decision(Struct, Canonical, frozen=True, array_like=True):
    """What was decided about orders, and where that left the key's limits.

    `key` and `client` are the manifest's names, `intent` the SHA-256 of the decrypted intent,
    `request` that of the complete signed request (zero when denied). `notional` (millionths of
    pUSD) and `orders` count all that the key ever signed in this boot, this included. `context` is
    what the client reports to have led to it: SHA-256 of a model and of its inputs, 64 bytes, or
    nothing. `reply` is what the client was told, less the request, in which there are secrets.
    """

    domain: ClassVar = b"strongroom/leaf/decision/v2"
    key: Ascii
    client: Ascii
    intent: B32
    request: B32
    notional: U64
    orders: U64
    context: bytes
    reply: Reply

    def __post_init__(self) -> None:
        if len(self.context) not in (0, 64) or self.reply.request:
            raise Malformed("decision", "two digests or none, no request", len(self.context))


class ModelDecision(Struct, Canonical, frozen=True):
    """What a client reports of its model: SHA-256 of the model, of its inputs and of its output, 32
    bytes each. That they are true nobody in here can say; when they were reported, the leaf does.
    """

    domain: ClassVar = b"strongroom/leaf/model/v2"
    longest: ClassVar = 512
    client: Ascii
    model: B32
    inputs: B32
    output: B32


def commitment(opening: bytes) -> bytes:
    """Returns what a leaf holds in place of `opening`: 32 bytes that say nothing about it."""
    return digest(_COMMITMENT, opening)
