"""What all strategies have in common: the digest of what they are told, and caution after a gap."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

from strongroom_host.strategy.inputs import Inputs
from strongroom_host.strategy.orders import Orders
from strongroom_host.strategy.port import (
    NO_MODEL,
    Cancel,
    CancelAll,
    Decision,
    OrderEvent,
    Reason,
    TickView,
)

__all__ = ["NOTHING", "Told"]

NOTHING: Final[tuple[Decision, ...]] = ()


class Told(ABC):
    """A strategy that hashes what it is told before it looks at it, and that after a gap takes back
    what rests, forgets what it knew of the market, and stands aside until it knows anew.

    A feed's gap is told by the ticks themselves: their epoch changes. What a reader lost is told by
    `on_gap`. Orders and inventory are not forgotten: they are known from the venue's answers.
    """

    def __init__(
        self, name: str, parameters: Mapping[str, str | int], model_sha256: bytes = NO_MODEL
    ) -> None:
        self._name, self._model = name, model_sha256
        self._parameters = dict(parameters)
        self._inputs = Inputs(name, model_sha256, parameters)
        self._epochs: dict[int, int] = {}
        self._orders = Orders()
        self._decided = 0

    @property
    def name(self) -> str:
        """What `load_strategy` knows it as."""
        return self._name

    @property
    def model_sha256(self) -> bytes:
        """The SHA-256 of its model file, or `NO_MODEL`."""
        return self._model

    @property
    def parameters(self) -> Mapping[str, str | int]:
        """All its options with their values."""
        return self._parameters

    def on_tick(self, view: TickView) -> Sequence[Decision]:
        """See `Strategy`."""
        self._inputs.tick(view)
        feed, epoch = view.feed, view.epoch
        if self._epochs.get(feed) != epoch:
            known = feed in self._epochs
            self._epochs[feed] = epoch
            if known:
                after = self._aside(feed)
                return self._numbered((*after, *self._decide(view)))
        decisions = self._decide(view)
        return self._numbered(decisions) if decisions else NOTHING

    def on_gap(self, missed: int, feed: int) -> Sequence[Decision]:
        """See `Strategy`."""
        self._inputs.gap(missed, feed)
        return self._numbered(self._aside(feed))

    def on_order_event(self, event: OrderEvent) -> None:
        """See `Strategy`."""
        self._inputs.event(event)
        self._orders.learn(event)

    def _aside(self, feed: int) -> Sequence[Decision]:
        self._forget(feed)
        if all(order.cancelling for order in self._orders.open.values()):
            return NOTHING
        return (CancelAll(Reason.GAP, self._inputs.digest()),)

    def _numbered(self, decisions: Sequence[Decision]) -> Sequence[Decision]:
        for decision in decisions:
            self._decided += 1
            self._orders.made(self._decided, decision)
        return decisions

    def _cancel(self, order_hash: bytes, reason: Reason) -> Cancel:
        return Cancel(order_hash, reason, self._inputs.digest())

    @abstractmethod
    def _decide(self, view: TickView) -> Sequence[Decision]:
        """Takes a tick and returns what is to be done."""

    @abstractmethod
    def _forget(self, feed: int) -> None:
        """Forgets what it knew of a feed's markets; of all feeds', if it is 0."""
