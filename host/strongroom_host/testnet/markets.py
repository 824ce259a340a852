"""Markets and their tick, lot and precision rules, as integers.

| tick | price places | size places | amount places |
| 0.1 | 1 | 2 | 3 |    | 0.01 | 2 | 2 | 4 |     | 0.005 | 3 | 2 | 5 |
| 0.0025 | 4 | 2 | 6 | | 0.001 | 3 | 2 | 5 |    | 0.0001 | 4 | 2 | 6 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom_host.testnet.contracts import is_protocol_v2_position
from strongroom_host.testnet.errors import (
    AmountsTooPrecise,
    ConfigError,
    PriceOffTick,
    PriceOutOfBounds,
    SizeTooSmall,
)
from strongroom_host.testnet.orders import Order, OrderType, Side
from strongroom_host.testnet.units import BASE, PRICE_SCALE, base_text, price_text

__all__ = ["TICK_RULES", "Market", "Terms", "TickRule", "terms_of"]


@dataclass(frozen=True, slots=True)
class TickRule:
    """One row of the table; `tick` in price units (1e-4), places in decimal digits."""

    tick: int
    size_places: int
    amount_places: int

    @property
    def size_step(self) -> int:
        """The smallest step of a share count, in base units."""
        return int(10 ** (6 - self.size_places))

    @property
    def amount_step(self) -> int:
        """The smallest step of the computed amount, in base units."""
        return int(10 ** (6 - self.amount_places))


TICK_RULES: Final = {
    "0.1": TickRule(1000, 2, 3),
    "0.01": TickRule(100, 2, 4),
    "0.005": TickRule(50, 2, 5),
    "0.0025": TickRule(25, 2, 6),
    "0.001": TickRule(10, 2, 5),
    "0.0001": TickRule(1, 2, 6),
}


@dataclass(frozen=True, slots=True)
class Market:
    """A YES/NO market.

    `condition_id` as the venue writes it; `tokens` are the two asset ids; `min_shares` is the
    least size of a resting order in base units.
    """

    condition_id: str
    tokens: tuple[int, int]
    tick_size: str
    neg_risk: bool = False
    min_shares: int = 5 * BASE
    outcomes: tuple[str, str] = ("Yes", "No")

    def __post_init__(self) -> None:
        if self.tick_size not in TICK_RULES:
            raise ConfigError(f"tick size {self.tick_size} is not one of {', '.join(TICK_RULES)}")
        first, second = (is_protocol_v2_position(token) for token in self.tokens)
        if first != second:
            raise ConfigError(f"{self.condition_id}: one token is a V2 position, the other not")
        if first and self.neg_risk:
            raise ConfigError(f"{self.condition_id}: V2 positions have no neg-risk exchange")

    @property
    def rule(self) -> TickRule:
        """The tick rule of this market."""
        return TICK_RULES[self.tick_size]

    def outcome_of(self, token: int) -> str:
        """The outcome that `token` pays for."""
        return self.outcomes[self.tokens.index(token)]


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order means on the book: limit `price` (price units), shares and cash (base)."""

    price: int
    shares: int
    cash: int


def terms_of(order: Order, order_id: str, order_type: OrderType, market: Market) -> Terms:
    """The limit price and amounts of `order`, proven to be on the market's grid.

    A BUY that is filled or killed is denominated in cash: its share count is cash / price floored
    to the amount places, so the implied price may sit a fraction above its tick. Every other
    order implies its price exactly.

    Raises:
        AmountsTooPrecise: an amount has too many decimals.
        PriceOffTick: the implied price is no multiple of the tick.
        PriceOutOfBounds: the price is below one tick or above one minus a tick.
        SizeTooSmall: a resting order below the market's minimum.
    """
    rule = market.rule
    buys = order.side is Side.BUY
    in_cash = buys and not order_type.rests
    shares = order.taker_amount if buys else order.maker_amount
    cash = order.maker_amount if buys else order.taker_amount
    share_step = rule.amount_step if in_cash else rule.size_step
    cash_step = rule.size_step if in_cash else rule.amount_step
    if shares % share_step or cash % cash_step:
        kind = "market buy" if in_cash else order.side.name.lower()
        amounts = (rule.amount_places, rule.size_places)
        maker, taker = amounts if buys and not in_cash else amounts[::-1]
        raise AmountsTooPrecise(kind, maker, taker)
    price = _implied_price(shares, cash, rule.tick, rule.amount_step if in_cash else 0)
    if price is None:
        shown = price_text(cash * PRICE_SCALE // shares)
        raise PriceOffTick(order_id, shown, market.tick_size)
    if not rule.tick <= price <= PRICE_SCALE - rule.tick:
        raise PriceOutOfBounds(
            price_text(price), price_text(rule.tick), price_text(PRICE_SCALE - rule.tick)
        )
    if order_type.rests and shares < market.min_shares:
        raise SizeTooSmall(order_id, base_text(shares), base_text(market.min_shares))
    return Terms(price, shares, cash)


def _implied_price(shares: int, cash: int, tick: int, slack: int) -> int | None:
    """The multiple of `tick` nearest to cash / shares, if it explains the amounts.

    It does when ``cash == price * shares``, or, given `slack` (base units of shares), when the
    share count is within `slack` of ``cash / price``: the clients round it up at four digits more
    before they floor it, so it can come out one step too high as well as too low.
    """
    scaled = cash * PRICE_SCALE
    price = (2 * scaled + shares * tick) // (2 * shares * tick) * tick
    if price <= 0:
        return None
    return price if abs(scaled - price * shares) <= slack * price else None
