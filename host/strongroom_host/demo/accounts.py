"""Two accounts whose track record is kept: one shown to the hour, one by the default tier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_wire.manifest import Account, Egress, Tier

__all__ = [
    "COARSE",
    "DAYS",
    "EXACT",
    "EXCHANGES",
    "FLOWS",
    "ORDERS",
    "USER",
    "Recorded",
    "recorded",
]

EXACT: Final = "alpha"
COARSE: Final = "beta"
USER: Final = "ada"
EXCHANGES: Final = {EXACT: "binance", COARSE: "bybit"}
"""Where each account is."""
DAYS: Final = 6
ORDERS: Final = 60
FLOWS: Final = 8
"""How long each account traded, how much, and how often money came or went."""
_TIERS: Final = {EXACT: Tier(hours=1, grid=None), COARSE: Tier()}
_HOSTS: Final = ("api.binance.com", "fapi.binance.com", "api.bybit.com")
_CURRENCY: Final = "USDT"
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the owners' manifest says of them: the accounts, and the way to their exchanges."""

    accounts: tuple[Account, ...]
    egress: tuple[Egress, ...]


def recorded(ca: Path, begun_ms: int) -> Recorded:
    """Returns both accounts, recorded since the hour before anything happened in them.

    `ca` is the root of the local exchanges, `begun_ms` a time before they started.
    """
    since_ms = (begun_ms - DAYS * 24 * _HOUR_MS) // _HOUR_MS * _HOUR_MS
    root = x509.load_pem_x509_certificate(ca.read_bytes()).public_bytes(Encoding.DER)
    accounts = tuple(
        Account(name, USER, exchange, "test", _CURRENCY, since_ms, _TIERS[name])
        for name, exchange in EXCHANGES.items()
    )
    return Recorded(accounts, tuple(Egress(host, 443, (), (root,)) for host in _HOSTS))
