"""Options of `feed run` that `feed doctor` takes as well: it is asked with what is to be run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from strongroom_host.errors import BadInput
from strongroom_host.feeds.config import (
    BinanceConfig,
    BitcoinConfig,
    CoinbaseConfig,
    FeedsConfig,
    PolymarketConfig,
    load_config,
)

__all__ = [
    "BinanceOption",
    "BitcoinLeastOption",
    "BitcoinOption",
    "CoinbaseOption",
    "ConfigOption",
    "FeedOptions",
    "MetricsOption",
    "PolymarketCaOption",
    "PolymarketOption",
    "PolymarketUrlOption",
    "RingOption",
    "SlotsOption",
]

RingOption = Annotated[str, typer.Option("--ring", help="The ring that ticks go to.")]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="A TOML file; options add to it and go before it."
    ),
]
PolymarketOption = Annotated[
    list[str] | None,
    typer.Option("--polymarket", metavar="TOKEN", help="A token's book. Repeatable."),
]
PolymarketUrlOption = Annotated[
    str,
    typer.Option(
        "--polymarket-url", metavar="URL", help="Another market channel, such as a testnet's."
    ),
]
PolymarketCaOption = Annotated[
    str, typer.Option("--polymarket-ca", metavar="FILE", help="The only roots that count for it.")
]
BinanceOption = Annotated[
    list[str] | None,
    typer.Option("--binance", metavar="SYMBOL", help="Such as BTCUSDT. Repeatable."),
]
CoinbaseOption = Annotated[
    list[str] | None,
    typer.Option("--coinbase", metavar="PRODUCT", help="Such as BTC-USD. Repeatable."),
]
BitcoinOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bitcoin",
        metavar="ADDRESS",
        help="A node's zmqpubrawtx, tcp://HOST:PORT. Repeatable.",
    ),
]
BitcoinLeastOption = Annotated[
    str,
    typer.Option(
        "--bitcoin-least", metavar="BTC", help="Smaller transfers are left out (default 100)."
    ),
]
SlotsOption = Annotated[
    int, typer.Option("--slots", help="Ticks that the ring holds; a power of two.")
]
MetricsOption = Annotated[
    str,
    typer.Option("--metrics", metavar="HOST:PORT", help="Serve counters for Prometheus there."),
]


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """What was given on the command line; each as its option says, empty where it was not."""

    ring: str = ""
    polymarket: list[str] = field(default_factory=list)
    polymarket_url: str = ""
    polymarket_ca: str = ""
    binance: list[str] = field(default_factory=list)
    coinbase: list[str] = field(default_factory=list)
    bitcoin: list[str] = field(default_factory=list)
    bitcoin_least: str = ""
    slots: int = 0
    metrics: str = ""

    def over(self, config: Path | None) -> FeedsConfig:
        """Returns the file's configuration with these options put in.

        Raises:
            BadFeed: the file is none of feeds.
            BadInput: options that say too little.
        """
        chosen = FeedsConfig() if config is None else load_config(config.expanduser())
        return msgspec.structs.replace(
            chosen,
            ring=self.ring or chosen.ring,
            slots=self.slots or chosen.slots,
            metrics=self.metrics or chosen.metrics,
            polymarket=self._polymarket(chosen.polymarket),
            binance=self._binance(chosen.binance),
            coinbase=self._coinbase(chosen.coinbase),
            bitcoin=self._bitcoin(chosen.bitcoin),
        )

    def _polymarket(self, section: PolymarketConfig | None) -> PolymarketConfig | None:
        if not (self.polymarket or self.polymarket_url or self.polymarket_ca):
            return section
        if section is None and not self.polymarket:
            raise BadInput("a Polymarket feed needs tokens", remedy="give --polymarket TOKEN")
        section = section or PolymarketConfig(tokens=())
        return msgspec.structs.replace(
            section,
            tokens=tuple(dict.fromkeys([*section.tokens, *self.polymarket])),
            url=self.polymarket_url or section.url,
            cafile=self.polymarket_ca or section.cafile,
        )

    def _binance(self, section: BinanceConfig | None) -> BinanceConfig | None:
        if not self.binance:
            return section
        section = section or BinanceConfig(symbols=())
        return msgspec.structs.replace(section, symbols=(*section.symbols, *self.binance))

    def _coinbase(self, section: CoinbaseConfig | None) -> CoinbaseConfig | None:
        if not self.coinbase:
            return section
        section = section or CoinbaseConfig(products=())
        return msgspec.structs.replace(section, products=(*section.products, *self.coinbase))

    def _bitcoin(self, section: BitcoinConfig | None) -> BitcoinConfig | None:
        if not (self.bitcoin or self.bitcoin_least):
            return section
        section = section or BitcoinConfig(addresses=())
        return msgspec.structs.replace(
            section,
            addresses=(*section.addresses, *self.bitcoin),
            least_btc=self.bitcoin_least or section.least_btc,
        )
