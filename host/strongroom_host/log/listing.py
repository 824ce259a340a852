"""The leaves of a log one after another, whatever state they are in; see `verify` for what is true.

What cannot be read comes as such, with its place, and does not keep the rest from being seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Kind, Leaf

from strongroom_host.contract.openings import record_in
from strongroom_host.log.decoded import Plain, decode_record
from strongroom_host.log.errors import BundleMalformed, TileMissing
from strongroom_host.log.sources import LogSource, reader_of
from strongroom_host.log.tiles import WIDTH
from strongroom_host.log.verify import OpeningsByIndex

__all__ = ["Filter", "Listed", "listed"]


@dataclass(frozen=True, slots=True)
class Listed:
    """What stands at places `start` up to and without `end`: one leaf, or what is not one.

    Attributes:
        entry: The stored bytes; empty where there are none.
        leaf: Those bytes as a leaf, or None.
        record: What it commits to, or None where no opening is known.
        problem: Why there is no leaf, or no record although there is an opening; else empty.
    """

    start: int
    end: int
    entry: bytes = b""
    leaf: Leaf | None = None
    record: Plain | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which leaves are asked for; what cannot be read passes unless `records` are asked for.

    Attributes:
        kinds: Of these kinds; none: of any.
        boot: Of a boot whose id begins with this hex.
        since_ms: Not before this time; leaves without a time pass.
        until_ms: Before this time, likewise.
        key: Decisions and orders about the trading key of this name.
        client: Decisions that the client of this name asked for.
        order: Decisions that signed the order of this hash (hex).
    """

    kinds: frozenset[Kind] = frozenset()
    boot: str = ""
    since_ms: int = 0
    until_ms: int = 1 << 64
    key: str = ""
    client: str = ""
    order: str = ""

    @property
    def records(self) -> bool:
        """Whether it asks for what only records say."""
        return bool(self.key or self.client or self.order)

    def takes(self, found: Listed) -> bool:
        """Whether this is one of them."""
        leaf, record = found.leaf, found.record or {}
        if leaf is None:
            return not (self.records or self.kinds or self.boot)
        orders = record.get("orders")
        return (
            (not self.kinds or leaf.kind in self.kinds)
            and leaf.epoch.hex().startswith(self.boot)
            and (not leaf.time_ms or self.since_ms <= leaf.time_ms < self.until_ms)
            and (not self.key or record.get("key") == self.key)
            and (not self.client or record.get("client") == self.client)
            and (not self.order or (isinstance(orders, list) and self.order in orders))
        )


def listed(
    source: LogSource, start: int, end: int, openings: OpeningsByIndex | None = None
) -> Iterator[Listed]:
    """What stands at the places from `start` up to and without `end`, in order.

    Raises:
        LogUnreadable: the source does not give what it has.
    """
    reader = reader_of(source)
    end = min(end, source.size)
    while start < end:
        following = min(start - start % WIDTH + WIDTH, end)
        try:
            entries = reader.bundle(start // WIDTH)[start % WIDTH :][: following - start]
        except (TileMissing, BundleMalformed) as error:
            yield Listed(start, following, problem=f"{error.what} ({error.expected})")
        else:
            for at, entry in enumerate(entries, start):
                yield _one(at, entry, openings)
        start = following


def _one(at: int, entry: bytes, openings: OpeningsByIndex | None) -> Listed:
    try:
        leaf = Leaf.parse(entry)
    except WireError as error:
        return Listed(at, at + 1, entry, problem=f"no leaf: {error}")
    opening = None if openings is None else openings.get(at)
    if opening is None:
        return Listed(at, at + 1, entry, leaf)
    try:
        record = decode_record(leaf, record_in(leaf, opening))
    except WireError as error:
        return Listed(at, at + 1, entry, leaf, problem=str(error))
    return Listed(at, at + 1, entry, leaf, record)
