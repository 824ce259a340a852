"""Ticks for tests: a sink that keeps them, and a feed that writes them tersely."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from strongroom_host.ring.tick import RECORD, Flag, Kind, Side, Status
from strongroom_host.strategy.port import TickView
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.writer import TapeWriter

TOKEN, COIN, MEMPOOL, OTHER = "polymarket:1", "binance:BTCUSDT", "bitcoin:mempool", "polymarket:2"
NAMES = ("", TOKEN, COIN, MEMPOOL, OTHER)
CENT = 1_000_000
UNIT = 100_000_000
MS = 1_000_000


class Kept:
    """A `TickSink` that keeps records."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.names = [""]

    def publish(
        self,
        kind: int,
        side: int,
        feed: int,
        flags: int,
        instrument: int,
        epoch: int,
        number: int,
        price: int,
        size: int,
        received_ns: int,
        venue_ns: int,
        detail: int,
        /,
    ) -> int:
        sequence = len(self.data) // 64 + 1
        clocks, amounts = (received_ns, venue_ns), (price, size)
        kinds = (kind, side, feed, flags)
        self.data += RECORD.pack(
            sequence, *clocks, *amounts, instrument, epoch, number, *kinds, detail
        )
        return sequence

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0, /) -> int:
        self.data += (len(self.data) // 64 + 1).to_bytes(8, "little")
        self.data += bytes(buffer[offset + 8 : offset + 64])
        return len(self.data) // 64

    def instrument(self, name: str, /) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def views(self) -> Iterator[TickView]:
        view = TickView(bytes(self.data))
        return map(view.at, range(len(self.data) // 64))


class Feed:
    """Writes ticks about one token, at times in ms."""

    def __init__(self, sink: Kept | TapeWriter, *, instrument: int = 1, feed: int = 1) -> None:
        self.sink, self.of, self.feed = sink, instrument, feed
        self.epoch = self.number = 0
        self.now_ms = 1

    def _tick(
        self, kind: Kind, side: Side, price: int, size: int, flags: int = 2, detail: int = 0
    ) -> None:
        who = (self.feed, flags, 0 if kind is Kind.STATUS and not price else self.of)
        clocks = (self.now_ms * MS, 0)
        self.sink.publish(
            int(kind), int(side), *who, self.epoch, self.number, price, size, *clocks, detail
        )
        self.number += 1

    def at(self, ms: int) -> "Feed":
        self.now_ms = ms
        return self

    def book(self, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]) -> "Feed":
        """A snapshot; prices in cents, sizes in shares."""
        for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
            for price, size in levels:
                self._tick(Kind.LEVEL, side, price * CENT, size * UNIT, int(Flag.SNAPSHOT))
        snapshot = int(Flag.SNAPSHOT | Flag.DERIVED)
        best = (*max(bids, default=(0, 0)), *min(asks, default=(0, 0)))
        self._tick(Kind.BEST_BID, Side.BUY, best[0] * CENT, best[1] * UNIT, snapshot)
        self._tick(Kind.BEST_ASK, Side.SELL, best[2] * CENT, best[3] * UNIT, snapshot | 2)
        return self

    def level(self, side: Side, price: int, size: int) -> "Feed":
        self._tick(Kind.LEVEL, side, price * CENT, size * UNIT)
        return self

    def trade(self, side: Side, price: int, size: int) -> "Feed":
        self._tick(Kind.TRADE, side, price * CENT, size * UNIT)
        return self

    def transfer(self, coins: int, detail: int) -> "Feed":
        self._tick(Kind.TRANSFER, Side.NONE, 0, coins * UNIT, detail=detail)
        return self

    def status(self, status: Status, *, own: bool = False) -> "Feed":
        self._tick(Kind.STATUS, Side.NONE, int(own), 0, detail=int(status))
        return self


def write_tape(path: Path, data: bytes | bytearray, names: Sequence[str] = NAMES) -> Path:
    """Writes records as a tape."""
    with TapeWriter(path, "test", started_ns=10**18, monotonic_ns=0) as tape:
        tape.name_instruments(names)
        for offset in range(0, len(data), 64):
            tape.publish_record(data, offset)
    return path


def simulated(path: Path, seconds: int, seed: int = 5) -> TapeReader:
    """Returns a simulated market as a tape."""
    from strongroom_host.tape.market import Market

    start = 1_767_225_600 * 10**9
    with TapeWriter(path, f"simulated {seed}", started_ns=start, monotonic_ns=0) as tape:
        Market(seed, tape, start_ns=1, wall_ns=start).run(seconds)
    return TapeReader(path)
