"""The strategy with a model: buys an outcome token that is about to rise, sells one about to fall.

Each step the network says how far the token's price will have moved a few seconds later, as an
integer. From there on all is integers, with a dead band: nothing is bought unless what is foreseen
exceeds what crossing the spread costs by a margin, nothing is sold unless a fall is foreseen by a
margin, and between the two nothing is done.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.features import Features
from strongroom_host.strategy.model import SHIPPED, load_model
from strongroom_host.strategy.options import (
    COINS,
    PRICE_UNIT,
    TOKENS,
    Option,
    instrument,
    number,
    read,
)
from strongroom_host.strategy.port import Decision, Intent, OrderType, Reason, TickView
from strongroom_host.strategy.runtimes import Stepper, stepper
from strongroom_host.strategy.steps import LONGEST, Steps
from strongroom_host.strategy.told import NOTHING, Told

__all__ = ["OPTIONS", "Gru"]

OPTIONS: Final = {
    "market": Option(None, "the outcome token's instrument", feeds=TOKENS),
    "coin": Option(None, "the instrument of the coin that it is about", feeds=COINS),
    "mempool": Option("", "the instrument of the coin's transfers; none if empty"),
    "model": Option("", "the model's description; the one that is shipped if empty"),
    "runtime": Option("onnx", "onnx, exact, torch or aoti: decisions are the same"),
    "device": Option("cpu", "cpu or cuda: decisions are the same"),
    "size": Option(20_000_000, "shares of one order, 1e-6", 1),
    "most": Option(200_000_000, "the most shares that it may come to hold, 1e-6"),
    "enter": Option(3_000, "margin above the cost of crossing before it buys, 1e-6 pUSD"),
    "leave": Option(3_000, "fall foreseen before it sells, 1e-6 pUSD"),
    "rest_ms": Option(1_000, "least time between two orders of one side, ms"),
    "warm": Option(64, "steps that the network sees before it is listened to", 1, 1 << 20),
}

_NOT_INPUTS: Final = frozenset({"runtime", "device", "model"})
"""Options that change no decision: the digest of inputs must not differ by them. The model itself
is in the digest by its hash."""


class Gru(Told):
    """See the module."""

    def __init__(
        self,
        options: Mapping[str, str],
        instruments: Sequence[str],
        *,
        network: Stepper | None = None,
    ) -> None:
        """Loads the model, unless a network is given in its place."""
        values = read("gru", OPTIONS, options, instruments)
        model = load_model(Path(str(values["model"])) if values["model"] else SHIPPED)
        self._network = network or stepper(model, str(values["runtime"]), str(values["device"]))
        told = {name: value for name, value in values.items() if name not in _NOT_INPUTS}
        super().__init__("gru", told, model.sha256)
        self._market = instrument("gru", values, "market", instruments)
        coin = instrument("gru", values, "coin", instruments)
        mempool = instrument("gru", values, "mempool", instruments)
        self._steps = Steps(Features(self._market, coin, mempool), model.description.step_ms)
        self._size, self._most = number(values, "size"), number(values, "most")
        self._enter, self._leave = number(values, "enter"), number(values, "leave")
        self._warm, self._seen = number(values, "warm"), 0
        self._rest_ns = number(values, "rest_ms") * 1_000_000
        self._silence_ns = LONGEST * model.description.step_ms * 1_000_000
        self._stepped_ns = 0
        self._ordered_ns = {Side.BUY: -self._rest_ns, Side.SELL: -self._rest_ns}

    def _decide(self, view: TickView) -> Sequence[Decision]:
        features = self._steps.tick(view)
        if features is None:
            return NOTHING
        now_ns = view.received_ns
        if now_ns - self._stepped_ns > self._silence_ns:
            self._network.reset()
            self._seen = 0
        self._stepped_ns = now_ns
        score = self._network.step(features)
        self._seen += 1
        if self._seen <= self._warm:
            return NOTHING
        return self._act(score, now_ns)

    def _act(self, score: int, now_ns: int) -> Sequence[Decision]:
        book = self._steps.features.token
        if not book.good:
            return NOTHING
        # All in 1e-6 pUSD, doubled, so that half a spread is whole.
        foreseen = 2 * score * 10_000 // 128
        across = (book.ask - book.bid) // PRICE_UNIT
        held = self._orders.holding(self._market)
        if foreseen - across > 2 * self._enter:
            coming = held + self._orders.working(self._market, Side.BUY)
            if coming + self._size <= self._most:
                return self._order(Side.BUY, book.ask // PRICE_UNIT, self._size, now_ns)
        elif foreseen < -2 * self._leave:
            size = min(self._size, held - self._orders.working(self._market, Side.SELL))
            if size > 0:
                return self._order(Side.SELL, book.bid // PRICE_UNIT, size, now_ns)
        return NOTHING

    def _order(self, side: Side, price: int, size: int, now_ns: int) -> Sequence[Decision]:
        if now_ns - self._ordered_ns[side] < self._rest_ns:
            return NOTHING
        self._ordered_ns[side] = now_ns
        reason = Reason.SIGNAL_UP if side is Side.BUY else Reason.SIGNAL_DOWN
        digest = self._inputs.digest()
        return (Intent(self._market, side, price, size, OrderType.FAK, reason, digest),)

    def _forget(self, feed: int) -> None:  # noqa: ARG002
        # Whichever feed it was: the features mix them all.
        self._steps.reset()
        self._network.reset()
        self._seen = 0
