"""Decisions as the enclave takes them, with everything that does not change prepared beforehand.

One order is 168 bytes: the intent's head (24), the order (80), and what decided (64: SHA-256 of
the model, digest of its inputs), each in the layout of `strongroom_wire.frames`. Token, key and
enumerations are packed once per market, side, type and tick: an order costs one `struct.pack`.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Final

from strongroom_wire.frames import INTENT, ORDER, Kind

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Intent
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.templates import Laid

__all__ = ["IntentWriter"]

_POST_ONLY: Final = 2
_DEADLINE_MS: Final = 5_000
_ORDER_HEAD: Final = struct.Struct(">32sBBBBI")
# The same fields as INTENT, ORDER and a decision's two hashes, with the constant ones in one piece.
_WHOLE: Final = struct.Struct(">8sQQ40sQQQQQ32s32s")
_HEAD: Final = struct.Struct(">BBHI")
_HOLES: Final = struct.Struct(">II")


class IntentWriter:
    """Encodes intents of one key for one strategy."""

    def __init__(self, key: int, model_sha256: bytes) -> None:
        self._key, self._model = key, model_sha256
        self._order = _HEAD.pack(Kind.ORDERS, 1, key, 0)
        self._template = _HEAD.pack(Kind.TEMPLATE, 1, key, 0)
        self._heads: dict[tuple[int, ...], bytes] = {}

    def order(self, decision: Intent, market: TradedMarket, now_ns: int, salt: int = 0) -> bytes:
        """Returns the intent to sign one order.

        Args:
            decision: What the strategy wants.
            market: Where.
            now_ns: Wall clock, ns since the epoch.
            salt: 0 lets the enclave draw one.

        Raises:
            struct.error: a number is beyond its field.
        """
        flags = _POST_ONLY if decision.post_only else 0
        token, tick = market.token, market.tick
        named = (token, decision.side, decision.order_type, tick, flags)
        head = self._heads.get(named)
        if head is None:
            # The ring counts sides from 1, buy first; the wire from 0.
            side = 0 if decision.side == Side.BUY else 1
            packed = (token.to_bytes(32, "big"), side, decision.order_type, tick, flags, 0)
            head = self._heads[named] = _ORDER_HEAD.pack(*packed)
        now_ms = now_ns // 1_000_000
        return _WHOLE.pack(
            self._order,
            now_ms // 1000,
            now_ms + _DEADLINE_MS,
            head,
            decision.price,
            decision.size,
            salt,
            now_ms,
            decision.expires_s,
            self._model,
            decision.inputs_digest,
        )

    def templated(self, decision: Intent, market: TradedMarket, now_ns: int, laid: Laid) -> bytes:
        """Returns the intent to fill a template, whose salt and timestamp are the order's.

        What decided has no place in it: the log then says nothing of model and inputs.

        Raises:
            struct.error: a number is beyond its field.
        """
        plain = self.order(decision, market, now_ns, laid.salt)
        head = self._template + plain[len(self._template) : INTENT.size + ORDER.size]
        return head + _HOLES.pack(laid.signature_at, laid.mac_at) + laid.data

    def cancel(self, hashes: Sequence[bytes]) -> bytes:
        """Returns the intent to take back these orders, up to 1000."""
        return self._plain(Kind.CANCEL) + b"".join(hashes)

    def cancel_all(self) -> bytes:
        """Returns the intent to take back everything that the key has resting."""
        return self._plain(Kind.CANCEL_ALL)

    def heartbeat(self, heartbeat_id: str) -> bytes:
        """Returns the intent to tell the venue that this host is alive."""
        return self._plain(Kind.HEARTBEAT) + heartbeat_id.encode("ascii", "replace")

    def query_order(self, order_hash: bytes) -> bytes:
        """Returns the intent to ask for one order."""
        return self._plain(Kind.QUERY_ORDER) + order_hash

    def query_trades(self) -> bytes:
        """Returns the intent to ask for the newest page of trades."""
        return self._plain(Kind.QUERY_TRADES)

    def _plain(self, kind: Kind) -> bytes:
        now_ms = time.time_ns() // 1_000_000
        return INTENT.pack(kind, 0, self._key, 0, now_ms // 1000, now_ms + _DEADLINE_MS)


if _WHOLE.size != INTENT.size + ORDER.size + 64:  # pragma: no cover
    raise AssertionError("the layouts of strongroom_wire.frames have changed")
