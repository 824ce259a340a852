"""Cash and contracts after some events. Only sums, so the order of events does not matter.

A contract is held as if it had been bought for cash (README.md): no entry price, no average, and
nothing to round but the cost of inverse fills.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from strongroom_enclave.record.errors import MarketUnknown
from strongroom_enclave.record.events import Event, Kind, Market, Trade
from strongroom_enclave.record.exact import MONEY, UNKNOWN, ZERO, quotient

__all__ = ["Ledger", "Prices", "cash_value", "market_of", "valued", "worth"]

Prices = Callable[[str], Decimal]
"""Of an asset: in the account's currency; of a contract's symbol: quote per base; or UNKNOWN."""


def market_of(markets: Mapping[str, Market], symbol: str) -> Market:
    """Returns the market of a symbol.

    Raises:
        MarketUnknown: it was not described.
    """
    if (market := markets.get(symbol)) is None:
        raise MarketUnknown("market", "a described one", symbol)
    return market


def worth(market: Market, quantity: Decimal, price: Decimal) -> Decimal:
    """Returns what a quantity costs or is worth at a price, in settle units with the sign of the
    quantity; of an inverse contract with the other one, since who is long owes it."""
    inverse = market.kind is Kind.INVERSE
    return -quotient(quantity, price, MONEY) if inverse else quantity * price


def valued(market: Market, quantity: Decimal, price: Prices) -> Decimal:
    """Returns what is held in a market is worth in the account's currency. At a mark of 0 an
    inverse contract is worth no number."""
    if market.kind is Kind.SPOT:
        return quantity * price(market.base)
    mark = price(market.symbol)
    known = mark or market.kind is not Kind.INVERSE
    return worth(market, quantity, mark if known else UNKNOWN) * price(market.settle)


def cash_value(cash: Mapping[str, Decimal], price: Prices) -> Decimal:
    """Returns what amounts of assets are worth in the account's currency; none needs no mark."""
    return sum((held * price(asset) for asset, held in cash.items() if held), ZERO)


class Ledger:
    """What an account holds. Everything in it is exact; call its methods within `exactly()`."""

    def __init__(self, markets: Mapping[str, Market]) -> None:
        self.markets = markets
        self.cash: dict[str, Decimal] = {}
        self.contracts: dict[str, Decimal] = {}

    def fold(self, events: Iterable[Event]) -> None:
        """Adds events.

        Raises:
            MarketUnknown: a trade is in a market that was not described.
        """
        cash, contracts, markets = self.cash, self.contracts, self.markets
        for event in events:
            if not isinstance(event, Trade):
                cash[event.asset] = cash.get(event.asset, ZERO) + event.amount
                continue
            market = market_of(markets, event.symbol)
            quantity, settle = event.amount * event.side * market.size, market.settle
            at_once = market.kind is Kind.SPOT
            held, name = (cash, market.base) if at_once else (contracts, event.symbol)
            held[name] = held.get(name, ZERO) + quantity
            cash[settle] = cash.get(settle, ZERO) - worth(market, quantity, event.price)
            if event.fee:
                cash[event.fee_asset] = cash.get(event.fee_asset, ZERO) - event.fee

    def equity(self, price: Prices) -> Decimal:
        """Returns what it is all worth in the account's currency, exactly; UNKNOWN without a mark.

        Every mark is asked for even when one is missing, so that what the caller notes about marks
        does not depend on an order.
        """
        contracts = [
            (self.markets[symbol], held) for symbol, held in self.contracts.items() if held
        ]
        positions = (valued(market, held, price) for market, held in contracts)
        return sum(positions, cash_value(self.cash, price))
