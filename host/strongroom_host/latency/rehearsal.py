"""The whole pipeline on this machine for one tape: enclave, test venue, relay, and a strategy.

What is timed is the live path, by the trading process itself, in every order; only the market comes
from the tape, restamped as if it arrived now. Everything is started here and gone at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from strongroom_host.demo.folders import Folders
from strongroom_host.demo.last_words import explained
from strongroom_host.demo.owners import VENUE
from strongroom_host.demo.processes import (
    CLI,
    Child,
    HostReady,
    KeeperReady,
    Market,
    VenueReady,
    keeper,
)
from strongroom_host.demo.processes import host as booting
from strongroom_host.demo_trade.parties import RelayReady, new_psk, relay, trade_folders
from strongroom_host.demo_trade.permission import Allowance, permit_trading
from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.latency.histogram import Histogram
from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter, Figures, StatsAbsent, read_stats
from strongroom_host.ring.errors import RingAbsent
from strongroom_host.ring.reader import RingReader
from strongroom_host.runners.console import quoted, tail
from strongroom_host.strategy.registry import STRATEGIES, load_strategy
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.recording import speed_of

__all__ = ["Rehearsal", "rehearse"]

_FREE: Final = Allowance(Decimal(10**7), "10000", "0.01-0.99", "100000000:1000000")
_HEAD_START_S: Final = 6.0
_QUIET_S: Final = 3.0
_PATIENCE_S: Final = 30.0
_LINGER_S: Final = 3600
_PREFIX: Final = "polymarket:"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was timed, and what happened meanwhile."""

    stages: dict[Stage, Histogram]
    counts: dict[str, int]


class RehearsalFailed(EnvironmentFault):
    """The pipeline did not run as it should."""


def rehearse(
    tape: Path, strategy: str, options: Mapping[str, str], speed: str, *, busy_poll: bool
) -> Rehearsal:
    """Plays a tape through the whole pipeline.

    Args:
        tape: Whose first Polymarket instrument is traded, unless `market` names another.
        strategy: By name.
        options: Of the strategy; `market` is filled in if it is not among them and the strategy
            has such an option.
        speed: How fast, as `strongroom tape replay --speed` takes it.
        busy_poll: Spin in the trading process.

    Raises:
        StrategyUnknown, StrategyUnsuited: the strategy cannot run on that tape as it is asked to.
        HostError: what else went wrong; every process has ended by then.
    """
    speed_of(speed)
    instrument, settings = _suited(tape, strategy, options)
    ring = f"rehearsal-{secrets.token_hex(4)}"
    with trade_folders(None) as folders, explained(folders.console), ExitStack() as running:
        market = _market(int(instrument.removeprefix(_PREFIX)))
        waiting = running.enter_context(_venue(folders.venue, market))
        venue = waiting.ready(VenueReady)
        mapped = (f"{VENUE}=127.0.0.1:{venue.port}",)
        operating = running.enter_context(booting(folders.host, folders.run, mapped))
        psk = new_psk(folders.root / "relay" / "psk")
        relaying = running.enter_context(relay(venue, psk))
        permit_trading(folders, venue, operating.ready(HostReady), venue.markets[0], _FREE)
        keeping = running.enter_context(keeper(folders.log, folders.bot, folders.run))
        keeping.ready(KeeperReady)
        playing = running.enter_context(_replay(tape, ring, speed, folders))
        _await_ring(ring, playing)
        arguments = ["trade", "run", "--ring", ring, "--strategy", strategy, "--name", ring]
        for name, value in settings.items():
            arguments += ["--option", f"{name}={value}"]
        arguments += ["--market", f"{venue.markets[0].tokens[0]}={instrument}"]
        arguments += ["--relay", relaying.ready(RelayReady).address, "--psk-file", str(psk)]
        arguments += ["--client", str(folders.bot), "--enclave", f"unix:{folders.run}"]
        arguments += [
            "--journal-only",
            "--plain",
            "--replayed",
            "--with-stdin",
            *(["--busy-poll"] * busy_poll),
        ]
        return _traded(ring, arguments, folders)


def _suited(tape: Path, strategy: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Returns the instrument that is traded, and the strategy's options with it among them.

    The strategy is made here once: what it lacks is said before anything is started.
    """
    with TapeReader(tape) as reader:
        names = reader.names
    tokens = [name for name in names if name.startswith(_PREFIX)]
    chosen = options.get("market") or next(iter(tokens), "")
    number = chosen.removeprefix(_PREFIX)
    if chosen not in tokens or not (number.isascii() and number.isdecimal()):
        raise BadInput(
            f"{tape} has no such Polymarket instrument to trade",
            expected=" or ".join(tokens) or f"{_PREFIX}TOKEN",
            actual=chosen or "none",
            remedy="name one of those, record one, or make one with `strongroom tape simulate`",
        )
    settings = dict(options)
    if strategy in STRATEGIES and "market" in STRATEGIES[strategy].options:
        settings["market"] = chosen
    load_strategy(strategy, settings, names)
    return chosen, settings


def _market(token: int) -> Market:
    return Market("0x" + "ab" * 32, (str(token), str(token ^ 1)), "0.01", neg_risk=False)


def _venue(folder: Path, market: Market) -> Child[VenueReady]:
    """Returns a starting testnet with that one market; who trades there is far from its price."""
    seeds = [
        {"token": token, "side": side, "price": price, "size": "1000000"}
        for token in market.tokens
        for side, price in (("BUY", "0.01"), ("SELL", "0.99"))
    ]
    markets = [
        {
            "condition_id": market.condition_id,
            "tokens": list(market.tokens),
            "tick_size": market.tick_size,
        }
    ]
    config = folder / "config.json"
    config.write_text(json.dumps({"markets": markets, "seeds": seeds}))
    arguments = ["--dir", str(folder), "--chain", "80002", "--with-stdin", "--config", str(config)]
    return Child("the testnet venue", "strongroom_host.testnet", arguments, folder / "venue.log")


def _replay(tape: Path, ring: str, speed: str, folders: Folders) -> Child[RelayReady]:
    arguments = ["tape", "replay", str(tape.absolute()), "--ring", ring, "--speed", speed]
    arguments += ["--restamp", "--wait", str(_HEAD_START_S), "--linger", str(_LINGER_S)]
    return Child("the tape", CLI, [*arguments, "--with-stdin"], folders.root / "relay" / "tape.log")


def _await_ring(ring: str, playing: Child[RelayReady]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and playing.process.poll() is None:
        with contextlib.suppress(RingAbsent), RingReader.attach(ring):
            return
        time.sleep(0.05)
    raise RehearsalFailed("the tape is not played", actual=quoted("it said", tail(playing.log)))


def _traded(ring: str, arguments: list[str], folders: Folders) -> Rehearsal:
    """Runs the trading process until no more ticks come."""
    said, log = folders.bot / "trade.out", folders.bot / "trade.log"
    command = [sys.executable, "-P", "-m", CLI, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with said.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and modules
            command,
            stdin=subprocess.PIPE,  # so that it ends with this process, however that ends
            stdout=out,
            stderr=err,
            process_group=0,
            env=environment,
        )
        try:
            figures = _watch(ring, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
    if process.returncode or figures is None:
        raise RehearsalFailed(
            "the trading process failed",
            expected="exit status 0",
            actual=f"{process.returncode}: {quoted('its last words', tail(log))}",
        )
    counts = {each.name.lower(): figures.counters[each] for each in Counter}
    return Rehearsal(figures.stages, counts)


def _watch(ring: str, process: subprocess.Popen[bytes]) -> Figures | None:
    """Returns the session's figures, which outlive it, once its ticks have come to an end."""
    figures: Figures | None = None
    ticks, at = 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        if figures is None:
            with contextlib.suppress(StatsAbsent):
                figures = read_stats(ring)[2]
            continue
        seen = figures.counters[Counter.TICKS]
        if seen != ticks:
            ticks, at = seen, time.monotonic()
        elif ticks and time.monotonic() - at > _QUIET_S:
            return figures
        elif time.monotonic() - at > _HEAD_START_S + _PATIENCE_S:
            raise RehearsalFailed("no tick reached the strategy")
    return figures
