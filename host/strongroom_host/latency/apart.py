"""Stages that a trading process cannot see, measured beside it on the same machine.

The enclave's steps run in a process of the local platform, which prints its samples; decoding and
the ring are measured here. All of it says what the code costs, not what it cost in one order.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from strongroom_host.errors import EnvironmentFault
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.latency.histogram import Histogram
from strongroom_host.latency.stages import Stage
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import Kind, Side
from strongroom_host.ring.writer import RingWriter

__all__ = ["TimingFailed", "measured_apart"]

_STEPS: Final = {
    "policy": Stage.POLICY,
    "hash": Stage.HASH,
    "sign": Stage.SIGN,
    "sign ahead": Stage.SIGN_AHEAD,
    "build": Stage.BUILD,
    "log": Stage.LOG,
}
_TOKEN: Final = "71321045679252212594626385532706912750332728571942532289631379312455583992563"  # noqa: S105
_TIMEOUT_S: Final = 120


class TimingFailed(EnvironmentFault):
    """The measuring process ended without its figures."""


def measured_apart(rounds: int) -> dict[Stage, Histogram]:
    """Returns the stages that are measured apart.

    Raises:
        TimingFailed: the enclave's steps could not be timed.
    """
    samples = {_STEPS[name]: taken for name, taken in _inside(rounds).items()}
    samples[Stage.DECODE] = _decode(rounds)
    samples[Stage.RING] = _ring(rounds)
    return {stage: Histogram.of(taken) for stage, taken in samples.items()}


def _inside(rounds: int) -> dict[str, list[int]]:
    command = [sys.executable, "-P", "-m", "strongroom_local.timing", str(rounds)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module
            command, capture_output=True, check=True, env=environment, timeout=_TIMEOUT_S
        )
        found: dict[str, list[int]] = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        words = getattr(error, "stderr", b"") or b""
        raise TimingFailed(
            "the enclave's steps could not be timed",
            actual=words.decode("utf-8", "replace").strip().splitlines()[-1:] or error,
            remedy="`strongroom host doctor` looks at this machine",
        ) from error
    return found


class _Nowhere:
    """Takes ticks and forgets them."""

    def publish(self, *_fields: int) -> int:
        return 1

    def instrument(self, name: str) -> int:  # noqa: ARG002  the port's
        return 1


def _decode(rounds: int) -> list[int]:
    """One `price_change` of two levels, as the market channel sends it."""
    feed = Polymarket(1, _Nowhere(), [_TOKEN], first_epoch=1)
    feed.opened(0, time.monotonic_ns())
    half = '[{"price":"0.56","size":"%d"}]'
    book = (
        f'{{"event_type":"book","asset_id":"{_TOKEN}","market":"0xab","bids":{half % 100},'
        f'"asks":{half.replace("0.56", "0.58") % 100},"timestamp":"1790000000000","hash":"0"}}'
    )
    feed.received(0, book, time.monotonic_ns())
    number = 0

    def job() -> None:
        nonlocal number
        number += 1
        change = (
            f'{{"event_type":"price_change","market":"0xab","timestamp":"{1790000000000 + number}",'
            f'"price_changes":[{{"asset_id":"{_TOKEN}","price":"0.56","size":"{100 + number}",'
            '"side":"BUY","hash":"0","best_bid":"0.56","best_ask":"0.58"},'
            f'{{"asset_id":"{_TOKEN}","price":"0.58","size":"{200 + number}","side":"SELL",'
            '"hash":"0","best_bid":"0.56","best_ask":"0.58"}]}'
        )
        feed.received(0, change, time.monotonic_ns())

    return _timed(job, rounds)


def _ring(rounds: int) -> list[int]:
    name = f"latency-{secrets.token_hex(4)}"
    with RingWriter.create(name) as writer, RingReader.attach(name) as reader:

        def job() -> None:
            writer.publish(Kind.LEVEL, Side.BUY, 1, 1, 1, 1, 1, 57_000_000, 1, 1, 1, 0)
            if reader.poll() is None:
                raise TimingFailed("the ring lost a tick")

        return _timed(job, rounds)


def _timed(job: Callable[[], None], rounds: int) -> list[int]:
    for _ in range(20):
        job()
    taken = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            start = time.perf_counter_ns()
            job()
            taken.append(time.perf_counter_ns() - start)
    finally:
        gc.enable()
    return taken
