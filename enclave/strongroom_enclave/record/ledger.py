"""Cash and contracts after some events. Only sums, so the order of events does not matter.

A contract is held as if it had been bought for cash (README.md): no entry price, no average, and
nothing to round but the cost of inverse fills.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

from msgspec import Struct

from strongroom_enclave.record.errors import MarketUnknown
from strongroom_enclave.record.events import Event, Kind, Market, Trade
from strongroom_enclave.record.exact import MONEY, ZERO, quotient, times, total

__all__ = ["Ledger", "Prices", "contract_fill", "held_value", "market_of"]

Prices = Callable[[str], Decimal | None]
"""Of an asset: in the account's currency; of a contract's symbol: quote per base."""


def market_of(markets: dict[str, Market], symbol: str) -> Market:
    """Returns the market of a symbol.

    Raises:
        MarketUnknown: it was not described.
    """
    if (market := markets.get(symbol)) is None:
        raise MarketUnknown("market", "a described one", symbol)
    return market


def contract_fill(market: Market, trade: Trade) -> tuple[Decimal, Decimal]:
    """Returns the quantity, in base units or, if inverse, in quote units, and the cost in settle
    units, both with the sign of the side."""
    quantity = trade.amount * market.size * trade.side
    if market.kind is Kind.INVERSE:
        return quantity, quotient(quantity, trade.price, MONEY)
    return quantity, quantity * trade.price


def held_value(market: Market, quantity: Decimal, price: Decimal | None) -> Decimal | None:
    """Returns the signed worth of a held contract in settle units: what an inverse one owes is
    negative when long. None without a price."""
    if market.kind is Kind.INVERSE:
        return -quotient(quantity, price, MONEY) if price else None
    return times(quantity, price)


class Ledger(Struct):
    """What an account holds. Everything in it is exact; call its methods within `exactly()`."""

    markets: dict[str, Market]
    cash: dict[str, Decimal] = {}
    contracts: dict[str, Decimal] = {}

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
            if market.kind is Kind.SPOT:
                base, quote, amount = market.base, market.quote, event.amount * event.side
                cash[base] = cash.get(base, ZERO) + amount
                cash[quote] = cash.get(quote, ZERO) - amount * event.price
            else:
                symbol, settle = event.symbol, market.settle
                quantity, cost = contract_fill(market, event)
                contracts[symbol] = contracts.get(symbol, ZERO) + quantity
                spent = -cost if market.kind is Kind.INVERSE else cost
                cash[settle] = cash.get(settle, ZERO) - spent
            if event.fee:
                cash[event.fee_asset] = cash.get(event.fee_asset, ZERO) - event.fee

    def equity(self, price: Prices) -> Decimal | None:
        """Returns what it is all worth in the account's currency, exactly; None without a mark.

        Every mark is asked for even when one is missing, so that what the caller notes about marks
        does not depend on an order.
        """
        terms = [times(held, price(asset)) for asset, held in self.cash.items() if held]
        for symbol, held in self.contracts.items():
            if held:
                market = self.markets[symbol]
                worth = held_value(market, held, price(symbol))
                terms.append(times(worth, price(market.settle)))
        return total(terms)
