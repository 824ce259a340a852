"""The digest of everything a strategy was told: what binds a decision to its inputs.

SHA-256, running through the whole session, of a preamble and one block per thing told, in order:

    preamble   "strongroom-inputs/1", the strategy's name, its model's hash, its parameters as JSON
               with sorted keys; each after its length (u32, little-endian)
    tick       bytes 8 to 63 of the record (56): all but the ring's own count, so that a replayed
               tape gives the same digest
    gap        ff*8, "gap" padded to 8, ticks missed (u64), feed (u64), 24 zeros: 56 bytes
    order      ff*8, "order" padded to 8, and the event's fields: 112 bytes (`_ORDER`)

No tick begins with ff*8, a CLOCK_MONOTONIC of 584 years, so no two histories have one encoding. The
digest of a decision is taken after the tick at which it was made. Nothing is left out and nothing
is forgotten, gaps included: whoever has the tape and the record of the session's gaps and outcomes
can compute it, with or without the model.
"""

import hashlib
import json
from collections.abc import Mapping
from struct import Struct
from typing import Final

from strongroom_host.strategy.port import OrderEvent, TickView

__all__ = ["Inputs"]

_TAG: Final = b"strongroom-inputs/1"
_MARK: Final = (1 << 64) - 1
_GAP: Final = Struct("<Q8sQQ24x")
_ORDER: Final = Struct("<Q8sQ32sIIBB6xqqqqQ")
"""Mark, tag, number, order hash, instrument, code, outcome, side, price, filled, cash, open, at."""


class Inputs:
    """The running digest of one session."""

    __slots__ = ("_hash", "_update")

    def __init__(self, strategy: str, model: bytes, parameters: Mapping[str, str | int]) -> None:
        written = json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"))
        parts = (_TAG, strategy.encode(), model, written.encode())
        lengths = (len(part).to_bytes(4, "little") for part in parts)
        preamble = b"".join(one for both in zip(lengths, parts, strict=True) for one in both)
        self._hash = hashlib.sha256(preamble)
        self._update = self._hash.update

    def tick(self, view: TickView) -> None:
        """Takes a tick."""
        self._update(view.told)

    def gap(self, missed: int, feed: int) -> None:
        """Takes a gap."""
        self._update(_GAP.pack(_MARK, b"gap", missed, feed))

    def event(self, event: OrderEvent) -> None:
        """Takes what became of an order."""
        self._update(
            _ORDER.pack(
                *(_MARK, b"order", event.number, event.order_hash, event.instrument),
                *(event.code, event.outcome, event.side, event.price, event.filled),
                *(event.cash, event.open, event.at_ns),
            )
        )

    def digest(self) -> bytes:
        """Returns the digest of all so far, 32 bytes."""
        return self._hash.copy().digest()
