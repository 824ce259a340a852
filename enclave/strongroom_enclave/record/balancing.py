"""What a venue holds that its history does not explain, and the events that explain it at a start.

Pure: the ledger's own identity (README.md, "Against a venue's balance") the other way round.
"""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from strongroom_enclave.record.events import Event, Flow, FlowKind, Markets, Side, Trade, canonical
from strongroom_enclave.record.exact import FINEST, ONE, UNKNOWN, exactly, quotient
from strongroom_enclave.record.ledger import Amounts, Ledger, less, worth
from strongroom_enclave.record.returns import Marks

_BOOKED: Final = Decimal("1e-8")
_SHOWN: Final = Decimal("1e-7")
_ENTRY: Final = Decimal("1e-4")
_Positions = Sequence[tuple[str, Decimal, Decimal]]


class Rest(NamedTuple):
    """What a venue has beyond a ledger: cash by asset, and contracts, as trades count them, by
    symbol. `any(rest)` says whether there is anything."""

    cash: dict[str, Decimal]
    contracts: dict[str, Decimal]


def differences(
    events: Sequence[Event], markets: Markets, balances: Amounts, positions: _Positions
) -> Rest:
    """Returns what the ledger of all these events does not explain of what the venue says: wallet
    balances by asset, without open profit; open positions as (symbol, contracts with the sign of
    the side, entry price). What the venue's rounding may explain is left out.

    Raises:
        EventInvalid: a number of the venue's is out of range.
        MarketUnknown: a trade or a position is in a market that was not described.
        PrecisionExhausted: the numbers do not fit, or an inverse contract was entered at 0.
    """
    ledger, told = Ledger(markets), Ledger(markets)
    spare = defaultdict[str, Decimal](lambda: _SHOWN)
    with exactly():
        ledger.fold(events)
        told.fold(_as_events(balances, positions, 0))
        for event in events:
            if isinstance(event, Trade):
                spare[markets[event.symbol].settle] += _BOOKED
        for symbol, held, entry in positions:
            market, last = markets[symbol], ONE.scaleb((entry * 0).adjusted())
            prices = entry, entry + min(last, max(entry * _ENTRY, _BOOKED))
            cost, other = (worth(market, held * market.size, price) for price in prices)
            spare[market.settle] += abs(cost - other)
        cash, contracts = less(told.cash, ledger.cash), less(told.contracts, ledger.contracts)
        return Rest(
            {asset: amount for asset, amount in cash.items() if abs(amount) > spare[asset]},
            {symbol: held / markets[symbol].size for symbol, held in contracts.items() if held},
        )


def openings(rest: Rest, markets: Markets, marks: Marks, time_ms: int) -> list[Event]:
    """Returns the events of a record's start that explain this rest: each position as a trade at
    the mark of that time, and for each asset one OPENING, which has their open profit in it.

    Raises:
        EventInvalid: a position has no mark at that time, or a number is out of range.
        PrecisionExhausted: the mark of an inverse contract is 0.
        VenueFault: marks cannot be had now.
    """
    ledger, positions = Ledger(markets), list[tuple[str, Decimal, Decimal]]()
    for symbol, held in rest.contracts.items():
        mark = marks.at(symbol, time_ms)
        positions.append((symbol, held, mark.price if mark else UNKNOWN))
    with exactly():
        ledger.fold(_as_events({}, positions, time_ms))
        cash = less(rest.cash, ledger.cash)
        cash = {asset: quotient(amount, ONE, FINEST) for asset, amount in cash.items()}
    return canonical(_as_events(cash, positions, time_ms))


def _as_events(cash: Amounts, positions: _Positions, time_ms: int) -> list[Event]:
    """Returns events of one time that make up such cash and such positions."""
    name, opening = f"opening {time_ms}", FlowKind.OPENING
    events: list[Event] = [Flow(time_ms, name, asset, cash[asset], opening) for asset in cash]
    for symbol, held, price in positions:
        side = Side.BUY if held > 0 else Side.SELL
        events.append(Trade(time_ms, name, symbol, side, abs(held), price))
    return events
