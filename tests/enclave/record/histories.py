"""Random accounts and markets, as bad as they come, drawn by hypothesis.

Few distinct amounts and times, so that positions close to the last unit, flip, and meet on the same
millisecond and on full hours; and prices of any number of decimals, so that rounding is exercised.
"""

from collections.abc import Iterable
from decimal import Decimal
from random import Random

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Side, Trade
from strongroom_enclave.record.returns import HOUR_MS, Account, Basis, Doubt, Flag, Hour, Mark

__all__ = ["ASSETS", "MARKETS", "START", "RandomMarks", "crowded", "doubts", "histories"]
__all__ += ["hours", "markets_at_random"]

START = 1_700_000_000_000 // HOUR_MS * HOUR_MS
ASSETS = ["USDT", "BTC", "ETH", "BNB", "GONE"]
MARKETS = {
    market.symbol: market
    for market in (
        Market("BTC/USDT", "BTC", "USDT", "USDT", Kind.SPOT),
        Market("ETH/BTC", "ETH", "BTC", "BTC", Kind.SPOT),
        Market("GONE/USDT", "GONE", "USDT", "USDT", Kind.SPOT),
        Market("BTC/USDT:USDT", "BTC", "USDT", "USDT", Kind.LINEAR),
        Market("ETH/USDT:USDT", "ETH", "USDT", "USDT", Kind.LINEAR, Decimal("0.01")),
        Market("BTC/USD:BTC", "BTC", "USD", "BTC", Kind.INVERSE, Decimal(100)),
        Market("ETH/USD:ETH", "ETH", "USD", "ETH", Kind.INVERSE, Decimal("0.3")),
    )
}


def hours(events: Iterable[Event], basis: Basis, span: tuple[int, int]) -> list[Hour]:
    """The hours of a span, in these markets."""
    return list(Account(events, MARKETS, basis, span[0]).hours(span[1]))


class RandomMarks(Struct, frozen=True):
    """The same question has the same answer; in a bad world some have none, or an old one."""

    seed: int
    bad: bool = False

    def at(self, name: str, time_ms: int) -> Mark | None:
        """A price between 10**-6 and 10**6 with up to 12 decimals."""
        chance = Random(f"{self.seed} {name} {time_ms}")  # noqa: S311  a market, not a secret
        if self.bad and chance.random() < (0.5 if name == "GONE" else 0.02):
            return None
        price = Decimal(chance.choice((1, 7, chance.randrange(1, 10**12))))
        price = price.scaleb(chance.randrange(-12, 1) if price > 7 else 0)
        if self.bad and chance.random() < 0.02:
            price = Decimal(0)
        age = 0
        if chance.random() < 0.2:
            age = chance.randrange(10 * HOUR_MS if self.bad else HOUR_MS)
        return Mark(price, f"candle {time_ms - age}", age)


def _decimals(low: int = 1, whole: int = 10**9) -> st.SearchStrategy[Decimal]:
    free = st.builds(
        lambda digits, places: Decimal(digits).scaleb(-places),
        st.integers(low, whole),
        st.integers(0, 18),
    )
    return st.one_of(st.sampled_from([Decimal(1), Decimal(2), Decimal(3), Decimal("0.5")]), free)


_TIMES = st.one_of(
    st.sampled_from([START - HOUR_MS, START, START + HOUR_MS, START + 2 * HOUR_MS]),
    st.integers(-2, 4).map(lambda n: START + 1_234 + n * HOUR_MS // 2),
    st.integers(START - 2 * HOUR_MS, START + 4 * HOUR_MS),
)
_SIGNED = {FlowKind.DEPOSIT: 1, FlowKind.WITHDRAWAL: -1}


@st.composite
def _trades(draw: st.DrawFn) -> Trade:
    symbol = draw(st.sampled_from(list(MARKETS)))
    fee = draw(st.one_of(st.just(Decimal(0)), _decimals(-(10**4), 10**4)))
    amount = draw(_decimals())
    fee_asset = draw(st.sampled_from([*ASSETS, MARKETS[symbol].base, "BNB"]))
    if fee_asset == MARKETS[symbol].base and draw(st.booleans()):
        fee = draw(st.sampled_from([amount, amount / 2]))
    side, price = draw(st.sampled_from(Side)), draw(_decimals())
    return Trade(draw(_TIMES), "1", symbol, side, amount, price, fee, fee_asset)


@st.composite
def _flows(draw: st.DrawFn) -> Flow:
    kind = draw(st.sampled_from(FlowKind))
    amount = draw(_decimals(1, 10**12)) * draw(st.sampled_from([1, 1000]))
    amount *= _SIGNED.get(kind) or draw(st.sampled_from([1, -1]))
    return Flow(draw(_TIMES), "1", draw(st.sampled_from(ASSETS)), amount, kind)


def _numbered(events: list[Event]) -> list[Event]:
    """Ids as venues have them, of different lengths, and not in the order of time."""
    return [replace(event, id=str(number * 7919 % 1009)) for number, event in enumerate(events)]


def crowded(seed: int) -> list[Event]:
    """A busy account: up to 80 events in few markets, most of them trades that open, close and flip
    by a few distinct amounts, with money that comes and goes in between."""
    chance = Random(seed)  # noqa: S311
    symbols = chance.sample(list(MARKETS), chance.randrange(1, 4))
    amounts = [Decimal(chance.randrange(1, 10**6)).scaleb(-chance.randrange(9)) for _ in range(3)]
    prices = [Decimal(chance.randrange(1, 10**9)).scaleb(-chance.randrange(22)) for _ in range(9)]
    late = chance.random() < 0.2  # nothing is there in the first hour
    since = START + (HOUR_MS + 999 if late else -3 * HOUR_MS)
    events: list[Event] = [
        Flow(since, "1", asset, Decimal(10 ** chance.randrange(6, 14)), kind)
        for asset, kind in [("USDT", FlowKind.OPENING), ("BTC", FlowKind.DEPOSIT)]
        if chance.random() < 0.9
    ]
    for _ in range(chance.randrange(5, 80)):
        hour = chance.choice([2, 3] if late else [-1, 0, 1, 2, 3])
        within = chance.choice([0, 0, 1, HOUR_MS // 2, chance.randrange(HOUR_MS)])
        time_ms = START + hour * HOUR_MS + within
        if chance.random() < 0.85:
            market, fee = MARKETS[chance.choice(symbols)], chance.choice([-1, 0, 0, 1, 1])
            amount = chance.choice(amounts) * chance.choice([1, 1, 2, 3])
            fee_asset = chance.choice([market.base, market.quote, "BNB"])
            paid = fee * amount * chance.choice([Decimal("0.001"), Decimal("0.0007")])
            side = chance.choice(list(Side))
            price = chance.choice(prices)
            events.append(Trade(time_ms, "1", market.symbol, side, amount, price, paid, fee_asset))
        else:
            kind = chance.choice(list(FlowKind))
            amount = chance.choice(amounts) * (_SIGNED.get(kind) or chance.choice([1, -1]))
            events.append(Flow(time_ms, "1", chance.choice(ASSETS), amount, kind))
    return _numbered(events)


def histories(largest: int = 25) -> st.SearchStrategy[list[Event]]:
    """Events around four hours, half of them of an account that has money to begin with."""
    capital = Flow(START - 3 * HOUR_MS, "1", "USDT", Decimal(10**9), FlowKind.OPENING)
    some: st.SearchStrategy[list[Event]] = st.lists(
        st.one_of(_trades(), _flows()), max_size=largest
    )
    return st.builds(
        lambda first, rest: _numbered([*first, *rest]), st.sampled_from([[], [capital]]), some
    )


def markets_at_random() -> st.SearchStrategy[RandomMarks]:
    """Marks with and without holes."""
    return st.builds(RandomMarks, st.integers(0, 10**6), st.booleans())


def doubts() -> st.SearchStrategy[list[Doubt]]:
    """Spans that the caller cannot vouch for."""
    ends = st.tuples(_TIMES, _TIMES).map(lambda pair: (min(pair), max(pair)))
    flags = st.sampled_from([Flag.GAP, Flag.UNEXPLAINED])
    return st.lists(
        st.builds(lambda span, flag: Doubt(span[0], span[1], flag), ends, flags), max_size=1
    )
