"""Which of the ring's instruments is which of the venue's tokens, and how coarse its prices are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from strongroom_wire.manifest import Key

from strongroom_host.trading.errors import MarketUnknown

__all__ = ["TICKS", "TradedMarket", "parse_markets"]

TICKS: Final = ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")
"""Tick sizes in the wire's order."""
_MILLIONTHS: Final = tuple(int(Decimal(tick).scaleb(6)) for tick in TICKS)
_DEFAULT_TICK: Final = "0.01"


@dataclass(slots=True)
class TradedMarket:
    """One market that may be traded.

    Attributes:
        instrument: Its index in the ring's table.
        name: The instrument's name there.
        token: The venue's outcome token id.
        tick: Index of its tick size in `TICKS`; the venue may change it.
    """

    instrument: int
    name: str
    token: int
    tick: int

    def retick(self, units: int) -> bool:
        """Takes a new tick size in 1e-8 pUSD; False where it is none that the venue has."""
        if units % 100 or units // 100 not in _MILLIONTHS:
            return False
        self.tick = _MILLIONTHS.index(units // 100)
        return True


def parse_markets(
    texts: Iterable[str], instruments: Sequence[str], key: Key
) -> dict[int, TradedMarket]:
    """Returns the markets by instrument.

    Args:
        texts: Each TOKEN=INSTRUMENT, or TOKEN=INSTRUMENT:TICK where the tick size is not 0.01. For
            TOKEN alone, the instrument whose name ends in the token.
        instruments: The ring's table; the first name is that of index 1.
        key: What the manifest lets this key trade.

    Raises:
        MarketUnknown: no such instrument or market, or one of them twice.
    """
    found: dict[int, TradedMarket] = {}
    for text in texts:
        market = _parse(text, instruments, key)
        if market.instrument in found or market.token in (m.token for m in found.values()):
            raise MarketUnknown(f"{text!r} names a market a second time")
        found[market.instrument] = market
    if not found:
        raise MarketUnknown(
            "there is no market to trade", remedy="name at least one: --market TOKEN=INSTRUMENT"
        )
    return found


def _parse(text: str, instruments: Sequence[str], key: Key) -> TradedMarket:
    token, _, rest = text.partition("=")
    if not (token.isascii() and token.isdigit()):
        raise MarketUnknown(
            f"{text!r} does not begin with a token id", expected="TOKEN=INSTRUMENT, TOKEN decimal"
        )
    name, tick = rest, _DEFAULT_TICK
    head, colon, tail = rest.rpartition(":")
    if colon and _number(tail) in TICKS:
        name, tick = head, _number(tail)
    if not name:
        name = next((each for each in instruments if each.endswith(token)), "")
    if name not in instruments:
        raise MarketUnknown(
            f"the ring has no instrument {name or token!r}",
            expected=", ".join(instruments) or "a feed that has told of one",
            remedy="`strongroom ring show NAME` lists them; the feed must follow this market",
        )
    if token not in (market.token for market in key.policy.markets):
        raise MarketUnknown(
            f"the manifest does not let the key {key.name!r} trade the token {token}",
            expected=", ".join(market.token for market in key.policy.markets) or "no token at all",
            remedy="the owner adds it in the next manifest: strongroom manifest new --market ...",
        )
    return TradedMarket(instruments.index(name) + 1, name, int(token), TICKS.index(tick))


def _number(text: str) -> str:
    try:
        return f"{Decimal(text).normalize():f}"
    except InvalidOperation:
        return ""
