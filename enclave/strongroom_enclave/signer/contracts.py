"""The exchange contracts that orders may be signed for. Compiled in: no input can add one.

From the official clients' configuration (py-clob-client-v2 1.2.1, polymarket-client 0.14.0). V1
contracts are absent on purpose: the venue refuses V1 orders since 28 April 2026, so a V1 signature
could only serve somebody with another use for it.
"""

from enum import Enum

from strongroom_enclave.signer import eip712, errors, keccak

_NAME = "Polymarket CTF Exchange"


class Exchange(Enum):
    """One deployed exchange: EIP-712 domain "Polymarket CTF Exchange", version, chain, contract.

    An enumeration, so that a domain outside this table is not a value of the type. `label` is what
    the manifest calls it; its digit is the domain's version.
    """

    POLYGON_V2 = (137, "v2", "E111180000d2663C0091e4f400237545B87B996B")
    POLYGON_V2_NEG_RISK = (137, "v2-neg-risk", "e2222d279d744050d28e00520010520000310F59")
    POLYGON_V3 = (137, "v3", "e3333700cA9d93003F00f0F71f8515005F6c00Aa")
    AMOY_V2 = (80002, "v2", "E111180000d2663C0091e4f400237545B87B996B")
    AMOY_V2_NEG_RISK = (80002, "v2-neg-risk", "e2222d279d744050d28e00520010520000310F59")
    AMOY_V3 = (80002, "v3", "9fE6e61422AdB6F610d8597F9684b16912D50C3D")

    def __init__(self, chain_id: int, label: str, address: str) -> None:
        self.chain_id, self.label, self.address = chain_id, label, bytes.fromhex(address)
        self.domain_separator = eip712.domain_separator(_NAME, label[1], chain_id, self.address)
        self._prefix = b"\x19\x01" + self.domain_separator

    def digest(self, struct_hash: bytes) -> bytes:
        """Returns the EIP-712 digest of a struct hash under this exchange's domain, 32 bytes."""
        return keccak.keccak256(self._prefix + struct_hash)

    @classmethod
    def named(cls, chain_id: int, label: str) -> "Exchange":
        """Returns the exchange that the manifest calls `label` ("v2", "v2-neg-risk", "v3").

        Raises:
            UnknownExchange: no such contract on this chain.
        """
        known = {(exchange.chain_id, exchange.label): exchange for exchange in cls}
        if (chain_id, label) not in known:
            raise errors.UnknownExchange("exchange", list(known), (chain_id, label))
        return known[chain_id, label]
