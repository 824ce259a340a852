"""Keccak-256 as Ethereum uses it: the original 0x01 padding, not NIST SHA3-256's 0x06.

Two libraries serve: safe-pysha3 (1.6 us for an order) and, where it has no wheel, pycryptodome
(5.3 us). Several distributions install a module named `sha3`, some with the NIST padding only, so
whichever is found must first reproduce a known answer: better no signer than one whose order
hashes are somebody else's orders.
"""

from strongroom_enclave.signer.errors import KeccakUnavailable

try:
    from sha3 import keccak_256 as _new
except ImportError:
    from Crypto.Hash import keccak as _pycryptodome

    def _new(data: bytes) -> _pycryptodome.Keccak_Hash:
        return _pycryptodome.new(digest_bits=256, data=data)


def keccak256(data: bytes) -> bytes:
    """Returns the Keccak-256 digest of `data`, 32 bytes."""
    digest: bytes = _new(data).digest()
    return digest


# Keccak team's reference vectors; the Ethereum yellow paper's KEC(()).
_EMPTY = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
if keccak256(b"").hex() != _EMPTY:
    raise KeccakUnavailable("Keccak-256 of the empty string", _EMPTY, keccak256(b"").hex())
