"""Values with exactly one encoding: their domain, and then their fields as MessagePack.

What a schema allows is written once, in the types of the fields, and checked by one reader. It
takes what it would write itself and nothing else: no other order, spelling or number of fields.
"""

from typing import Annotated, ClassVar, Self

from msgspec import DecodeError, Meta, msgpack

from strongroom_wire.encoding import MAX_STATEMENT, emit, pack
from strongroom_wire.errors import Malformed, TooLarge

B32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
U32 = Annotated[int, Meta(ge=0, lt=1 << 32)]
U64 = Annotated[int, Meta(ge=0)]  # MessagePack holds none above
Ascii = Annotated[str, Meta(pattern=r"^[\x00-\x7f]*\Z")]


class Canonical:
    """A struct or dataclass that is hashed, signed or sent; of at most `longest` bytes then."""

    __slots__ = ()
    domain: ClassVar[bytes]
    longest: ClassVar[int] = MAX_STATEMENT

    def spelled(self) -> bytes:
        """Returns the encoding, whether or not it is of a value that may be."""
        return pack(self.domain, msgpack.encode(self))

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Returns what any encoding of the schema stands for; raises what the decoder does."""
        return msgpack.decode(data[len(cls.domain) + 6 :], type=cls)  # `parse` compares the head

    def serialise(self) -> bytes:
        """Returns the canonical encoding; raises `WireError` for what `parse` would refuse."""
        try:
            return emit(self, self.spelled(), self.parse)
        except (OverflowError, UnicodeEncodeError) as error:
            raise Malformed(type(self).__name__, "numbers and texts that fit", error) from error

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Returns the value in `data`; who made it is for a signature, a leaf or evidence to say.

        Raises:
            TooLarge: above `longest`.
            Malformed: another layout, or another spelling than this module's.
        """
        TooLarge.unless(len(data) <= cls.longest, cls.__name__, cls.longest, len(data))
        try:
            value = cls.read(data)
        except (DecodeError, UnicodeDecodeError):  # chained, it would show what it read
            raise Malformed(cls.__name__, "its schema", "another") from None
        Malformed.unless(value.spelled() == data, cls.__name__, "the canonical spelling", "another")
        return value
