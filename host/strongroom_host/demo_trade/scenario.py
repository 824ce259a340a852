"""All of `demo-trade`: start everybody, trade for a while, compare the books, end everybody."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from strongroom_host.demo.folders import Folders
from strongroom_host.demo.last_words import explained
from strongroom_host.demo.owners import VENUE
from strongroom_host.demo.processes import HostReady, KeeperReady, host, keeper
from strongroom_host.demo.story import DemoFailed, require
from strongroom_host.demo_trade.facts import Facts, establish
from strongroom_host.demo_trade.parties import (
    FeedReady,
    MovingVenueReady,
    RelayReady,
    feed,
    moving_venue,
    new_psk,
    relay,
    trade_folders,
    trader_arguments,
)
from strongroom_host.demo_trade.permission import BAND, Allowance, for_a_minute, permit_trading
from strongroom_host.latency.stats import stats_path
from strongroom_host.runners.console import quoted, tail
from strongroom_host.strategy.decisions import AnswerRecord, EventRecord, read_decisions

__all__ = ["Told", "perform"]

_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.5
_MORE_S: Final = 60.0
"""How much longer a machine that is busy with other things may take."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the demo can say at its end."""

    facts: Facts
    address: str
    ready_s: float
    total_s: float
    lines: tuple[str, ...]

    def report(self) -> dict[str, object]:
        """Returns the same for programs."""
        return {
            "ok": True,
            "address": self.address,
            "ready_s": self.ready_s,
            "total_s": self.total_s,
            "facts": asdict(self.facts),
            "lines": list(self.lines),
        }


def perform(console: Console | None, seconds: float, keep: Path | None, *, plain: bool) -> Told:
    """Trades for `seconds`, or longer, until something was filled and something denied.

    Args:
        console: Where progress is told; None for nowhere.
        seconds: How long.
        keep: Folder that stays; None for one that is removed.
        plain: Show lines instead of a live view.

    Raises:
        HostError: what went wrong; every process has ended by then.
    """
    started = time.perf_counter()
    ring = f"demo-{secrets.token_hex(4)}"
    with trade_folders(keep) as folders, explained(folders.console), ExitStack() as running:
        _say(console, "starting a venue whose markets move, an enclave, a relay, a feed")
        waiting = running.enter_context(moving_venue(folders.venue))
        venue = waiting.ready(MovingVenueReady)
        token = venue.markets[0].tokens[0]
        operating = running.enter_context(
            host(folders.host, folders.run, (f"{VENUE}=127.0.0.1:{venue.port}",))
        )
        psk = new_psk(folders.root / "relay" / "psk")
        relaying = running.enter_context(relay(venue, psk))
        feeding = running.enter_context(feed(ring, venue, token, folders.root / "relay"))
        booted = operating.ready(HostReady)
        allowed = Allowance(for_a_minute(seconds))
        address = permit_trading(folders, venue, booted, venue.markets[0], allowed)
        keeping = running.enter_context(keeper(folders.log, folders.bot, folders.run))
        keeping.ready(KeeperReady)
        relayed, _ = relaying.ready(RelayReady), feeding.ready(FeedReady)
        ready_s = round(time.perf_counter() - started, 1)
        _say(
            console,
            f"key {address} made inside; at most {allowed.minute} pUSD a minute, at {BAND}. Ready"
            f" in {ready_s} s, trading for {seconds:.0f} s.",
        )
        arguments = trader_arguments(folders, ring, token, relayed, psk)
        shown = console is not None
        lines = _trade(folders, ring, arguments, seconds, shown=shown, plain=plain)
        facts = _settled(folders, venue)
        for child in (keeping, feeding, relaying, operating, waiting):
            child.process.terminate()  # all at once; each is waited for
    total_s = round(time.perf_counter() - started, 1)
    return Told(facts, address, ready_s, total_s, lines)


def _trade(
    folders: Folders, name: str, arguments: list[str], seconds: float, *, shown: bool, plain: bool
) -> tuple[str, ...]:
    """Runs the trading process of that name until its time is over; returns its last words."""
    log, words = folders.bot / "trade.log", folders.bot / "trade.out"
    command = [sys.executable, "-P", "-m", "strongroom_host.cli.main", *arguments]
    live = shown and not plain and sys.stdout.isatty()
    command += [] if live else ["--plain"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with log.open("wb") as stderr, words.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and modules
            command,
            stdin=subprocess.PIPE,  # so that it ends with this process, however that ends
            stdout=None if shown else said,
            stderr=stderr,
            process_group=0,
            env=environment,
        )
        try:
            _wait(process, folders, seconds)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                stats_path(name).unlink(missing_ok=True)
            if process.stdin is not None:
                process.stdin.close()
    if process.returncode:
        raise DemoFailed(
            "the trading process failed",
            expected="exit status 0",
            actual=f"{process.returncode}: {quoted('its last words', tail(log))}",
        )
    return tuple(words.read_text("utf-8", "replace").splitlines()[-3:])


def _wait(process: subprocess.Popen[bytes], folders: Folders, seconds: float) -> None:
    """Returns when the time is over and there is something to tell, or nothing will come of it."""
    began = time.monotonic()
    while process.poll() is None:
        spent = time.monotonic() - began
        if spent > seconds + _MORE_S or (spent > seconds and _something(folders)):
            return
        time.sleep(_LOOK_S)


def _something(folders: Folders) -> bool:
    """Whether an order was filled and another one denied by now."""
    filled = denied = False
    path = folders.bot / "decisions.jsonl"
    if not path.exists():
        return False
    for record in read_decisions(path):
        filled = filled or (isinstance(record, EventRecord) and record.filled > 0)
        denied = denied or (isinstance(record, AnswerRecord) and bool(record.rule))
    return filled and denied


def _settled(folders: Folders, venue: MovingVenueReady) -> Facts:
    """Returns the facts once the keeper has the last leaf, which takes it a moment."""
    until = time.monotonic() + 10
    while True:
        try:
            facts = establish(folders, venue)
            break
        except DemoFailed:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_S)
    require(facts.filled > 0, "nothing was filled", actual=facts)
    require(bool(facts.denials), "nothing was denied", actual=facts)
    require(facts.open == 0, "orders still rest at the venue", actual=facts.open)
    return facts


def _say(console: Console | None, text: str) -> None:
    if console is not None:
        console.print(Text(text, style="dim"), soft_wrap=True)
