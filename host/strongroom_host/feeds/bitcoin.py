"""A Bitcoin node's ZMQ notifications: large transfers as they enter the mempool.

Messages have three parts: topic, body, and a u32 little-endian count per topic that grows by one.
``rawtx`` brings each transaction when it enters the mempool and again with its block; only the
first is a transfer here. ``sequence`` (optional) brings what enters and leaves, counted by the
mempool itself, so that what the node never published shows too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from strongroom_host.feeds.bitcoin_transaction import Transaction, read_transaction
from strongroom_host.feeds.codes import (
    LAST,
    NO_SIDE,
    TRANSFER,
)
from strongroom_host.feeds.core import Feed, Timing
from strongroom_host.feeds.errors import BadFeed, Reason, Refused
from strongroom_host.ring.sink import TickSink

__all__ = ["Bitcoin"]

_TURN: Final = 1 << 32
_BITCOIN: Final = 100_000_000


class Bitcoin(Feed[Sequence[bytes], Transaction]):
    """Transfers of at least `least` satoshi, by their largest output.

    Whether the largest output is a payment or change, nobody outside can tell.

    Args:
        feed: The feed's number in ticks.
        sink: Where ticks go.
        least: Satoshi; smaller transactions are read and counted, not published.
        mempool: Whether to follow the topic ``sequence`` as well.
        first_epoch: See `Lane`.
        timing: See `Timing`; `behind` does not apply, for nodes hear of transactions in any order.

    Raises:
        BadFeed: a negative amount.
    """

    name = "bitcoin"
    window = 1 << 18

    def __init__(
        self,
        feed: int,
        sink: TickSink,
        *,
        first_epoch: int,
        least: int = 100 * _BITCOIN,
        mempool: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(feed, sink, first_epoch=first_epoch, timing=timing)
        if least < 0:
            raise BadFeed("no transfer is smaller than nothing", actual=least)
        self._least = least
        self._instrument = sink.instrument("bitcoin:mempool")
        self._counts: dict[tuple[int, bytes], int] = {}
        self._mempools: dict[int, int] = {}
        self.topics: tuple[bytes, ...] = (b"rawtx", b"sequence") if mempool else (b"rawtx",)
        self.transactions = 0

    def _hello(self) -> Iterable[str]:
        return ()  # subscribing is ZMQ's own business

    def _read(self, connection: int, message: Sequence[bytes], received_ns: int) -> None:
        if len(message) != 3 or len(message[2]) != 4:
            raise Refused(Reason.MALFORMED, "not topic, body and count", actual=len(message))
        topic, body, counted = message
        if topic not in self.topics:
            raise Refused(Reason.UNKNOWN_TYPE, "another topic", actual=topic[:40])
        self._ready(connection, received_ns)
        count = int.from_bytes(counted, "little")
        following = self._counts.get((connection, topic))
        self._counts[connection, topic] = (count + 1) % _TURN
        if following is not None and count != following:
            # A node that was started anew counts from 0: what it had before that, nobody knows.
            ahead = (count - following) % _TURN
            self._skipped(connection, ahead if ahead < _TURN // 2 else 0)
        if topic == b"rawtx":
            transaction = read_transaction(body)
            self.transactions += 1
            if transaction.coinbase:
                return
            self._offer(connection, hash(transaction.txid), transaction, received_ns)
        else:
            self._read_sequence(connection, body)

    def _read_sequence(self, connection: int, body: bytes) -> None:
        label = body[32:33]
        if label in (b"C", b"D") and len(body) == 33:
            return
        if label not in (b"A", b"R") or len(body) != 41:
            raise Refused(Reason.MALFORMED, "not a mempool's event", actual=len(body))
        number = int.from_bytes(body[33:], "little")
        before = self._mempools.get(connection)
        self._mempools[connection] = number
        if before is not None and number > before + 1:
            self._skipped(connection, number - before - 1)

    def _take(self, event: Transaction, _connection: int, received_ns: int) -> None:
        if event.largest < self._least:
            return
        self.lane.emit(
            TRANSFER,
            NO_SIDE,
            LAST,
            self._instrument,
            0,
            event.largest,
            received_ns,
            0,
            int.from_bytes(event.txid[:8], "big"),
        )
