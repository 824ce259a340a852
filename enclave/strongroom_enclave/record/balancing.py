"""What a venue holds that its history does not explain, and the events that explain it at a start.

Pure: the ledger's own identity (README.md, "Against a venue's balance") the other way round.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from strongroom_enclave.record.events import Event, Flow, FlowKind, Market, Side, Trade, canonical
from strongroom_enclave.record.exact import FINEST, ONE, UNKNOWN, exactly, quotient
from strongroom_enclave.record.ledger import Ledger, market_of, worth
from strongroom_enclave.record.returns import Marks

__all__ = ["Rest", "differences", "openings"]

_BOOKED: Final = Decimal("1e-8")
_SHOWN: Final = Decimal("1e-7")
_ENTRY: Final = Decimal("1e-4")


class Rest(NamedTuple):
    """What a venue has beyond a ledger: cash by asset, and contracts, as trades count them, by
    symbol. `any(rest)` says whether there is anything."""

    cash: dict[str, Decimal]
    contracts: dict[str, Decimal]


def differences(
    events: Sequence[Event],
    markets: Mapping[str, Market],
    balances: Mapping[str, Decimal],
    positions: Iterable[tuple[str, Decimal, Decimal]],
) -> Rest:
    """Returns what the ledger of all these events does not explain of what the venue says: wallet
    balances by asset, without open profit; open positions as (symbol, contracts with the sign of
    the side, entry price). What the venue's rounding may explain is left out.

    Raises:
        MarketUnknown: a trade or a position is in a market that was not described.
        PrecisionExhausted: the numbers do not fit, or an entry price is 0.
    """
    ledger, spare = Ledger(markets), defaultdict[str, Decimal](lambda: _SHOWN)
    cash, contracts = defaultdict(Decimal, balances), defaultdict[str, Decimal](Decimal)
    with exactly():
        ledger.fold(events)
        for event in events:
            if isinstance(event, Trade):
                spare[markets[event.symbol].settle] += _BOOKED
        for symbol, held, entry in positions:
            market = market_of(markets, symbol)
            cost = worth(market, held * market.size, entry)
            last = ONE.scaleb((entry * 0).adjusted())
            spare[market.settle] += quotient(abs(cost) * min(last, entry * _ENTRY), entry, FINEST)
            cash[market.settle] -= cost
            contracts[symbol] += held
        for asset, amount in ledger.cash.items():
            cash[asset] -= amount
        for symbol, quantity in ledger.contracts.items():
            contracts[symbol] -= quantity / markets[symbol].size
        return Rest(
            {asset: amount for asset, amount in cash.items() if abs(amount) > spare[asset]},
            {symbol: held for symbol, held in contracts.items() if held},
        )


def openings(rest: Rest, markets: Mapping[str, Market], marks: Marks, time_ms: int) -> list[Event]:
    """Returns the events of a record's start that explain this rest: each position as a trade at
    the mark of that time, and for each asset one OPENING, which has their open profit in it.

    Raises:
        EventInvalid: a position has no mark at that time, or a number is out of range.
        PrecisionExhausted: the mark of an inverse contract is 0.
    """
    name, events, cash = f"opening {time_ms}", list[Event](), defaultdict(Decimal, rest.cash)
    with exactly():
        for symbol, held in rest.contracts.items():
            mark, market = marks.at(symbol, time_ms), market_of(markets, symbol)
            side, price = Side.BUY if held > 0 else Side.SELL, mark.price if mark else UNKNOWN
            events.append(Trade(time_ms, name, symbol, side, abs(held), price))
            cash[market.settle] += worth(market, held * market.size, price)
        for asset, amount in cash.items():
            opening = quotient(amount, ONE, FINEST)
            events.append(Flow(time_ms, name, asset, opening, FlowKind.OPENING))
    return canonical(events)
