"""V1 orders, which the exchange no longer takes: hashed and signed here only to replay the record.

The enclave has no V1 contract and cannot sign one; this module uses its primitives, eth-keys signs.
"""

from typing import Any

from eth_keys.datatypes import PrivateKey
from strongroom_enclave.signer.eip712 import domain_separator, struct_hash
from strongroom_enclave.signer.keccak import keccak256
from strongroom_wire.encoding import u256

__all__ = ["ORDER_V1_TYPE", "domain_v1", "sign_v1", "struct_hash_v1"]

ORDER_V1_TYPE = (
    b"Order(uint256 salt,address maker,address signer,address taker,uint256 tokenId,"
    b"uint256 makerAmount,uint256 takerAmount,uint256 expiration,uint256 nonce,uint256 feeRateBps,"
    b"uint8 side,uint8 signatureType)"
)
_FIELDS = (
    "salt", "maker", "signer", "taker", "tokenId", "makerAmount", "takerAmount", "expiration",
    "nonce", "feeRateBps", "side", "signatureType",
)  # fmt: skip


def domain_v1(chain_id: int, contract: str) -> bytes:
    """Return the V1 domain separator."""
    return domain_separator("Polymarket CTF Exchange", "1", chain_id, bytes.fromhex(contract[2:]))


def struct_hash_v1(message: dict[str, Any]) -> bytes:
    """Return hashStruct of a recorded V1 message."""
    words = []
    for name in _FIELDS:
        value = str(message[name])
        words.append(bytes.fromhex(value[2:]) if value.startswith("0x") else u256(int(value)))
    return struct_hash(ORDER_V1_TYPE, *words)


def sign_v1(message: dict[str, Any], domain: bytes, secret: bytes) -> tuple[bytes, str]:
    """Return digest and wire signature."""
    digest = keccak256(b"\x19\x01" + domain + struct_hash_v1(message))
    raw = PrivateKey(secret).sign_msg_hash(digest).to_bytes()
    return digest, "0x" + (raw[:64] + bytes([raw[64] + 27])).hex()
