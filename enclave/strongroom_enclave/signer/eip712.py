"""EIP-712 hashing: type hashes, domain separators, struct hashes, digests. It holds no key.

Every word is 32 bytes, big-endian; addresses are 20 raw bytes, left-padded when hashed.
"""

from strongroom_wire.encoding import u256

from strongroom_enclave.signer.keccak import keccak256

DOMAIN_TYPE_NO_CONTRACT = b"EIP712Domain(string name,string version,uint256 chainId)"
DOMAIN_TYPE = DOMAIN_TYPE_NO_CONTRACT[:-1] + b",address verifyingContract)"
ORDER_TYPE = (
    b"Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,"
    b"uint256 takerAmount,uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,"
    b"bytes32 builder)"
)
ORDER_TYPE_HASH = keccak256(ORDER_TYPE)
TYPED_DATA_SIGN_TYPE = (
    b"TypedDataSign(Order contents,string name,string version,uint256 chainId,"
    b"address verifyingContract,bytes32 salt)" + ORDER_TYPE
)
CLOB_AUTH_TYPE = b"ClobAuth(address address,string timestamp,uint256 nonce,string message)"
_CLOB_AUTH_MESSAGE = keccak256(b"This message attests that I control the given wallet")


def struct_hash(type_string: bytes, *words: bytes) -> bytes:
    """Returns hashStruct: keccak256(typeHash || words). Addresses (20 bytes) are padded here."""
    return keccak256(b"".join(part.rjust(32, b"\0") for part in (keccak256(type_string), *words)))


def domain_separator(name: str, version: str, chain_id: int, *contract: bytes) -> bytes:
    """Returns the EIP-712 domain separator; without `contract` the domain has no such member."""
    texts = keccak256(name.encode()), keccak256(version.encode())
    domain_type = DOMAIN_TYPE if contract else DOMAIN_TYPE_NO_CONTRACT
    return struct_hash(domain_type, *texts, u256(chain_id), *contract)


# typeHash, and the wallet's name and version; in between goes the order.
_TYPED_DATA_SIGN = keccak256(TYPED_DATA_SIGN_TYPE)
_DEPOSIT_WALLET = keccak256(b"DepositWallet") + keccak256(b"1")


def typed_data_sign_hash(contents: bytes, chain_id: int, wallet: bytes) -> bytes:
    """Returns the struct hash of Solady's nested TypedDataSign over an Order's struct hash.

    It names the Deposit Wallet (name "DepositWallet", version "1", salt 0) that will check it, and
    is digested under the *exchange's* domain (ERC-7739), so it is good for that wallet only.
    """
    words = (_TYPED_DATA_SIGN, contents, _DEPOSIT_WALLET, u256(chain_id), bytes(12), wallet)
    return keccak256(b"".join(words) + bytes(32))


def clob_auth_digest(address: bytes, chain_id: int, timestamp: int, nonce: int) -> bytes:
    """Returns the digest of ClobAuth: `address` asks the CLOB for API credentials.

    `timestamp` is in unix seconds. The struct carries it as a decimal string, and the domain has
    no verifying contract.
    """
    words = address, keccak256(b"%d" % timestamp), u256(nonce), _CLOB_AUTH_MESSAGE
    domain = domain_separator("ClobAuthDomain", "1", chain_id)
    return keccak256(b"\x19\x01" + domain + struct_hash(CLOB_AUTH_TYPE, *words))


def checksum_address(address: bytes) -> str:
    """Returns the EIP-55 spelling of 20 bytes."""
    text = address.hex()
    nibbles = keccak256(text.encode()).hex()
    return "0x" + "".join(c.upper() if n > "7" else c for c, n in zip(text, nibbles, strict=False))
