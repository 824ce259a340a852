"""The fast channel: fixed-layout intents in, complete signed requests out, each frame sealed.

A channel is opened by a client named in the manifest: it HPKE-seals a fresh secret to the attested
signer and signs that with its frame key; the signer answers with its own random half under its
receipt key. Replaying an opening therefore yields other keys, and never a nonce used twice.

Frame, big-endian: magic `SRF1` (4), direction (1), zero (3), channel (8), sequence (8), then the
AES-256-GCM ciphertext with its 16-byte tag. Associated data is those 24 bytes; the nonce is four
zero bytes and the sequence. Sequences start at 0 and must be exactly the next one. On a stream each
frame follows its u32 length.
"""

import struct
from collections.abc import Container
from enum import IntEnum
from hashlib import sha256
from typing import ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct, structs

from strongroom_wire.canonical import B32, U64, Canonical
from strongroom_wire.encoding import digest, emit, pack, u64
from strongroom_wire.errors import Code, Malformed, Refused, Rule, TooLarge, require

# Upper bound of a whole frame in bytes; the longest reply cancels 1000 orders (69 kB).
MAX_FRAME = 128 * 1024
MAX_ORDERS = 15
_HEADER = struct.Struct(">4sB3xQQ")
_OVERHEAD, _CONTENT = _HEADER.size + 16, MAX_FRAME - _HEADER.size - 16
INTENT = struct.Struct(">BBHIQQ")
ORDER = struct.Struct(">32sBBBBIQQQQQ")
_CHANNEL = b"strongroom/channel/v1"


# Which side sealed a frame, numbered from 1; part of the associated data, and each side has its own
# key.
Direction = IntEnum("Direction", "TO_ENCLAVE FROM_ENCLAVE")
_TEXT = range(257)


class Kind(IntEnum):
    """What an intent asks for: a number; the `call` that a client must be permitted; how many
    `orders` it may carry, and how many bytes of `argument`, which is given in brackets."""

    call: str
    orders: range
    argument: Container[int]

    def __new__(cls, number: int, call: str, orders: range, argument: Container[int]) -> Self:
        kind = int.__new__(cls, number)
        kind._value_, kind.call, kind.orders, kind.argument = number, call, orders, argument
        return kind

    # Sign and build `POST /order`, or `POST /orders` for 2 to 15 [empty, or what decided: SHA-256
    # of the model, SHA-256 of its inputs; both go into the log].
    ORDERS = 1, "order", range(1, MAX_ORDERS + 1), (0, 64)
    # Fill one order's template [u32 signature offset, u32 HMAC offset, request bytes].
    TEMPLATE = 2, "template", range(1, 2), range(9, MAX_FRAME)
    # [1 to 1000 order hashes, 32 bytes each]
    CANCEL = 3, "cancel", range(1), range(32, 32 * 1000 + 1, 32)
    CANCEL_ALL = 4, "cancel", range(1), range(1)
    # [32-byte condition id, 32-byte token id]
    CANCEL_MARKET = 5, "cancel", range(1), range(64, 65)
    # [heartbeat id, ASCII, up to 256 bytes, may be empty]
    HEARTBEAT = 6, "heartbeat", range(1), _TEXT
    # [32-byte order hash]
    QUERY_ORDER = 7, "query", range(1), range(32, 33)
    # [pagination cursor, ASCII, up to 256 bytes, may be empty]
    QUERY_OPEN = 8, "query", range(1), _TEXT
    # [as QUERY_OPEN]
    QUERY_TRADES = 9, "query", range(1), _TEXT
    # The signed head and recent leaves, from an index on [u64]; see `pages`. It says that the
    # client has all leaves before: those may be forgotten, and until then they take up room.
    READ_LOG = 10, "log", range(1), range(8, 9)
    # Log a decision of the client's model, which needs no key and yields no request [SHA-256 of the
    # model, of its inputs, of its output].
    MODEL = 11, "order", range(1), range(96, 97)


_KINDS = {int(kind): kind for kind in Kind}


class OrderIntent(Struct, frozen=True):
    """One order as the strategy wants it; the enclave decides the rest.

    `token` is the outcome token id (uint256), `price` pUSD per share and `size` shares, both in
    millionths (a market buy's size is pUSD). `side` 0 buys, 1 sells. `order_type` 0 GTC, 1 GTD,
    2 FOK, 3 FAK. `tick` counts 0.1, 0.01, 0.005, 0.0025, 0.001, 0.0001 from 0. `flags`: bit 0
    market order, bit 1 post-only, bit 2 deferred execution. `salt` 0 lets the enclave draw one.
    `timestamp` is the order's, in ms; `expiration` in s, 0 for none.
    """

    token: int
    side: int
    order_type: int
    tick: int
    flags: int
    price: int
    size: int
    salt: int
    timestamp: int
    expiration: int

    @classmethod
    def parse(cls, data: bytes, at: int) -> "OrderIntent":
        """Returns the order at offset `at`; the caller has checked the length."""
        token, side, kind, tick, flags, zero, *numbers = ORDER.unpack_from(data, at)
        if side > 1 or kind > 3 or tick > 5 or flags > 7 or zero:
            raise Malformed("order intent", "known values", data[at + 32 : at + 40].hex())
        return cls(int.from_bytes(token, "big"), side, kind, tick, flags, *numbers)


class Intent(Struct, frozen=True):
    """A request on the fast channel: 24-byte head, the orders, the argument.

    `key` indexes the manifest's keys, `timestamp` (s) goes into the L2 headers, and after
    `deadline` (ms) the enclave signs none of its orders. Cancels, heartbeats and queries have no
    deadline inside: they must pass when there is no clock to hold them against.
    """

    kind: Kind
    key: int
    timestamp: int
    deadline: int
    orders: tuple[OrderIntent, ...] = ()
    argument: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> "Intent":
        """Returns the intent in a decrypted frame.

        Raises:
            Malformed: too short, unknown kind or enum value, padding not zero, or a number of
                orders or length of argument that the kind does not have.
        """
        Malformed.unless(len(data) >= INTENT.size, "intent", INTENT.size, len(data))
        number, count, key, zero, timestamp, deadline = INTENT.unpack_from(data)
        if zero or not (kind := _KINDS.get(number)):
            raise Malformed("intent head", "a known kind and zero padding", data[:8].hex())
        end = INTENT.size + count * ORDER.size
        if count not in kind.orders or len(data) - end not in kind.argument:
            shape, found = (kind.orders, kind.argument), (count, len(data) - end)
            raise Malformed(f"intent to {kind.name}", shape, found)
        orders = [OrderIntent.parse(data, at) for at in range(INTENT.size, end, ORDER.size)]
        return cls(kind, key, timestamp, deadline, tuple(orders), data[end:])


class Reply(Struct, Canonical, frozen=True, array_like=True):
    """The answer to an intent: a complete HTTP request, or a code and, if denied, the rule with the
    limit and the actual figure in that rule's unit (saturated at 2**64 - 1). `order` is the index
    of the order at fault, `decision` counts this boot's decisions. `leaf` is what the log says of
    it and `opening` the details it commits to (`leaves`); both empty where nothing was logged."""

    domain: ClassVar = b"strongroom/reply/v1"
    code: Code
    decision: U64
    rule: Rule = Rule.NONE
    order: U64 = 0
    limit: U64 = 0
    actual: U64 = 0
    order_hashes: tuple[B32, ...] = ()
    request: bytes = b""
    leaf: bytes = b""
    opening: bytes = b""


class _Greeting(Struct, frozen=True):
    """Either half of how a channel is opened: the magic `SRC1`, then its fields as they are."""

    layout: ClassVar[struct.Struct]

    def serialise(self) -> bytes:
        """Returns the fixed layout; raises `Malformed` if a part has the wrong length."""
        data = packed(self.layout, b"SRC1", *structs.astuple(self))
        return emit(self, data, self.parse)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Returns the value in `data`, or raises `Malformed`."""
        if len(data) != cls.layout.size or data[:4] != b"SRC1":
            raise Malformed(cls.__name__, f"{cls.layout.size} bytes, magic SRC1", len(data))
        return cls(*cls.layout.unpack(data)[1:])


class ChannelOpen(_Greeting, frozen=True):
    """Client to signer, 180 bytes: `SRC1`, frame key, HPKE-sealed 32-byte secret, signature."""

    layout = struct.Struct(">4s32s80s64s")
    client: bytes
    sealed: bytes
    signature: bytes

    def message(self, keys_digest: bytes) -> bytes:
        """Returns what the client signs: this opening, for the boot with these keys only."""
        return pack(_CHANNEL, b"open", keys_digest, self.client, self.sealed)


class ChannelOpened(_Greeting, frozen=True):
    """Signer to client, 108 bytes: `SRC1`, channel number, 32 random bytes, receipt signature."""

    layout = struct.Struct(">4sQ32s64s")
    channel: int
    random: bytes
    signature: bytes

    def message(self, opening: bytes) -> bytes:
        """Returns what the signer signs: its answer to exactly that opening."""
        return pack(_CHANNEL, b"opened", sha256(opening).digest(), u64(self.channel), self.random)


def channel_keys(secret: bytes, opening: bytes, random: bytes) -> tuple[bytes, bytes]:
    """Returns the two 32-byte AES keys of a channel, in the order of `Direction`."""
    info = digest(_CHANNEL, b"keys", opening)
    keys = HKDF(algorithm=SHA256(), length=64, salt=random, info=info).derive(secret)
    return keys[:32], keys[32:]


class SealedChannel:
    """One side of an open channel: seals what it sends, opens what it receives, in order only."""

    def __init__(self, channel: int, keys: tuple[bytes, bytes], sends: Direction) -> None:
        self.channel, self._sends, self._receives = channel, int(sends), 3 - sends
        self._out, self._in = (AESGCM(keys[way - 1]) for way in (self._sends, self._receives))
        self._sent = self._received = 0

    def seal(self, plaintext: bytes) -> bytes:
        """Returns the next outgoing frame.

        Raises:
            TooLarge: the other side would refuse it; the sequence does not advance.
        """
        TooLarge.unless(len(plaintext) <= _CONTENT, "frame content", _CONTENT, len(plaintext))
        header = _HEADER.pack(b"SRF1", self._sends, self.channel, self._sent)
        sealed = self._out.encrypt(b"\0\0\0\0" + header[16:], plaintext, header)
        self._sent += 1
        return header + sealed

    def open(self, frame: bytes) -> bytes:
        """Returns the plaintext of the next incoming frame, authenticated before anything is read.

        Raises:
            TooLarge, Malformed: not a frame of this channel and direction.
            Refused: BAD_SEQUENCE for a replayed, reordered or missing frame; BAD_SIGNATURE when the
                tag does not verify. The channel's state is unchanged by a refused frame.
        """
        TooLarge.unless(len(frame) <= MAX_FRAME, "frame", MAX_FRAME, len(frame))
        header = _HEADER.pack(b"SRF1", self._receives, self.channel, self._received)
        if len(frame) < _OVERHEAD or frame[:16] != header[:16]:
            raise Malformed("frame header", header[:16].hex(), frame[:16].hex())
        require(frame[16:24] == header[16:], Code.BAD_SEQUENCE, "frame", header, frame[:24])
        try:
            plaintext = self._in.decrypt(b"\0\0\0\0" + header[16:], frame[24:], header)
        except InvalidTag as error:
            raise Refused(Code.BAD_SIGNATURE, "frame tag", "authentic", "forged") from error
        self._received += 1
        return plaintext


def packed(layout: struct.Struct, *values: object) -> bytes:
    """Returns the values in this layout, or raises `Malformed` if one does not fit its field."""
    try:
        return layout.pack(*values)
    except struct.error as error:
        raise Malformed("number", "one that fits its field", str(error)) from error
