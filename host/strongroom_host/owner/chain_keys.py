"""Keys on chain: reading a private key to import, and authorising or revoking a session key.

Calldata is for the wallet's owner to send from the deposit wallet: nothing here holds that key.
"""

import re
from typing import Final

from strongroom_host.owner.errors import DocumentInvalid, PrivateKeyInvalid

__all__ = [
    "SESSION_KEY_SECONDS",
    "address_of",
    "authorise_session_calldata",
    "checksum_address",
    "parse_private_key",
    "revoke_session_calldata",
]

SESSION_KEY_SECONDS: Final = 4_315 * 3_600
"""How long the official client authorises a session key for: the longest the venue takes."""

_AUTHORISE: Final = bytes.fromhex("24017fae")
"""authorizeSessionSigner(address,uint256): the signer, and the Unix second it expires."""

_REVOKE: Final = bytes.fromhex("e63f952f")
"""revokeSessionSigner(address)."""

_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def parse_private_key(text: bytes) -> bytes:
    """Returns the 32 bytes of a secp256k1 private key written in hex, `0x` optional.

    Raises:
        PrivateKeyInvalid: anything else. The message never repeats the text.
    """
    found = re.fullmatch(rb"\s*(?:0x)?([0-9a-fA-F]{64})\s*", text)
    secret = bytes.fromhex(found[1].decode()) if found else b""
    if not 0 < int.from_bytes(secret, "big") < _CURVE_ORDER:
        raise PrivateKeyInvalid(
            "this is not a secp256k1 private key",
            expected="64 hex digits, 0x optional, a number between 1 and the curve's order",
            actual="something else (not shown)",
            remedy="give a file that holds the key's hex and nothing else",
        )
    return secret


def address_of(secret: bytes) -> bytes:
    """Returns the 20-byte address of a private key."""
    from eth_account import Account  # takes half a second to import, and few commands need it

    return bytes.fromhex(Account.from_key(secret).address[2:])


def checksum_address(address: bytes) -> str:
    """Returns a 20-byte address in its checksummed (EIP-55) spelling."""
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(address))


def authorise_session_calldata(signer: bytes, valid_until: int) -> bytes:
    """Returns calldata that lets `signer` (20 bytes) trade until a Unix second."""
    if not 0 < valid_until < 1 << 64:
        raise DocumentInvalid("session key expiry", expected="Unix seconds", actual=valid_until)
    return _AUTHORISE + _word(signer) + valid_until.to_bytes(32, "big")


def revoke_session_calldata(signer: bytes) -> bytes:
    """Returns calldata that takes it away again."""
    return _REVOKE + _word(signer)


def _word(address: bytes) -> bytes:
    if len(address) != 20:
        raise DocumentInvalid("an address has 20 bytes", expected=20, actual=len(address))
    return address.rjust(32, b"\0")
