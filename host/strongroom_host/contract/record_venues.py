"""Which exchanges an image of this release reads track records from, and at which hosts.

The image has the list (`strongroom_enclave.venues`), and a test holds this one to it. Here it says
early what the enclave would refuse, and what the operator's proxy has to let through.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from strongroom_wire.manifest import Account

__all__ = ["RECORD_HOSTS", "hosts_of"]

RECORD_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "alpaca": ("api.alpaca.markets", "paper-api.alpaca.markets", "data.alpaca.markets"),
    "binance": ("api.binance.com", "fapi.binance.com"),
    "bitget": ("api.bitget.com",),
    "bybit": ("api.bybit.com",),
    "coinbase": ("api.coinbase.com",),
    "ibkr": ("ndcdyn.interactivebrokers.com", "gdcdyn.interactivebrokers.com"),
    "kraken": ("api.kraken.com",),
    "mexc": ("api.mexc.com",),
}


def hosts_of(accounts: Iterable[Account]) -> tuple[str, ...]:
    """Returns the hosts that a record of these accounts asks, each once.

    A venue that is not read has none: a manifest that names it is refused by the enclave.
    """
    found = (host for each in accounts for host in RECORD_HOSTS.get(each.venue, ()))
    return tuple(dict.fromkeys(found))
