"""The Order that the exchange contracts verify (V2 and V3), and the account it is made for.

`expiration`, order type, postOnly and owner are not part of the signed struct. Whoever holds the
API secret can change those; see `clob.check_terms`.
"""

import struct
from enum import IntEnum

from msgspec import Struct, structs

from strongroom_enclave.signer import amounts, contracts, eip712, errors, keccak

# typeHash and the eleven fields as 32-byte words: 384 bytes.
_WORDS = struct.Struct(">32s 24xQ 12x20s 12x20s 32s 24xQ 24xQ 31xB 31xB 24xQ 32s 32s")


# How the exchange checks `signature` against `maker` and `signer`; numbered from 0. POLY_1271: a
# Deposit Wallet contract checks it (ERC-1271), and maker and signer are the wallet.
SignatureType = IntEnum("SignatureType", "EOA POLY_PROXY POLY_GNOSIS_SAFE POLY_1271", start=0)


class Order(Struct, frozen=True, gc=False):
    """The eleven fields of the EIP-712 Order struct, in its order.

    Amounts in millionths (BUY: maker gives pUSD, takes shares), `timestamp` in ms, `token_id` any
    uint256, addresses and bytes32 raw. Amounts are held to 64 bits: 18 trillion pUSD. Sizes were
    proved where the values came in: by frame layout, manifest schema and `amounts`.

    Raises:
        FieldOutOfRange: a salt of more than 53 bits: the API carries it as a JSON number, which a
            venue may read as a double.
    """

    salt: int
    maker: bytes
    signer: bytes
    token_id: int
    maker_amount: int
    taker_amount: int
    side: amounts.Side
    signature_type: SignatureType
    timestamp: int
    metadata: bytes
    builder: bytes

    def __post_init__(self) -> None:
        errors.FieldOutOfRange.unless(not self.salt >> 53, "salt", "53 bits", self.salt)

    def struct_hash(self) -> bytes:
        """Returns hashStruct(Order), 32 bytes: the same for every exchange."""
        salt, maker, signer, token_id, *others = structs.astuple(self)
        token = token_id.to_bytes(32, "big")
        words = _WORDS.pack(eip712.ORDER_TYPE_HASH, salt, maker, signer, token, *others)
        return keccak.keccak256(words)


class Account(Struct, frozen=True):
    """Who trades: the signing key's address and the wallet that holds the funds.

    `session` marks a session key: an EOA that a Deposit Wallet's owner authorised on chain, which
    can trade and cannot withdraw. `maker` and `signer` are the two address fields of its orders.

    Raises:
        AccountMismatch: an EOA that is not its own funder, or a session key without a Deposit
            Wallet.
    """

    key: bytes
    signature_type: SignatureType
    maker: bytes
    session: bool = False

    def __post_init__(self) -> None:
        if self.signature_type == SignatureType.EOA and self.maker != self.key:
            raise errors.AccountMismatch("maker of an EOA", self.key.hex(), self.maker.hex())
        if self.session and self.signature_type != SignatureType.POLY_1271:
            raise errors.AccountMismatch("session key's wallet", "POLY_1271", self.signature_type)

    @property
    def signer(self) -> bytes:
        """The address that the exchange asks about a signature."""
        return self.maker if self.signature_type == SignatureType.POLY_1271 else self.key

    def check(self, order: Order, key: bytes) -> None:
        """Proves that `order` is this account's and `key` is the address that signs for it.

        Raises:
            AccountMismatch: naming both sides.
        """
        expected = (self.key, self.maker, self.signer, self.signature_type)
        actual = (key, order.maker, order.signer, order.signature_type)
        errors.AccountMismatch.unless(expected == actual, "order's account", expected, actual)


class SignedOrder(Struct, frozen=True, gc=False):
    """An order with `order_hash` (32 bytes: the digest of the Order, the venue's orderID) and
    `signature` as it goes on the wire, `0x` and lower-case hex."""

    order: Order
    order_hash: bytes
    signature: str


def wrap_wallet(signature: bytes, exchange: contracts.Exchange, contents: bytes) -> bytes:
    """Returns what a Deposit Wallet unwraps (ERC-7739): the 65-byte signature, the exchange's
    domain separator, the Order's struct hash, the Order type string and its length (186)."""
    return signature + exchange.domain_separator + contents + eip712.ORDER_TYPE + b"\x00\xba"


def wrap_session(signature: bytes, session_key: bytes) -> bytes:
    """Returns abi.encode(bytes32 signer, bytes32 0, bytes signature) and the 0x6492.. suffix by
    which the wallet knows that a session key signed."""
    numbers = (96).to_bytes(32, "big") + len(signature).to_bytes(32, "big")
    padding = bytes(-len(signature) % 32) + b"\x64\x92" * 16
    return session_key.rjust(32, b"\0") + bytes(32) + numbers + signature + padding
