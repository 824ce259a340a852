"""What the venue remembers of orders and trades."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from strongroom_host.testnet.contracts import Address, Exchange
from strongroom_host.testnet.markets import Market, Terms
from strongroom_host.testnet.orders import Order, OrderType, Side
from strongroom_host.testnet.units import cash_for

__all__ = ["OrderStatus", "Placement", "StoredOrder", "Trade"]


class OrderStatus(enum.Enum):
    """The life of an order; the value is the API's text."""

    LIVE = "LIVE"
    MATCHED = "MATCHED"
    CANCELED = "CANCELED"


@dataclass(slots=True)
class StoredOrder:
    """An order the venue took in. Kept for good: its hash is its only protection from replay."""

    order_id: bytes
    order: Order
    market: Market
    exchange: Exchange
    terms: Terms
    order_type: OrderType
    expiration_s: int
    owner: str
    posted_by: Address
    signed_by: Address
    created_s: int
    matched: int = 0
    status: OrderStatus = OrderStatus.LIVE
    trades: list[str] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        """Shares not yet matched, in base units."""
        return self.terms.shares - self.matched

    @property
    def reserved(self) -> tuple[int | None, int]:
        """The asset and base units that this order still needs while it rests."""
        if self.order.side is Side.BUY:
            return None, cash_for(self.remaining, self.terms.price)
        return self.order.token_id, self.remaining


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill. The testnet settles at once, so every trade is CONFIRMED with a made-up hash."""

    trade_id: str
    transaction_hash: str
    maker: StoredOrder
    taker: StoredOrder
    price: int
    shares: int
    cash: int
    matched_s: int


@dataclass(frozen=True, slots=True)
class Placement:
    """The venue's answer to an order it took in; making and taking in base units."""

    order_id: bytes
    status: OrderStatus
    making: int
    taking: int
    trades: tuple[Trade, ...]
