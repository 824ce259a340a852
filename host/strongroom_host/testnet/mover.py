"""A market that moves: the house's quotes follow a seeded random walk, and now and then it trades.

Its orders are orders like any other, so a price that moves into somebody's resting order fills it.
With one seed and one sequence of steps the walk is the same every time.
"""

from __future__ import annotations

import random
from typing import Final

from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.orders import Side
from strongroom_host.testnet.units import BASE, LOT, PRICE_SCALE

__all__ = ["Mover"]

_DEPTH: Final = 3
_TRADES: Final = 0.35


class Mover:
    """Quotes both sides of both tokens of every market of `clob`; one `step` moves one market.

    The second token's price is one less the first's, as of two outcomes that exclude each other.
    """

    def __init__(self, clob: Clob, seed: int) -> None:
        self._clob = clob
        self._chance = random.Random(seed)  # noqa: S311  # a walk to be repeated, no secret
        self._mids = {
            market.tokens[0]: PRICE_SCALE * 6 // 10 // market.rule.tick * market.rule.tick
            for market in clob.config.markets
        }
        self._quotes: dict[int, list[bytes]] = {
            token: [] for market in clob.config.markets for token in market.tokens
        }

    def step(self) -> None:
        """Move one market: new quotes around a mid a tick away or none, perhaps a trade first."""
        chance = self._chance
        market = chance.choice(self._clob.config.markets)
        tick = market.rule.tick
        margin = (_DEPTH + 1) * tick
        drift = chance.choice((-1, 0, 0, 1)) * tick
        mid = self._mids[market.tokens[0]] + drift
        mid = self._mids[market.tokens[0]] = min(max(mid, margin), PRICE_SCALE - margin)
        for token, around in zip(market.tokens, (mid, PRICE_SCALE - mid), strict=True):
            if chance.random() < _TRADES:
                self._trade(token, chance.choice((Side.BUY, Side.SELL)))
            with self._clob.at_once():  # nobody sees the moment without quotes
                self._requote(token, around, tick)

    def _trade(self, token: int, side: Side) -> None:
        best = self._clob.books[token].best(Side.SELL if side is Side.BUY else Side.BUY)
        if best is not None:
            shares = self._chance.randint(100, 5_000) * LOT
            self._clob.house_order(token, side, best, shares, rests=False)

    def _requote(self, token: int, mid: int, tick: int) -> None:
        quotes = self._quotes[token]
        for order_id in quotes:
            self._clob.house_cancel(order_id)
        quotes.clear()
        for level in range(1, _DEPTH + 1):
            shares = self._chance.randint(20, 400) * BASE
            for side, price in ((Side.BUY, mid - level * tick), (Side.SELL, mid + level * tick)):
                placed = self._clob.house_order(token, side, price, shares)
                quotes.append(placed.order_id)
