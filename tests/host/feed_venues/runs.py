"""A feed running against a local venue inside a test, and the promise that every run is held to."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from strongroom_host.feeds.core import Feed, Timing
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.keeper import Keeper, Patience
from strongroom_host.ring.tick import Kind, Tick

E = TypeVar("E")

__all__ = ["CALM", "IMPATIENT", "QUICK", "assert_no_silent_gap", "best_is", "keeping", "until"]

CALM = Timing(silence=60.0, behind=60.0, resubscribe=0.05)
"""For whom nothing falls silent on purpose: a busy machine is silent now and then."""
QUICK = Timing(silence=1.5, behind=1.5, resubscribe=0.05)
IMPATIENT = Patience(
    connect=30.0,
    heartbeat=0.05,
    first_delay=0.02,
    most_delay=0.1,
    lasting=0.2,
    watch=0.02,
)


@asynccontextmanager
async def keeping(
    feed: Feed[str, E],
    endpoint: Endpoint,
    *,
    connections: int = 2,
    max_message: int = 1 << 20,
) -> AsyncIterator[Keeper]:
    """The feed, kept until the block is left."""
    keeper = Keeper(
        feed,
        endpoint,
        connections=connections,
        patience=IMPATIENT,
        max_message=max_message,
        chance=random.Random(5),  # noqa: S311
    )
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], object], what: str, *, within_s: float = 60.0) -> None:
    """Wait until something holds; fail, saying what, if it does not come to."""
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, f"never: {what}"
        await asyncio.sleep(0.005)


def assert_no_silent_gap(ticks: Iterable[Tick], truth: Sequence[int]) -> tuple[int, int]:
    """Every trade was seen once, or the epoch changed where it is missing.

    Args:
        ticks: Of one instrument and of the feed itself, in order; a trade's number in `detail`.
        truth: The trades' numbers as they happened.

    Returns:
        How many trades were seen, and how many are missing.
    """
    place = {number: at for at, number in enumerate(truth)}
    seen: set[int] = set()
    epoch = last = None
    for tick in ticks:
        if tick.epoch != epoch:
            epoch, last = tick.epoch, None
        if tick.kind != Kind.TRADE:
            continue
        at = place[tick.detail]
        assert at not in seen, f"trade {tick.detail} twice"
        if last is not None:
            missing = [truth[n] for n in range(last + 1, at) if n not in seen]
            assert not missing, f"silently missing: {missing}"
            assert at > last, f"trade {tick.detail} out of order"
        seen.add(at)
        last = at
    if seen:
        assert max(seen) == len(truth) - 1, "the latest trades are missing"
        before = min(seen)
        return len(seen), len(truth) - before - len(seen)
    return 0, len(truth)


def best_is(ticks: Iterable[Tick], kind: Kind) -> int:
    """The latest best price of a kind."""
    return [tick.price for tick in ticks if tick.kind == kind][-1]
