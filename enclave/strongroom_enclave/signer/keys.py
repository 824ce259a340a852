"""The trading key. It signs two things, an Order and a ClobAuth, and nothing else.

There is no call that takes a digest: both verbs take the typed value, hash it themselves under a
compiled-in domain, and only then reach libsecp256k1, in the one place where this package does so
(a test scans the enclave for a second). A caller that is wrong, or made to be wrong, can obtain a
signature over an order or a login, never over a transaction, a permit or a transfer.
"""

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field

from coincurve import PrivateKey

from strongroom_enclave.signer import contracts, eip712, errors, keccak, orders
from strongroom_enclave.signer.nonces import NoncePool

_L1_HEADERS = "POLY_ADDRESS", "POLY_SIGNATURE", "POLY_TIMESTAMP", "POLY_NONCE"


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A secp256k1 private key (32 bytes, big-endian) and its `address` (20 bytes).

    Signatures are low-s, nonces RFC 6979 or, while there are any, of `pool`. libsecp256k1's key
    object is made once: making it costs as much as a signature.

    Raises:
        PrivateKeyInvalid: another length, zero, or not below the curve order.
    """

    secret: InitVar[bytes]
    pool: NoncePool | None = field(default=None, repr=False)
    address: bytes = field(init=False)
    _sign: Callable[[bytes, None], bytes] = field(init=False, repr=False)

    def __post_init__(self, secret: bytes) -> None:
        try:
            # coincurve pads a short secret with zeros; that must not make a weak key of a cut one.
            key = PrivateKey(secret if len(secret) == 32 else bytes(32))
        except ValueError:
            raise errors.PrivateKeyInvalid("private key", "1 to n-1, 32 bytes", "another") from None
        point = key.public_key.format(compressed=False)[1:]
        object.__setattr__(self, "address", keccak.keccak256(point)[12:])
        object.__setattr__(self, "_sign", key.sign_recoverable)

    def sign_order(
        self, order: orders.Order, exchange: contracts.Exchange, account: orders.Account
    ) -> orders.SignedOrder:
        """Returns `order` signed for `exchange`, wrapped as its wallet expects.

        Raises:
            AccountMismatch: the order is not `account`'s, or `account` is not this key's.
            UnknownExchange: `exchange` is not of the compiled-in table.
        """
        account.check(order, self.address)
        if type(exchange) is not contracts.Exchange or type(order) is not orders.Order:
            raise errors.UnknownExchange("order, exchange", "of these types", type(exchange))
        contents = order.struct_hash()
        order_hash = exchange.digest(contents)
        if order.signature_type is not orders.SignatureType.POLY_1271:
            signature = self._sign_digest(order_hash)
        else:
            nested = eip712.typed_data_sign_hash(contents, exchange.chain_id, order.signer)
            inner = self._sign_digest(exchange.digest(nested))
            signature = orders.wrap_wallet(inner, exchange, contents)
            if account.session:
                signature = orders.wrap_session(signature, self.address)
        return orders.SignedOrder(order, order_hash, "0x" + signature.hex())

    def sign_clob_auth(self, chain_id: int, timestamp: int, nonce: int) -> dict[str, str]:
        """Returns the L1 headers that ask the CLOB for this key's API credential.

        They go to `POST /auth/api-key` or `GET /auth/derive-api-key`. The same nonce yields the
        same credential. `timestamp` is in unix seconds.

        Raises:
            UnknownExchange: no exchange is compiled in for this chain.
        """
        contracts.Exchange.named(chain_id, "v2")
        digest = eip712.clob_auth_digest(self.address, chain_id, timestamp, nonce)
        signer, signature = eip712.checksum_address(self.address), self._sign_digest(digest).hex()
        values = (signer, "0x" + signature, str(timestamp), str(nonce))
        return dict(zip(_L1_HEADERS, values, strict=True))

    def _sign_digest(self, digest: bytes) -> bytes:
        """Returns r || s || v, 65 bytes, v 27 or 28 (libsecp256k1 appends the recovery id)."""
        ready = self.pool.sign(digest) if self.pool else b""
        signature = ready or self._sign(digest, None)
        return signature[:64] + bytes((signature[64] + 27,))
