"""What the model is shown of the market, the same in training and live: integers, in one place.

At the end of each step of the ticks' clock twelve numbers, each from -256 to 256 and meant as
1/128. Sums, averages and quotients are of integers, and quotients round down. So the same ticks
give the same features on every machine.

| feature | 128 stands for |
| --- | --- |
| `spread` | two cents between the token's best prices |
| `level` | the token at 1, where 0 is at 0.5 |
| `drift` | the token two cents above its average of 64 steps |
| `token_flow` | all trades of the token lately were buys (of 16 steps) |
| `token_lean` | all that is on show at the token's best prices is a bid |
| `return_1` | the coin 128 ppm above the step before |
| `return_4`, `return_16`, `return_64` | ... 128, 256, 512 ppm above its average of so many steps |
| `coin_flow` | all trades of the coin lately were buys (of 16 steps) |
| `coin_lean` | all that is on show at the coin's best prices is a bid |
| `transfers` | 512 coins moved in large transfers lately (of 256 steps) |
"""

from typing import Final

from strongroom_host.ring.tick import Kind, Side
from strongroom_host.strategy.book import Book
from strongroom_host.strategy.port import TickView

__all__ = ["HIGHEST", "NAMES", "Features"]

NAMES: Final = (
    *("spread", "level", "drift", "token_flow", "token_lean"),
    *("return_1", "return_4", "return_16", "return_64"),
    *("coin_flow", "coin_lean", "transfers"),
)
HIGHEST: Final = 256

_TRADE: Final = int(Kind.TRADE)
_TRANSFER: Final = int(Kind.TRANSFER)
_BUY: Final = int(Side.BUY)
_UNIT: Final = 100_000_000
_CENT: Final = 1_000_000
_FINE: Final = 16
_LARGE: Final = 100 * _UNIT


class Features:
    """The state behind the features.

    Attributes:
        token: The book of the outcome token, which is traded.
        coin: The book of what it is about.
    """

    __slots__ = (*("_before", "_flow", "_ids", "_means", "_moved", "_token_mean", "coin", "token"),)

    def __init__(self, token: int, coin: int, mempool: int) -> None:
        """Begins without knowing anything.

        Args:
            token: Instrument of the outcome token.
            coin: Instrument of the coin.
            mempool: Instrument of the coin's transfers; 0 if there is none.
        """
        self._ids = (token, coin, mempool)
        self.token, self.coin = Book(), Book()
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self.token.clear()
        self.coin.clear()
        self._means: list[int] | None = None
        self._token_mean = self._before = self._moved = 0
        # Bought and sold lately, of token and coin.
        self._flow = [0, 0, 0, 0]

    def apply(self, view: TickView) -> None:
        """Takes a tick that came within the step."""
        instrument = view.instrument
        token, coin, mempool = self._ids
        kind = view.kind
        if instrument == coin:
            if kind == _TRADE:
                self._flow[2 if view.side == _BUY else 3] += view.size
            else:
                self.coin.apply(view)
        elif instrument == token:
            if kind == _TRADE:
                self._flow[0 if view.side == _BUY else 1] += view.size
            else:
                self.token.apply(view)
        elif instrument == mempool and instrument and kind == _TRANSFER and view.size >= _LARGE:
            self._moved += view.size

    def step(self) -> tuple[int, ...] | None:
        """Ends a step and returns its features; None while a book is not known."""
        token, coin = self.token, self.coin
        if not token.good or not coin.good:
            return None
        mid, price = token.twice_mid, coin.twice_mid
        if self._means is None:
            self._means = [price << _FINE] * 3
            self._token_mean, self._before = mid << _FINE, price
        means = self._means
        values = (
            (token.ask - token.bid) * 64 // _CENT,
            (mid - _UNIT) * 128 // _UNIT,
            ((mid << _FINE) - self._token_mean) * 32 // (_CENT << _FINE),
            _share(self._flow[0], self._flow[1]),
            _share(token.bid_size, token.ask_size),
            (price - self._before) * 1_000_000 // price,
            _ppm(price, means[0]),
            _ppm(price, means[1]) // 2,
            _ppm(price, means[2]) // 4,
            _share(self._flow[2], self._flow[3]),
            _share(coin.bid_size, coin.ask_size),
            self._moved // (4 * _UNIT),
        )
        self._end(mid, price, means)
        return tuple([max(-HIGHEST, min(HIGHEST, value)) for value in values])

    def _end(self, mid: int, price: int, means: list[int]) -> None:
        """Lets averages follow and what is past fade."""
        self._before = price
        self._token_mean += ((mid << _FINE) - self._token_mean) >> 6
        for place, memory in enumerate((2, 4, 6)):
            means[place] += ((price << _FINE) - means[place]) >> memory
        self._flow = [each - (each >> 4) for each in self._flow]
        self._moved -= self._moved >> 8


def _share(first: int, second: int) -> int:
    whole = first + second
    return (first - second) * 128 // whole if whole else 0


def _ppm(price: int, mean: int) -> int:
    return ((price << _FINE) - mean) * 1_000_000 // mean
