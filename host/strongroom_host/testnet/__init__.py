"""A Polymarket-CLOB-compatible venue for tests and the demo. Untrusted by design."""

from strongroom_host.testnet.clob import Clob, Mode
from strongroom_host.testnet.config import (
    Seed,
    TestnetConfig,
    Windows,
    default_config,
    load_config,
)
from strongroom_host.testnet.errors import ApiError, ConfigError
from strongroom_host.testnet.faults import Fault, FaultKind
from strongroom_host.testnet.markets import Market
from strongroom_host.testnet.server import Moves, TestnetServer
from strongroom_host.testnet.serving import PortBusy
from strongroom_host.testnet.wallets import WalletKind

__all__ = [
    "ApiError",
    "Clob",
    "ConfigError",
    "Fault",
    "FaultKind",
    "Market",
    "Mode",
    "Moves",
    "PortBusy",
    "Seed",
    "TestnetConfig",
    "TestnetServer",
    "WalletKind",
    "Windows",
    "default_config",
    "load_config",
]
