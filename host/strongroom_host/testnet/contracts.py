"""Which exchange contract settles which token, per chain.

Addresses: Polymarket's published deployments (shared facts, checked November 2026). V1 contracts
appear only so that an order signed for them is recognised and refused as the wrong version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NewType

from eth_utils.address import to_checksum_address

from strongroom_host.testnet.errors import ConfigError

__all__ = [
    "Address",
    "Deployment",
    "Exchange",
    "address_from",
    "deployment",
    "is_protocol_v2_position",
]

Address = NewType("Address", str)
"""A checksummed 0x address: one spelling, so equality of text is equality of accounts."""

_PROTOCOL_V2_RESERVED_BITS: Final = ((1 << 64) - 1) << 40


def address_from(text: object) -> Address:
    """The checksummed form of a 20-byte 0x-hex address in any casing.

    Raises:
        ValueError: not such an address.
    """
    if not isinstance(text, str) or len(text) != 42 or not text.startswith("0x"):
        raise ValueError("expected a 0x-prefixed 20-byte address")
    return Address(to_checksum_address(bytes.fromhex(text[2:])))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange contract: the verifying contract and version of its EIP-712 domain."""

    version: str
    contract: Address


@dataclass(frozen=True, slots=True)
class Deployment:
    """The contracts of one chain."""

    chain_id: int
    v1: tuple[Exchange, ...]
    v2: Exchange
    v2_neg_risk: Exchange
    v3: Exchange
    collateral: Address

    def exchange_for(self, token: int, *, neg_risk: bool) -> Exchange:
        """The exchange on which `token` trades; protocol V2 positions have no neg-risk variant."""
        if is_protocol_v2_position(token):
            return self.v3
        return self.v2_neg_risk if neg_risk else self.v2

    @property
    def live(self) -> tuple[Exchange, ...]:
        """Every exchange that settles today."""
        return (self.v2, self.v2_neg_risk, self.v3)

    @property
    def all(self) -> tuple[Exchange, ...]:
        """Live exchanges and the retired ones."""
        return (*self.live, *self.v1)


def is_protocol_v2_position(token: int) -> bool:
    """Whether an asset id lies in the protocol V2 namespace (64 reserved bits are zero)."""
    return token & _PROTOCOL_V2_RESERVED_BITS == 0


def _deployment(chain_id: int, v1: tuple[str, ...], v3: str) -> Deployment:
    return Deployment(
        chain_id=chain_id,
        v1=tuple(Exchange("1", address_from(item)) for item in v1),
        v2=Exchange("2", address_from("0xE111180000d2663C0091e4f400237545B87B996B")),
        v2_neg_risk=Exchange("2", address_from("0xe2222d279d744050d28e00520010520000310F59")),
        v3=Exchange("3", address_from(v3)),
        collateral=address_from("0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"),
    )


_DEPLOYMENTS: Final = {
    137: _deployment(
        137,
        (
            "0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E",
            "0xC5d563A36AE78145C45a50134d48A1215220f80a",
        ),
        "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa",
    ),
    80002: _deployment(
        80002,
        (
            "0xdFE02Eb6733538f8Ea35D585af8DE5958AD99E40",
            "0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296",
            "0xC5d563A36AE78145C45a50134d48A1215220f80a",
        ),
        "0x9fE6e61422AdB6F610d8597F9684b16912D50C3D",
    ),
}


def deployment(chain_id: int) -> Deployment:
    """The contracts of `chain_id`.

    Raises:
        ConfigError: a chain Polymarket does not run on.
    """
    try:
        return _DEPLOYMENTS[chain_id]
    except KeyError:
        known = ", ".join(str(item) for item in sorted(_DEPLOYMENTS))
        raise ConfigError(f"chain {chain_id} is not one of {known}") from None
