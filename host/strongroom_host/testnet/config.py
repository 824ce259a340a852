"""What a testnet is made of: chain, markets, seeded liquidity, windows. One frozen value.

`default_config` has a standard, a neg-risk and a protocol-V2 market with liquidity around their
mid prices; `load_config` reads the same shape from JSON. Clock skew and timestamp windows of the
real server are not published: the defaults here are this project's guess, and configurable.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import msgspec
from eth_utils.crypto import keccak

from strongroom_host.testnet.contracts import deployment
from strongroom_host.testnet.errors import ConfigError
from strongroom_host.testnet.markets import Market
from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.units import BASE, LOT, PRICE_SCALE

__all__ = ["Seed", "TestnetConfig", "Windows", "default_config", "load_config", "position_id"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Time rules, in seconds."""

    l1_skew_s: int = 60
    l2_skew_s: int = 60
    order_past_s: int = 300
    order_future_s: int = 60
    gtd_lead_s: int = 180
    gtd_security_s: int = 60
    heartbeat_s: int = 10


@dataclass(frozen=True, slots=True)
class Seed:
    """House liquidity: `shares` (base units) of `token` at `price` (price units)."""

    token: int
    side: Side
    price: int
    shares: int


@dataclass(frozen=True, slots=True)
class TestnetConfig:
    """Everything fixed at start.

    `open_accounts` is the faucet: base units of collateral and of every token that any EOA gets
    which appears for the first time. 0 closes it, and makers must be registered, as on the real
    venue since deposit wallets became the only new accounts.
    """

    __test__ = False

    chain_id: int
    markets: tuple[Market, ...]
    seeds: tuple[Seed, ...] = ()
    windows: Windows = Windows()
    open_accounts: int = 0
    burst: int = 2000
    per_second: int = 500
    min_marketable_cash: int = BASE

    def __post_init__(self) -> None:
        deployment(self.chain_id)
        tokens = [token for market in self.markets for token in market.tokens]
        if len(set(tokens)) != len(tokens):
            raise ConfigError("two markets share a token")
        for seed in self.seeds:
            if seed.token not in tokens:
                raise ConfigError(f"seeded token {seed.token} is in no market")
            if seed.shares <= 0 or seed.shares % LOT:
                raise ConfigError("seeded shares must be whole lots of 0.01")
            if not 0 < seed.price < PRICE_SCALE:
                raise ConfigError("a seeded price must lie between 0 and 1")


def _ctf_token(label: str) -> int:
    # Bit 40 is reserved-zero in the protocol V2 namespace, so setting it keeps the id out of it.
    return int.from_bytes(keccak(text=f"strongroom testnet {label}"), "big") | 1 << 40


def position_id(label: str, outcome: int) -> int:
    """A protocol-V2 position id: module 1, 64 reserved zero bits, the outcome in the last byte."""
    middle = int.from_bytes(keccak(text=f"strongroom testnet {label}")[:18], "big")
    return 1 << 248 | middle << 104 | outcome


def _around(token: int, tick: int, mid: int) -> tuple[Seed, ...]:
    return tuple(
        Seed(token, side, mid + sign * step * tick, 500 * BASE * step)
        for step in (1, 2, 3)
        for side, sign in ((Side.BUY, -1), (Side.SELL, 1))
    )


def default_config(chain_id: int, *, open_accounts: int = 0) -> TestnetConfig:
    """Three markets with house liquidity on both sides of every token.

    Raises:
        ConfigError: a chain Polymarket does not run on.
    """
    v3_condition = f"{position_id('v3', 0) >> 8:062x}"
    markets = (
        Market(
            "0x" + keccak(text="strongroom testnet standard").hex(),
            (_ctf_token("standard yes"), _ctf_token("standard no")),
            "0.01",
        ),
        Market(
            "0x" + keccak(text="strongroom testnet neg risk").hex(),
            (_ctf_token("neg risk yes"), _ctf_token("neg risk no")),
            "0.001",
            neg_risk=True,
        ),
        Market(f"0x{v3_condition}", (position_id("v3", 0), position_id("v3", 1)), "0.0025"),
    )
    seeds = tuple(
        seed
        for market in markets
        for token, mid in zip(market.tokens, (6000, 4000), strict=True)
        for seed in _around(token, market.rule.tick, mid)
    )
    return TestnetConfig(chain_id, markets, seeds, open_accounts=open_accounts)


class _MarketFile(msgspec.Struct, forbid_unknown_fields=True):
    condition_id: str
    tokens: tuple[str, str]
    tick_size: str
    neg_risk: bool = False
    min_size: str = "5"


class _SeedFile(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    side: str
    price: str
    size: str


class _ConfigFile(msgspec.Struct, forbid_unknown_fields=True):
    markets: list[_MarketFile]
    seeds: list[_SeedFile] = []
    open_accounts: str = "0"
    windows: dict[str, int] = {}


_PLACES: Final = {BASE: 6, PRICE_SCALE: 4}


def _exact(text: str, scale: int) -> int:
    try:
        value = Decimal(text) * scale
    except InvalidOperation as error:
        raise ConfigError(f"{text!r} is no decimal number") from error
    if value != value.to_integral_value():
        raise ConfigError(f"{text!r} has more than {_PLACES[scale]} decimals")
    return int(value)


def load_config(path: Path, chain_id: int) -> TestnetConfig:
    """The configuration in the JSON file `path`; amounts and prices are decimal strings.

    Raises:
        ConfigError: unreadable, malformed, or inconsistent.
    """
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=_ConfigFile)
        windows = Windows(**raw.windows)
        sides = [Side[item.side] for item in raw.seeds]
        return TestnetConfig(
            chain_id=chain_id,
            markets=tuple(
                Market(
                    item.condition_id,
                    (int(item.tokens[0]), int(item.tokens[1])),
                    item.tick_size,
                    item.neg_risk,
                    _exact(item.min_size, BASE),
                )
                for item in raw.markets
            ),
            seeds=tuple(
                Seed(
                    int(item.token),
                    side,
                    _exact(item.price, PRICE_SCALE),
                    _exact(item.size, BASE),
                )
                for item, side in zip(raw.seeds, sides, strict=True)
            ),
            windows=windows,
            open_accounts=_exact(raw.open_accounts, BASE),
        )
    except (OSError, msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error
