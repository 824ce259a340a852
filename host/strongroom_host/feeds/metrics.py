"""What the feeds count, as Prometheus text and as one line for a person."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from strongroom_host.feeds.clock import SkewMeter
from strongroom_host.feeds.counters import Counters
from strongroom_host.feeds.sink import Lane

__all__ = ["Counted", "prometheus", "serve_metrics", "status_line"]

_PREFIX: Final = "strongroom_feed"
_MAX_REQUEST: Final = 8192


class _Connections(Protocol):
    duplicates: int

    @property
    def connections(self) -> int: ...

    def covering(self) -> list[int]: ...


class Counted(Protocol):
    """What a feed shows of itself."""

    name: str
    counters: Counters
    lane: Lane
    skew: SkewMeter

    @property
    def merge(self) -> _Connections: ...


def prometheus(feeds: Sequence[Counted]) -> str:
    """All feeds' counters in the Prometheus text format (version 0.0.4)."""
    lines: list[str] = []

    def family(name: str, kind: str, text: str, values: Iterable[tuple[str, object]]) -> None:
        lines.append(f"# HELP {_PREFIX}_{name} {text}")
        lines.append(f"# TYPE {_PREFIX}_{name} {kind}")
        lines.extend(f"{_PREFIX}_{name}{{{labels}}} {value}" for labels, value in values)

    def simple(name: str, kind: str, text: str, of: Mapping[str, object]) -> None:
        family(name, kind, text, ((f'feed="{feed}"', value) for feed, value in of.items()))

    by_name = {feed.name: feed for feed in feeds}
    simple("ticks_total", "counter", "Published.", _of(by_name, lambda f: f.lane.published))
    simple("messages_total", "counter", "Received.", _of(by_name, lambda f: f.counters.messages))
    simple(
        "duplicates_total",
        "counter",
        "Known from another connection.",
        _of(by_name, lambda f: f.merge.duplicates),
    )
    simple(
        "skipped_total",
        "counter",
        "Left out by a connection, by the venue's numbers.",
        _of(by_name, lambda f: f.counters.skipped),
    )
    simple(
        "lost_total",
        "counter",
        "Trades that no connection brought.",
        _of(by_name, lambda f: f.counters.lost),
    )
    simple("breaks_total", "counter", "Epochs ended.", _of(by_name, lambda f: f.counters.breaks))
    simple("epoch", "gauge", "The current epoch.", _of(by_name, lambda f: f.lane.epoch))
    simple(
        "connections",
        "gauge",
        "Connections that cover the stream.",
        _of(by_name, lambda f: len(f.merge.covering())),
    )
    simple(
        "recovery_seconds",
        "gauge",
        "The longest time without a connection.",
        _of(by_name, lambda f: f.counters.recovery_ns / 1e9),
    )
    simple(
        "clock_offset_seconds",
        "gauge",
        "This host's clock less the venue's, at its smallest of late.",
        _of(by_name, lambda f: f.skew.value_ns / 1e9),
    )
    for name, text, pick in (
        ("refused_total", "Messages not taken, by reason.", "refused"),
        ("closed_total", "Connections ended, by reason.", "closed"),
        ("suspicions_total", "Checks of books that failed, by check.", "suspicions"),
    ):
        values = [
            (f'feed="{feed.name}",reason="{reason}"', count)
            for feed in feeds
            for reason, count in _reasons(feed.counters, pick).items()
        ]
        family(name, "counter", text, values)
    return "\n".join(lines) + "\n"


def _reasons(counters: Counters, pick: str) -> Mapping[str, int]:
    if pick == "refused":
        return {reason.value: count for reason, count in counters.refused.items()}
    return counters.closed if pick == "closed" else counters.suspicions


def _of(feeds: Mapping[str, Counted], pick: _Pick) -> dict[str, object]:
    return {name: pick(feed) for name, feed in feeds.items()}


class _Pick(Protocol):
    def __call__(self, feed: Counted, /) -> float: ...


def status_line(feed: Counted, said: Mapping[int, object]) -> str:
    """A feed's state in one line."""
    counters, merge = feed.counters, feed.merge
    covering = len(merge.covering())
    parts = [
        f"{feed.name}: {covering} of {merge.connections} connections cover"
        if merge.connections
        else f"{feed.name}: NO CONNECTION",
        f"epoch {feed.lane.epoch}",
        f"{feed.lane.published} ticks of {counters.messages} messages",
    ]
    for word, count in (
        ("breaks", counters.breaks),
        ("skipped", counters.skipped),
        ("lost", counters.lost),
    ):
        if count:
            parts.append(f"{count} {word}")
    refused = ", ".join(f"{count} {r.value}" for r, count in counters.refused.items())
    if refused:
        parts.append(f"refused: {refused}")
    if counters.closed:
        ended = ", ".join(f"{count} {why}" for why, count in counters.closed.items())
        parts.append(f"ended: {ended}")
    if feed.skew.off:
        parts.append(feed.skew.words())
    parts.extend(f"connection {number}: {failure}" for number, failure in said.items())
    return "; ".join(parts)


async def serve_metrics(feeds: Sequence[Counted], host: str, port: int) -> asyncio.Server:
    """A server that answers ``GET /metrics`` and nothing else.

    Raises:
        OSError: the address cannot be listened on.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                found = head.startswith((b"GET /metrics ", b"GET /metrics?"))
                body = prometheus(feeds).encode() if found else b"not found\n"
                status = b"200 OK" if found else b"404 Not Found"
                writer.write(
                    b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain; version=0.0.4\r\n"
                    b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, limit=_MAX_REQUEST)
