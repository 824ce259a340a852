"""`strongroom trade`: a strategy on a ring of ticks, with an enclave that signs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from strongroom_host.cli.daemon import WithStdinOption
from strongroom_host.cli.latency import print_budget
from strongroom_host.cli.order import (
    DEFAULT_CLIENT,
    ClientOption,
    DialOption,
    KeeperOption,
    KeyOption,
    ManifestFile,
    TrustFile,
)
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import say, warn
from strongroom_host.cli.relay import VARIABLE, read_psk
from strongroom_host.cli.session import DEFAULT_ENCLAVE, EnclaveOption
from strongroom_host.cli.strategy import paper
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import BadInput
from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter
from strongroom_host.latency.table import budget, shown
from strongroom_host.strategy.port import Strategy
from strongroom_host.trading.ending import trade_until_stopped
from strongroom_host.trading.errors import SessionUnclear
from strongroom_host.trading.gate import GateLimits
from strongroom_host.trading.live import PipedView, PlainLines, state_words
from strongroom_host.trading.loop import Said, TradingLoop
from strongroom_host.trading.session import RelayWay, Session, SessionOptions, open_session

__all__ = ["app"]

app = typer.Typer(
    help="Run a strategy on live ticks: orders through the enclave, or on paper.",
    no_args_is_help=True,
)


app.command("paper")(paper)


@app.command("run")
def run_command(
    ring: Annotated[str, typer.Option(metavar="NAME", help="The ring that a feed writes.")],
    strategy: Annotated[str, typer.Option(metavar="NAME", help="`strongroom strategy list`.")],
    market: Annotated[
        list[str],
        typer.Option(
            metavar="TOKEN[=INSTRUMENT[:TICK]]",
            help="What may be traded; INSTRUMENT as `strongroom ring show` lists it, TICK 0.01.",
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Of the strategy; its `market` is that of a single --market unless given.",
        ),
    ] = None,
    relay: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send through this relay.")
    ] = None,
    psk_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"The relay's key in hex (default: ${VARIABLE})."),
    ] = None,
    busy_poll: Annotated[
        bool, typer.Option("--busy-poll", help="Spin instead of sleeping; takes a core.")
    ] = False,
    journal_only: Annotated[
        bool,
        typer.Option(
            "--journal-only",
            help="Do not wait for the log's keeper before an order leaves: the journal has it."
            " The keeper has to run all the same, or the enclave stops signing one day.",
        ),
    ] = False,
    templates: Annotated[
        bool,
        typer.Option(
            "--templates",
            help="Lay requests out here, for the enclave to fill in what is secret. The log then"
            " does not say what decided.",
        ),
    ] = False,
    replayed: Annotated[
        bool,
        typer.Option("--replayed", help="The ring replays a tape: do not compare clocks."),
    ] = False,
    name: Annotated[str, typer.Option(help="Of the session, for `strongroom latency`.")] = "trade",
    decisions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where decisions are recorded.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a live view.")] = False,
    with_stdin: WithStdinOption = False,
    key: KeyOption = "main",
    client: ClientOption = DEFAULT_CLIENT,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
    venue_address: DialOption = None,
    keeper: KeeperOption = None,
) -> None:
    """Trade until Ctrl-C or SIGTERM, which take open orders back before the end.

    Each order is signed by the enclave under the owner's policy, journalled, and sent once. Exit
    status 4 if an order may still be open at the end.
    """
    options = SessionOptions(
        ring=ring,
        strategy=strategy,
        key=key,
        markets=market,
        client=client.expanduser(),
        enclave=parse_enclave_address(enclave),
        name=name,
        strategy_options=_pairs(option or []),
        manifest=manifest,
        trust=trust,
        relay=_relay(relay, psk_file),
        venue_address=venue_address,
        keeper=keeper,
        journal_only=journal_only,
        busy_poll=busy_poll,
        templates=templates,
        decisions=decisions,
        gate=GateLimits(skew_s=0.0) if replayed else GateLimits(),
    )
    heard: list[PlainLines | PipedView] = []

    def hear(said: Said) -> None:
        for view in heard:
            view.hear(said)

    with ExitStack() as stack:
        session = stack.enter_context(open_session(options, _load, hear))
        loop = session.loop

        def state() -> str:
            return state_words(
                loop.gate, loop.path.book, session.alive.trouble or loop.path.withheld
            )

        live = sys.stdout.isatty() and not plain
        view: PlainLines | PipedView = (
            PipedView(name, session.markets, state)
            if live
            else PlainLines(_write, session.figures, session.markets, state)
        )
        stack.callback(view.close)
        heard.append(view)
        loop.timed = (*loop.timed, view)
        if session.taken_over:
            warn(f"{session.taken_over} orders of an earlier session are being taken back first")
        with _stopping(loop):
            if with_stdin:
                end_with_stdin()
            _trade(session)
        view.close()
        if session.alive.trouble:
            warn(session.alive.trouble)
        _report(session, decisions)


def _trade(session: Session) -> None:
    try:
        trade_until_stopped(session.loop, session.alive.end)
    except SessionUnclear as error:
        if error.__cause__ is not None:
            warn(f"trading ended early: {error.__cause__}")
        raise


def _report(session: Session, named: Path | None) -> None:
    counters, stages = session.figures.counters, session.figures.stages
    say(
        f"{counters[Counter.TICKS]:,} ticks, {counters[Counter.DECISIONS]} decisions:"
        f" {counters[Counter.SENT]} orders sent, {counters[Counter.FILLS]} fills,"
        f" {counters[Counter.DENIED]} denied, {counters[Counter.HELD]} held back;"
        f" nothing is open; tick to sent p50 {shown(stages[Stage.OUT].at(0.5) or None)}"
    )
    print_budget("where the time went", budget(stages), explained=False)
    if named is None:
        say(f"decisions are in {session.decisions}")


@contextmanager
def _stopping(loop: TradingLoop) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the loop at its next turn; a second one ends the process."""

    def stop(number: int, _frame: FrameType | None) -> None:
        loop.stop = True
        signal.signal(number, signal.default_int_handler)

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _load(
    name: str, options: Mapping[str, str], instruments: Sequence[str], markets: Sequence[str]
) -> Strategy:
    """Returns the strategy; one that needs a market has the only one there is unless told."""
    from strongroom_host.strategy.registry import STRATEGIES, load_strategy

    entry = STRATEGIES.get(name)
    needed = None if entry is None else entry.options.get("market")
    if needed is not None and needed.default is None and len(markets) == 1:
        options = {"market": markets[0], **options}
    return load_strategy(name, options, instruments)


def _pairs(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise BadInput(f"{text!r} is no option", expected="NAME=VALUE, each name once")
        found[name] = value
    return found


def _relay(address: str | None, psk_file: Path | None) -> RelayWay | None:
    if address is None:
        if psk_file is not None:
            raise BadInput("--psk-file without --relay", remedy="say where the relay is")
        return None
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise BadInput(f"{address!r} is no relay's address", expected="HOST:PORT")
    return RelayWay((host, int(port)), read_psk(psk_file))


def _write(text: str) -> None:
    say(text)
    sys.stdout.flush()
