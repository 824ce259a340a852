"""Trades, flows and markets: all that the ledger is ever told; README.md defines each field.

Numbers are decimals from the venue's own text. An event that exists is well-formed: connectors make
them, and whatever a venue or a database made up is refused here.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import IntEnum
from operator import attrgetter

from msgspec import Struct

from strongroom_enclave.record.errors import EventDoubled, EventInvalid, MarketInvalid
from strongroom_enclave.record.exact import bounded


class Side(IntEnum):
    """The sign of what a trade does to the base."""

    SELL = -1
    BUY = 1


# How a market settles: at once in base and quote, or later, in quote or in base.
Kind = IntEnum("Kind", "SPOT LINEAR INVERSE", start=0)
# Why a balance changed without a trade. Those up to OPENING are external: they cut the hour; the
# others are profit or loss.
FlowKind = IntEnum(
    "FlowKind", "DEPOSIT WITHDRAWAL TRANSFER OPENING FUNDING INTEREST DIVIDEND FEE REBATE", start=0
)


class Market(Struct, frozen=True):
    """`size`: 1 for spot; base units per contract for linear, quote units for inverse.

    Raises:
        MarketInvalid: the settlement is not the kind's, or the size not above zero.
    """

    symbol: str
    base: str
    quote: str
    settle: str
    kind: Kind
    size: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        settle = self.base if self.kind is Kind.INVERSE else self.quote
        if self.settle != settle or not self.symbol or self.base == self.quote:
            raise MarketInvalid(f"settlement of {self.symbol}", settle, self.settle)
        if bounded("size", self.size) <= 0 or (self.kind is Kind.SPOT and self.size != 1):
            raise MarketInvalid(f"size of {self.symbol}", "above zero, 1 for spot", self.size)


Markets = Mapping[str, Market]


class Trade(Struct, frozen=True, gc=False, tag=1):
    """One fill. `amount` in base units or contracts, `fee` above zero when it was paid.

    Raises:
        EventInvalid: a number out of range, or a fee in no asset.
    """

    time_ms: int
    id: str
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal = Decimal(0)
    fee_asset: str = ""

    def __post_init__(self) -> None:
        if self.time_ms < 0 or not self.id:
            raise EventInvalid("trade", "a time and an id", (self.time_ms, self.id))
        if bounded("amount", self.amount) <= 0 or bounded("price", self.price) < 0:
            raise EventInvalid("amount and price", "above zero", (self.amount, self.price))
        if bounded("fee", self.fee) and not self.fee_asset:
            raise EventInvalid("asset of a fee", "a name", self.fee_asset)

    @property
    def order(self) -> tuple[int, int, str, int, int, str]:
        """Its place in the canonical order."""
        return self.time_ms, 2, self.symbol, 0, len(self.id), self.id


class Flow(Struct, frozen=True, gc=False, tag=2):
    """A change of one balance by `amount`, signed.

    Raises:
        EventInvalid: a number out of range, no asset, or a sign that is not the kind's.
    """

    time_ms: int
    id: str
    asset: str
    amount: Decimal
    kind: FlowKind

    def __post_init__(self) -> None:
        if self.time_ms < 0 or not self.id or not self.asset:
            raise EventInvalid("flow", "time, id and asset", (self.time_ms, self.id, self.asset))
        sign = {FlowKind.DEPOSIT: 1, FlowKind.WITHDRAWAL: -1}.get(self.kind, 0)
        if sign * bounded("amount", self.amount) < 0:
            raise EventInvalid("amount", f"the sign of a {self.kind.name}", self.amount)

    @property
    def external(self) -> bool:
        """Whether it is the owner's money that comes or goes, no profit or loss."""
        return self.kind <= FlowKind.OPENING

    @property
    def order(self) -> tuple[int, int, str, int, int, str]:
        """Its place in the canonical order: external flows before anything else of that ms."""
        return self.time_ms, not self.external, self.asset, self.kind, len(self.id), self.id


Event = Trade | Flow


def canonical(events: Iterable[Event]) -> list[Event]:
    """Returns the events in the one order that every sum and every lot is defined by.

    Raises:
        EventDoubled: an id comes twice; the caller has to have removed what it fetched twice.
    """
    ordered, known = sorted(events, key=attrgetter("order")), set[tuple[object, ...]]()
    for event in ordered:
        if (identity := event.order[1:]) in known:
            raise EventDoubled(f"id of {identity[1]}", "one event", event.id)
        known.add(identity)
    return ordered
