"""A simulated market whose structure is known: what it is good for is finding what was put into it.

All integers and one seeded generator, so the same seed gives the same tape on every machine. Every
100 ms:

1. Order flow remembers itself: its imbalance decays by 3 % and is pushed by noise.
2. The coin's price drifts with the imbalance, plus noise, plus a pull towards the strike.
3. Takers buy and sell the coin, more often on the side of the imbalance: that is how it shows.
4. Now and then somebody moves a large amount of coin. Most such transfers are sold within the next
   minute, which adds to the imbalance; the others mean nothing.
5. One outcome token pays 1 if the coin ends above the strike, the other 1 if it does not. Their
   maker quotes around the fair price, but knows the coin's price 2 s late. Noise traders trade
   against the quotes all the time. The two books mirror each other.

So a taker who watches the coin can be faster than the tokens' maker, a quote that rests can earn
the spread from noise and lose it to the faster, and a large transfer is a hint. None of that says
anything about a real market.
"""

import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from strongroom_host.ring.tick import Flag, Kind, Side, Status
from strongroom_host.tape.sink import Sink

__all__ = [
    "COIN",
    "FEED_COIN",
    "FEED_MEMPOOL",
    "FEED_TOKEN",
    "MEMPOOL",
    "OTHER",
    "TOKEN",
    "Market",
]

TOKEN: Final = "polymarket:1"  # noqa: S105  an outcome token, nothing secret
OTHER: Final = "polymarket:2"
COIN: Final = "binance:BTCUSDT"
MEMPOOL: Final = "bitcoin:mempool"
FEED_TOKEN: Final = 1
FEED_COIN: Final = 2
FEED_MEMPOOL: Final = 4

_STEP_NS: Final = 100_000_000
_UNIT: Final = 100_000_000
_STRIKE: Final = 60_000 * _UNIT
_LATE: Final = 20
_TICK: Final = 1_000_000  # 0.01
_NOISE: Final = 150_000_000  # 1.5 USD a step
_LEVELS: Final = 5


@dataclass(slots=True)
class _Lane:
    """A feed's numbering."""

    feed: int
    instrument: int
    number: int = 0


class Market:
    """One run of it. `step` by `step` it publishes ticks into a sink."""

    def __init__(self, seed: int, sink: Sink, *, start_ns: int, wall_ns: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  a market to be repeated, not a secret
        self._sink = sink
        self._now_ns, self._wall_ns = start_ns, wall_ns
        self._token = _Lane(FEED_TOKEN, sink.instrument(TOKEN))
        self._coin = _Lane(FEED_COIN, sink.instrument(COIN))
        self._mempool = _Lane(FEED_MEMPOOL, sink.instrument(MEMPOOL))
        self._other = sink.instrument(OTHER)
        self._price, self._flow, self._sold = _STRIKE, 0, 0
        self._seen = deque([_STRIKE] * _LATE, maxlen=_LATE)
        self._levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self._best = (0, 0)
        for lane in (self._token, self._coin, self._mempool):
            self._emit(lane, Kind.STATUS, Side.NONE, 0, 0, 0, int(Status.CONNECTED))
        self._quote(snapshot=True)

    @property
    def now_ns(self) -> int:
        """The simulated CLOCK_MONOTONIC."""
        return self._now_ns

    def run(self, seconds: int) -> None:
        """Goes on for so long."""
        for _ in range(seconds * (1_000_000_000 // _STEP_NS)):
            self.step()

    def step(self) -> None:
        """Goes on by 100 ms; ticks arrive at different times within it."""
        self._now_ns += _STEP_NS - self._now_ns % _STEP_NS
        self._transfers()
        self._move()
        self._coin_ticks()
        self._now_ns += 20_000_000 + self._random.getrandbits(20)
        self._quote()
        self._now_ns += 20_000_000 + self._random.getrandbits(20)
        self._noise_trade()

    def _gauss(self, scale: int) -> int:
        """Returns a number of standard deviation `scale`, nearly normal: twelve uniform ones."""
        total = sum(self._random.getrandbits(16) for _ in range(12)) - 6 * 65_535
        return total * scale // 65_536

    def _chance(self, in_4096: int) -> bool:
        return self._random.getrandbits(12) < in_4096

    def _transfers(self) -> None:
        if not self._chance(40):
            return
        large = self._chance(200)
        coins = (100 + self._random.randrange(900)) if large else 1 + self._random.randrange(40)
        size = coins * _UNIT + self._random.randrange(_UNIT)
        if large and self._chance(3000):
            self._sold = 300
        detail = self._random.getrandbits(64)
        self._now_ns += self._random.getrandbits(20)
        self._emit(self._mempool, Kind.TRANSFER, Side.NONE, int(Flag.LAST), 0, size, detail)

    def _move(self) -> None:
        # The sales after transfers are about five a step: over time they are bought back.
        pushed = 5 + self._gauss(240)
        if self._sold:
            self._sold -= 1
            pushed -= 50
        # Imbalance in 1/1000 of its standard deviation, roughly.
        self._flow = self._flow * 97 // 100 + pushed
        drift = _NOISE * self._flow // 4_000
        pull = (self._price - _STRIKE) // 2_000
        self._seen.append(self._price)
        self._price += drift - pull + self._gauss(_NOISE)

    def _coin_ticks(self) -> None:
        half = 5_000_000 + self._random.getrandbits(22)
        bid, ask = self._price - half, self._price + half
        lean = max(-450, min(450, self._flow // 4))
        depth = 2 * _UNIT
        sizes = (depth * (500 + lean) // 500, depth * (500 - lean) // 500)
        noise = tuple(self._random.randrange(_UNIT // 4) + 1 for _ in range(2))
        self._emit(self._coin, Kind.BEST_BID, Side.BUY, 0, bid, sizes[0] + noise[0], 0)
        last = int(Flag.LAST)
        self._emit(self._coin, Kind.BEST_ASK, Side.SELL, last, ask, sizes[1] + noise[1], 0)
        for _ in range(self._random.getrandbits(2)):
            buys = self._random.randrange(1000) < 500 + lean
            size = 1 + self._random.randrange(_UNIT // 2)
            price, side = (ask, Side.BUY) if buys else (bid, Side.SELL)
            self._emit(
                self._coin, Kind.TRADE, side, last, price, size, self._random.getrandbits(40)
            )

    def _quote(self, *, snapshot: bool = False) -> None:
        """The token's maker: two ticks around what it takes for fair, and four levels behind."""
        fair = _UNIT // 2 + (self._seen[0] - _STRIKE) // 800
        fair = max(4 * _TICK, min(_UNIT - 4 * _TICK, fair))
        bid = (fair - _TICK // 2) // _TICK * _TICK
        ask = bid + (_TICK if fair - bid <= _TICK else 2 * _TICK)
        wanted = {
            Side.BUY: [bid - n * _TICK for n in range(_LEVELS) if bid - n * _TICK > 0],
            Side.SELL: [ask + n * _TICK for n in range(_LEVELS) if ask + n * _TICK < _UNIT],
        }
        changes = list[tuple[Side, int, int]]()
        for side, prices in wanted.items():
            levels = self._levels[side]
            changes += [(side, price, 0) for price in levels if price not in prices]
            for depth, price in enumerate(prices):
                if price not in levels or self._chance(60):
                    size = (100 + self._random.randrange(400)) * (depth + 1) * _UNIT
                    changes.append((side, price, size))
        for side, price, size in changes:
            if size:
                self._levels[side][price] = size
            else:
                del self._levels[side][price]
        self._publish_book(changes, snapshot)

    def _publish_book(self, changes: list[tuple[Side, int, int]], snapshot: bool) -> None:
        best = (max(self._levels[Side.BUY]), min(self._levels[Side.SELL]))
        moved = snapshot or best != self._best
        first = int(Flag.SNAPSHOT) if snapshot else 0
        sizes = (self._levels[Side.BUY][best[0]], self._levels[Side.SELL][best[1]])
        last, self._best = len(changes) - 1, best
        for mirrored in (False, True):
            for place, (side, price, size) in enumerate(changes):
                flags = first | (Flag.LAST if not moved and place == last else 0)
                self._side(Kind.LEVEL, side, int(flags), price, size, mirrored=mirrored)
            if moved:
                bests = [(Side.BUY, best[0], sizes[0]), (Side.SELL, best[1], sizes[1])]
                # The bid comes first, whichever of the two it is in the mirror.
                for place, (side, price, size) in enumerate(bests[:: -1 if mirrored else 1]):
                    flags = first | Flag.DERIVED | (Flag.LAST if place else 0)
                    self._side(None, side, int(flags), price, size, mirrored=mirrored)

    def _side(
        self, kind: Kind | None, side: Side, flags: int, price: int, size: int, *, mirrored: bool
    ) -> None:
        """Publishes a level, or (no kind) the best of a side, of one token or mirrored of the
        other: who offers the one at 0.40 bids 0.60 for the other."""
        if mirrored:
            side, price = Side.SELL if side is Side.BUY else Side.BUY, _UNIT - price
        chosen = kind or (Kind.BEST_BID if side is Side.BUY else Kind.BEST_ASK)
        instrument = self._other if mirrored else self._token.instrument
        self._emit(self._token, chosen, side, flags, price, size, 0, instrument)

    def _noise_trade(self) -> None:
        if not self._chance(900):
            return
        taker = Side.BUY if self._random.getrandbits(1) else Side.SELL
        resting = Side.SELL if taker is Side.BUY else Side.BUY
        price = self._best[1] if taker is Side.BUY else self._best[0]
        there = self._levels[resting][price]
        size = min((5 + self._random.randrange(120)) * _UNIT, there - _UNIT)
        if size <= 0:
            return
        detail = self._random.getrandbits(64)
        self._emit(self._token, Kind.TRADE, taker, int(Flag.LAST), price, size, detail)
        self._levels[resting][price] = there - size
        self._publish_book([(resting, price, there - size)], snapshot=False)

    def _emit(
        self,
        lane: _Lane,
        kind: Kind,
        side: Side,
        flags: int,
        price: int,
        size: int,
        detail: int,
        instrument: int | None = None,
    ) -> None:
        if instrument is None:
            instrument = 0 if kind is Kind.STATUS else lane.instrument
        who, what = (lane.feed, flags, instrument), (price, size)
        clocks = (self._now_ns, self._wall_ns + self._now_ns)
        self._sink.publish(int(kind), int(side), *who, 1, lane.number, *what, *clocks, detail)
        lane.number += 1
