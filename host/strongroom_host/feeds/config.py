"""Which feeds run and how: a TOML file, or the same as options of the command line."""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

import msgspec

from strongroom_host.feeds.core import Timing
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.errors import BadFeed
from strongroom_host.pins import PinSet

__all__ = [
    "FEED_IDS",
    "BinanceConfig",
    "BitcoinConfig",
    "CoinbaseConfig",
    "FeedsConfig",
    "PolymarketConfig",
    "SocketConfig",
    "TimingConfig",
    "load_config",
    "parse_address",
    "satoshi",
]

FEED_IDS: Final = {"polymarket": 1, "binance": 2, "coinbase": 3, "bitcoin": 4}
"""The number of each feed in ticks."""


class SocketConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What all WebSocket feeds have.

    `pins` are ``sha256/BASE64`` texts; `cafile` replaces the system's roots; `address` (HOST:PORT)
    is dialled in the place of the URL's host; `connections` is how many are kept, 1 to 4.
    """

    url: str
    pins: tuple[str, ...] = ()
    cafile: str = ""
    address: str = ""
    connections: int = 2

    def endpoint(self) -> Endpoint:
        """Where to connect.

        Raises:
            BadFeed: the URL or the address is none.
            BadPin: a pin is none.
        """
        if not 1 <= self.connections <= 4:
            raise BadFeed("that many connections are not kept", expected="1 to 4")
        plain = Endpoint(self.url)
        return Endpoint(
            self.url,
            pins=PinSet.of(plain.host, self.pins) if self.pins else None,
            cafile=Path(self.cafile).expanduser() if self.cafile else None,
            address=parse_address(self.address) if self.address else None,
        )


class PolymarketConfig(SocketConfig, kw_only=True, frozen=True):
    """The market channel; `tokens` are decimal token ids."""

    tokens: tuple[str, ...]
    url: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"


class BinanceConfig(SocketConfig, kw_only=True, frozen=True):
    """Spot streams; `trades` is ``trade`` or ``aggTrade``."""

    symbols: tuple[str, ...]
    trades: str = "trade"
    url: str = "wss://data-stream.binance.vision/stream"


class CoinbaseConfig(SocketConfig, kw_only=True, frozen=True):
    """Market data; `books` adds whole books, of whose snapshots `depth` levels a side are shown."""

    products: tuple[str, ...]
    books: bool = False
    depth: int = 100
    url: str = "wss://advanced-trade-ws.coinbase.com"


class BitcoinConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Nodes' ``zmqpubrawtx`` addresses; transfers below `least_btc` (decimal text) are left out."""

    addresses: tuple[str, ...]
    least_btc: str = "100"
    mempool: bool = False


class TimingConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Seconds; see `core.Timing`."""

    silence: float = 30.0
    behind: float = 30.0
    resubscribe: float = 1.0
    skew: float = 1.0

    def timing(self) -> Timing:
        """The same for a feed.

        Raises:
            BadFeed: a time that is not positive.
        """
        times = (self.silence, self.behind, self.resubscribe, self.skew)
        if any(not 0 < seconds <= 86_400 for seconds in times):
            raise BadFeed("a time is out of range", expected="more than 0 s, at most a day")
        return Timing(*times)


class FeedsConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """All feeds of one process; `ring` is where their ticks go, `metrics` HOST:PORT or empty."""

    ring: str = ""
    slots: int = 512
    metrics: str = ""
    timing: TimingConfig = TimingConfig()
    polymarket: PolymarketConfig | None = None
    binance: BinanceConfig | None = None
    coinbase: CoinbaseConfig | None = None
    bitcoin: BitcoinConfig | None = None


def load_config(path: Path) -> FeedsConfig:
    """The configuration in a TOML file.

    Raises:
        BadFeed: unreadable, no TOML, or with a key that nothing reads.
    """
    try:
        raw = tomllib.loads(path.read_text())
        return msgspec.convert(raw, FeedsConfig)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadFeed(f"{path} configures no feeds", actual=error) from error


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, an IPv6 address in brackets.

    Raises:
        BadFeed: another form.
    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadFeed("not an address", expected="HOST:PORT", actual=text[:200])
    return bare, int(port)


def satoshi(text: str) -> int:
    """An amount of bitcoin as satoshi.

    Raises:
        BadFeed: not a decimal number, or finer than a satoshi.
    """
    try:
        value = Decimal(text).scaleb(8)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0 or value != value.to_integral_value():
        raise BadFeed("not an amount of bitcoin", expected="such as 100 or 0.5", actual=text[:40])
    return int(value)
