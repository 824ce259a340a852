"""`strongroom feed`: venues' market data into a ring of ticks."""

import asyncio
import gc
import json
import time
from typing import Annotated

import typer

from strongroom_host.cli._feed_options import (
    BinanceOption,
    BitcoinLeastOption,
    BitcoinOption,
    CoinbaseOption,
    ConfigOption,
    FeedOptions,
    MetricsOption,
    PolymarketCaOption,
    PolymarketOption,
    PolymarketUrlOption,
    RingOption,
    SlotsOption,
)
from strongroom_host.cli.feed_doctor import doctor
from strongroom_host.cli.feed_pins import pins
from strongroom_host.cli.feed_watch import watch
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import say, warn
from strongroom_host.errors import BadInput
from strongroom_host.feeds.loops import loop_factory
from strongroom_host.feeds.service import make_feeds, run_feeds
from strongroom_host.ring.writer import RingWriter

__all__ = ["app"]

app = typer.Typer(
    name="feed",
    help="Market data: from venues' streams into a ring of 64-byte ticks.",
    no_args_is_help=True,
)
app.command()(watch)
app.command()(pins)
app.command()(doctor)

_MASK = (1 << 32) - 1


@app.command()
def run(
    ring: RingOption = "",
    config: ConfigOption = None,
    polymarket: PolymarketOption = None,
    polymarket_url: PolymarketUrlOption = "",
    polymarket_ca: PolymarketCaOption = "",
    binance: BinanceOption = None,
    coinbase: CoinbaseOption = None,
    bitcoin: BitcoinOption = None,
    bitcoin_least: BitcoinLeastOption = "",
    slots: SlotsOption = 0,
    metrics: MetricsOption = "",
    status_every: Annotated[
        float, typer.Option(metavar="S", help="Seconds between status lines; 0 for none.")
    ] = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One line of JSON when the first tick is out.")
    ] = False,
    with_stdin: Annotated[
        bool, typer.Option("--with-stdin", help="Also stop when stdin closes (no orphan).")
    ] = False,
) -> None:
    """Run feeds until SIGTERM or Ctrl-C, each over two connections, into one ring.

    A feed that cannot connect goes on trying; what is wrong is in its status line. `feed doctor`
    looks into it, given the same options.
    """
    chosen = FeedOptions(
        ring,
        polymarket or [],
        polymarket_url,
        polymarket_ca,
        binance or [],
        coinbase or [],
        bitcoin or [],
        bitcoin_least,
        slots,
        metrics,
    ).over(config)
    if not chosen.ring:
        raise BadInput("ticks need a ring to go to", remedy="give --ring NAME")
    with RingWriter.create(chosen.ring, slots=chosen.slots) as writer:
        running = make_feeds(chosen, writer, int(time.time()) & _MASK)
        names = [item.feed.name for item in running]
        if not as_json:
            say(f"{', '.join(names)} into ring {chosen.ring}; Ctrl-C stops it.")
        for name in names:
            section = getattr(chosen, name)
            if not getattr(section, "pins", True):
                warn(f"{name}: no pins; any authority that is trusted here can vouch for its host")
        ready = {"ready": True, "ring": chosen.ring, "feeds": names}
        if with_stdin:
            end_with_stdin()
        gc.freeze()  # what stands now stays: no collection needs to look at it again
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(
                run_feeds(
                    running,
                    metrics=chosen.metrics,
                    ready=(lambda: typer.echo(json.dumps(ready))) if as_json else None,
                    say=say if status_every > 0 and not as_json else None,
                    every_s=status_every or 1.0,
                )
            )
        for item in running:
            if not as_json:
                say(item.line)
    if as_json:
        typer.echo(json.dumps({"stopped": True}))
