"""The port between market data and orders: what a strategy is told, and what it may answer.

A strategy is told three things: ticks, gaps, and what became of its orders. It answers with
decisions, and does nothing else: no clock, no file, no socket, no randomness. So what it decides
follows from what it was told (`inputs`), whether that came from a live ring, a tape, or a simulated
market, and an auditor with the tape can run it again (`explain`).

Units: a tick's price and size count 1e-8 of the quote and base unit; an intent's price counts 1e-6
pUSD per share and its size 1e-6 shares, as the enclave's fast channel does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, TypeAlias

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.view import TickView

__all__ = [
    "NO_MODEL",
    "Cancel",
    "CancelAll",
    "Decision",
    "Intent",
    "OrderEvent",
    "OrderType",
    "Outcome",
    "Reason",
    "Strategy",
    "TickView",
]

NO_MODEL: Final = bytes(32)
"""The model hash of a strategy that has no model."""


class OrderType(IntEnum):
    """Good till cancelled, good till date, fill or kill, fill and kill; the wire's numbers."""

    GTC = 0
    GTD = 1
    FOK = 2
    FAK = 3


class Reason(IntEnum):
    """Why a decision was made, for records and the live view."""

    QUOTE = 1
    """A resting order that makes the market."""
    REQUOTE = 2
    """The old quote's price is no longer right."""
    SIGNAL_UP = 3
    SIGNAL_DOWN = 4
    FLATTEN = 5
    """Takes inventory back towards zero."""
    WHALE = 6
    """A large transfer or trade was seen."""
    GAP = 7
    """Something was missed, so nothing may stay open on the strength of it."""
    BAD_MARKET = 8
    """The book is crossed, resolved, or unknown."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An order that the strategy wants.

    Attributes:
        instrument: Index in the ring's instrument table.
        side: BUY or SELL.
        price: 1e-6 pUSD per share, a limit.
        size: 1e-6 shares.
        order_type: How long it lives.
        reason: Why.
        inputs_digest: SHA-256 of everything the strategy had been told; `inputs` defines it.
        expires_s: Unix time at which a GTD order ends; 0 for the other types.
        post_only: Refused rather than filled at once.
    """

    instrument: int
    side: Side
    price: int
    size: int
    order_type: OrderType
    reason: Reason
    inputs_digest: bytes
    expires_s: int = 0
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Takes back one resting order, named as `OrderEvent` named it."""

    order_hash: bytes
    reason: Reason
    inputs_digest: bytes


@dataclass(frozen=True, slots=True)
class CancelAll:
    """Takes back everything that rests, in every market of the key."""

    reason: Reason
    inputs_digest: bytes


Decision: TypeAlias = Intent | Cancel | CancelAll


class Outcome(IntEnum):
    """What became of an order, or of part of it."""

    DENIED = 1
    """By the enclave's policy. Nothing was signed."""
    REFUSED = 2
    """By the venue."""
    NOT_SENT = 3
    """Signed, and certainly never at the venue."""
    UNKNOWN = 4
    """Sent, and no answer. It may rest or be filled; another event says so once that is known."""
    LIVE = 5
    """It rests in the book."""
    FILLED = 6
    """`filled` shares of it were traded. `open` says what is left."""
    CANCELLED = 7
    EXPIRED = 8


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What became of one order.

    Attributes:
        number: Which decision it is about: 1 for the first that the strategy returned in this
            session, counting cancels too. 0 if it is not known. An order that was taken back has
            its own number, not the cancel's; a cancel's number stands for a cancel that failed.
        outcome: What became of it.
        order_hash: 32 bytes; zeros if it never had one.
        instrument: As in the intent.
        side: As in the intent.
        price: The order's limit, 1e-6 pUSD per share.
        filled: Shares traded by this event alone, 1e-6.
        cash: pUSD that this event moved, 1e-6, fees included: negative was paid.
        open: Shares that may still be traded afterwards, 1e-6; 0 ends the order.
        code: The enclave's code, its rule, or the venue's HTTP status; 0 if there is none.
        at_ns: CLOCK_MONOTONIC.
    """

    number: int
    outcome: Outcome
    order_hash: bytes
    instrument: int
    side: Side
    price: int
    filled: int
    cash: int
    open: int
    code: int
    at_ns: int


class Strategy(Protocol):
    """What the trading loop, paper mode and the backtest drive, all in the same way.

    The driver numbers the decisions it is given from 1, in order, through the whole session, and
    says what became of each with that number. It calls nothing from two threads, and never from
    within a call.
    """

    @property
    def name(self) -> str:
        """What `load_strategy` knows it as."""

    @property
    def model_sha256(self) -> bytes:
        """The SHA-256 of its model file, or `NO_MODEL`."""

    @property
    def parameters(self) -> Mapping[str, str | int]:
        """All its options with their values, defaults included: part of `inputs`."""

    def on_tick(self, view: TickView) -> Sequence[Decision]:
        """Takes one tick, in order. The view is valid during this call only."""

    def on_gap(self, missed: int, feed: int) -> Sequence[Decision]:
        """Takes the news that ticks are missing before the next one: `missed` of them (0 if nobody
        knows how many), of one feed, or of any (0), as when the reader was overrun."""

    def on_order_event(self, event: OrderEvent) -> None:
        """Takes what became of an order. What follows from it is decided at the next tick."""
