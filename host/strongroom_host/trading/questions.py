"""What is asked of the venue beside orders: who signs the questions, what the answers say."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import msgspec

from strongroom_host.store import Journal, reconciling
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.outlet import Pending
from strongroom_host.venue import MalformedRequest, NotSent, OutcomeUnknown, VenueResponse

__all__ = ["Errand", "SignedQueries", "alone", "answer_of", "cancelled_in", "settle_from"]

Errand = Generator[bytes, VenueResponse | None, None]
"""Yields requests and is given the answers: something that takes more than one question."""


def alone(asking: set[bytes], order_hash: bytes, errand: Errand) -> Errand:
    """The same errand, with its order in `asking` until it is over.

    One question about an order at a time: of two, answers may come in another order.
    """
    asking.add(order_hash)
    try:
        yield from errand
    finally:
        asking.discard(order_hash)


@dataclass(frozen=True, slots=True)
class SignedQueries:
    """Own-order queries signed by the enclave, for `store.reconciling`."""

    sign: Callable[[bytes, str], bytes]
    writer: IntentWriter

    def order(self, order_hash: bytes) -> bytes:
        """See `store.OwnQueries`."""
        return self.sign(self.writer.query_order(order_hash), "order query")

    def trades(self) -> bytes:
        """See `store.OwnQueries`."""
        return self.sign(self.writer.query_trades(), "trades")


class _NoQueries:
    """Stands for queries whose answer is there already."""

    def order(self, order_hash: bytes) -> bytes:  # noqa: ARG002  the port's
        """Nothing to ask."""
        return b""

    def trades(self) -> bytes:
        """Nothing to ask."""
        return b""


class _Cancelled(msgspec.Struct):
    canceled: list[str] = []


def cancelled_in(answer: VenueResponse | None) -> list[bytes]:
    """Returns the orders that the venue says it took off the book."""
    if answer is None or answer.status != 200:
        return []
    try:
        found = msgspec.json.decode(answer.body, type=_Cancelled).canceled
        return [bytes.fromhex(text.removeprefix("0x")) for text in found]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def answer_of(pending: Pending) -> VenueResponse | None:
    """Returns the answer to a question, or None: a question may fail without harm."""
    try:
        return pending.result()
    except (NotSent, OutcomeUnknown, MalformedRequest):
        return None


def settle_from(journal: Journal, order_hash: bytes, answer: VenueResponse) -> None:
    """Brings the journal to where the venue's answer says that the order stands."""
    steps = reconciling(journal, order_hash, _NoQueries())
    next(steps)
    try:
        steps.send(answer)
    except StopIteration:
        return
