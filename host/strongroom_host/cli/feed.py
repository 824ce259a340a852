"""`strongroom feed`: venues' market data into a ring of ticks."""

import asyncio
import gc
import json
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from strongroom_host.cli.feed_doctor import doctor
from strongroom_host.cli.feed_pins import pins
from strongroom_host.cli.feed_watch import watch
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import say, warn
from strongroom_host.errors import BadInput
from strongroom_host.feeds.config import (
    BinanceConfig,
    BitcoinConfig,
    CoinbaseConfig,
    FeedsConfig,
    PolymarketConfig,
    load_config,
)
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
    ring: Annotated[str, typer.Option(help="The ring that ticks go to.")] = "",
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file; options add to it and go before it."),
    ] = None,
    polymarket: Annotated[
        list[str] | None, typer.Option(metavar="TOKEN", help="A token's book. Repeatable.")
    ] = None,
    polymarket_url: Annotated[
        str, typer.Option(metavar="URL", help="Another market channel, such as a testnet's.")
    ] = "",
    polymarket_ca: Annotated[
        str, typer.Option(metavar="FILE", help="The only roots that count for it.")
    ] = "",
    binance: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Such as BTCUSDT. Repeatable.")
    ] = None,
    coinbase: Annotated[
        list[str] | None, typer.Option(metavar="PRODUCT", help="Such as BTC-USD. Repeatable.")
    ] = None,
    bitcoin: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="A node's zmqpubrawtx, tcp://HOST:PORT. Repeatable."),
    ] = None,
    bitcoin_least: Annotated[
        str, typer.Option(metavar="BTC", help="Smaller transfers are left out (default 100).")
    ] = "",
    slots: Annotated[int, typer.Option(help="Ticks that the ring holds; a power of two.")] = 0,
    metrics: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Serve counters for Prometheus there.")
    ] = "",
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
    looks into it.
    """
    chosen = FeedsConfig() if config is None else load_config(config.expanduser())
    changes = _chosen(
        chosen, polymarket, polymarket_url, polymarket_ca, binance, coinbase, bitcoin, bitcoin_least
    )
    chosen = msgspec.structs.replace(
        chosen,
        ring=ring or chosen.ring,
        slots=slots or chosen.slots,
        metrics=metrics or chosen.metrics,
        **changes,
    )
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


def _chosen(
    config: FeedsConfig,
    polymarket: list[str] | None,
    polymarket_url: str,
    polymarket_ca: str,
    binance: list[str] | None,
    coinbase: list[str] | None,
    bitcoin: list[str] | None,
    bitcoin_least: str,
) -> dict[str, object]:
    """What the options put in the place of the file's sections."""
    changes: dict[str, object] = {}
    poly = config.polymarket
    if polymarket or polymarket_url or polymarket_ca:
        if poly is None and not polymarket:
            raise BadInput("a Polymarket feed needs tokens", remedy="give --polymarket TOKEN")
        poly = poly or PolymarketConfig(tokens=())
        changes["polymarket"] = msgspec.structs.replace(
            poly,
            tokens=tuple(dict.fromkeys([*poly.tokens, *(polymarket or [])])),
            url=polymarket_url or poly.url,
            cafile=polymarket_ca or poly.cafile,
        )
    if binance:
        spot = config.binance or BinanceConfig(symbols=())
        changes["binance"] = msgspec.structs.replace(spot, symbols=(*spot.symbols, *binance))
    if coinbase:
        books = config.coinbase or CoinbaseConfig(products=())
        changes["coinbase"] = msgspec.structs.replace(books, products=(*books.products, *coinbase))
    if bitcoin or bitcoin_least:
        nodes = config.bitcoin or BitcoinConfig(addresses=())
        changes["bitcoin"] = msgspec.structs.replace(
            nodes,
            addresses=(*nodes.addresses, *(bitcoin or [])),
            least_btc=bitcoin_least or nodes.least_btc,
        )
    return changes
