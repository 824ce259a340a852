"""`strongroom strategy`: what there is, tried on tapes and on paper, trained, and explained."""

import time
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer
from rich.console import Console

from strongroom_host.charts.drawing import svg_file
from strongroom_host.charts.picture import png
from strongroom_host.charts.terminal import plot
from strongroom_host.charts.words import figures
from strongroom_host.cli._stopping import until_told
from strongroom_host.cli._strategy_options import (
    CashOption,
    FeeOption,
    LatencyOption,
    OptionOption,
    StrategyOption,
    costs_of,
    given,
    session_record,
)
from strongroom_host.cli.daemon import WithStdinOption
from strongroom_host.cli.lazy import LazyGroup
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.errors import BadInput
from strongroom_host.private_files import write_atomic
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.waiting import Wait
from strongroom_host.strategy.backtest import Result, backtest
from strongroom_host.strategy.decisions import DecisionWriter, read_decisions
from strongroom_host.strategy.errors import StrategyUnknown
from strongroom_host.strategy.explain import explain as explain_session
from strongroom_host.strategy.explain import session_of
from strongroom_host.strategy.paper import Paper
from strongroom_host.strategy.registry import STRATEGIES, load_strategy
from strongroom_host.strategy.report import (
    Subject,
    curve_of_account,
    metrics_of,
    page,
    pusd,
    summary,
)
from strongroom_host.strategy.runtimes import describe
from strongroom_host.tape.reader import TapeReader

__all__ = ["app"]


class _Strategy(LazyGroup):
    """Training needs torch, which nothing else does."""

    LATER = MappingProxyType({"train": "strongroom_host.cli.strategy_train:train"})


app = typer.Typer(
    name="strategy",
    cls=_Strategy,
    help="Strategies: tried on tapes and on paper, trained, and explained afterwards.",
    no_args_is_help=True,
)

TapeArgument = Annotated[Path, typer.Argument(metavar="TAPE", help="A recorded tape.")]
DecisionsOption = Annotated[
    Path | None,
    typer.Option("--decisions", metavar="FILE", help="Write the record of decisions; a new file."),
]


@app.command("list")
def list_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this one's options.")
    ] = None,
) -> None:
    """List the strategies, one's options, and what can run a model here."""
    if name is not None:
        if name not in STRATEGIES:
            raise StrategyUnknown(f"there is no strategy {name}", expected=", ".join(STRATEGIES))
        rows = [
            (option, "" if one.default is None else str(one.default), one.means)
            for option, one in STRATEGIES[name].options.items()
        ]
        table(f"Options of {name}", ("option", "default", "what"), rows)
        return
    entries = [(each, entry.means) for each, entry in STRATEGIES.items()]
    table("Strategies", ("name", "what"), entries)
    table("What can run a model here", ("runtime", "version"), describe().items())


@app.command("backtest")
def backtest_command(
    tape: TapeArgument,
    strategy: StrategyOption,
    option: OptionOption = None,
    latency_ms: LatencyOption = 50.0,
    fee_bps: FeeOption = 0,
    cash: CashOption = 1_000,
    plot_to: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Write a page (.html) or .svg, .png."),
    ] = None,
    decisions: DecisionsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Run a strategy over a tape, with fills that are worse than can be argued for."""
    terms = costs_of(latency_ms, fee_bps, cash)
    with ExitStack() as stack:
        reader = stack.enter_context(TapeReader(tape))
        runs = load_strategy(strategy, given(option), reader.names)
        session = session_record(runs, reader.names, reader.source)
        writer = None
        if decisions is not None:
            writer = stack.enter_context(DecisionWriter(decisions, session)).write
        result = backtest(runs, reader, terms, write=writer)
        model = runs.model_sha256.hex()
    settings = {**runs.parameters, "latency ms": str(latency_ms), "fee bps": fee_bps}
    subject = Subject(f"{strategy} on {tape.name}", strategy, model, settings, result)
    if as_json:
        print_json(_plain(subject))
    else:
        _print(subject)
    if plot_to is not None:
        _draw(plot_to, subject)


@app.command()
def paper(
    ring: Annotated[str, typer.Option(metavar="NAME", help="The ring whose ticks it trades on.")],
    strategy: StrategyOption,
    option: OptionOption = None,
    latency_ms: LatencyOption = 50.0,
    fee_bps: FeeOption = 0,
    cash: CashOption = 1_000,
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0: when told.")] = 0,
    decisions: DecisionsOption = None,
    with_stdin: WithStdinOption = False,
) -> None:
    """Run a strategy on a live ring against a simulated venue: nothing is signed or sent."""
    if with_stdin:
        end_with_stdin()
    terms = costs_of(latency_ms, fee_bps, cash)
    end = time.monotonic() + seconds if seconds else float("inf")
    with ExitStack() as stack:
        told = stack.enter_context(until_told())
        reader = stack.enter_context(RingReader.attach(ring, wait=Wait.BLOCK))
        names = ("", *reader.instruments.names())
        runs = load_strategy(strategy, given(option), names)
        session = session_record(runs, names, f"ring {ring}", after=reader.position)
        writer = None
        if decisions is not None:
            writer = stack.enter_context(DecisionWriter(decisions, session))
        markets = [place for place, name in enumerate(names) if name.startswith("polymarket:")]
        run = Paper(reader, runs, markets, terms, writer.write if writer else lambda _record: None)
        say(f"{strategy} on ring {ring}, on paper")
        run.run(lambda: told() or time.monotonic() >= end, writer.flush if writer else lambda: None)
    equity = run.account.equity()
    say(f"{run.ticks:,} ticks, {run.session.decided:,} decisions")
    say(f"worth {pusd(equity)} pUSD of {pusd(terms.cash)} at the start")
    if run.missed:
        warn(f"{run.missed:,} ticks were lost; the strategy was told each time, and stood aside")


@app.command()
def explain(
    decisions: Annotated[Path, typer.Argument(metavar="DECISIONS", help="A record of decisions.")],
    tape: TapeArgument,
    inputs_only: Annotated[
        bool, typer.Option("--inputs-only", help="Check the digests, without the strategy.")
    ] = False,
    option: OptionOption = None,
    killed: Annotated[
        bool, typer.Option("--killed", help="The session was; its record need not have an end.")
    ] = False,
) -> None:
    """Run a session again from its tape: does each decision follow from what it was bound to?

    A record without its last line is refused: what came after may have been cut off. Its options
    come from the record; --option adds what is not in it, such as model=FILE.
    """
    records = read_decisions(decisions)
    session = session_of(records)
    with TapeReader(tape) as reader:
        strategy = None
        if not inputs_only:
            recorded = {name: str(value) for name, value in session.parameters.items()}
            options = {name: value for name, value in recorded.items() if value}
            strategy = load_strategy(session.strategy, options | given(option), reader.names)
        found = explain_session(session, records, reader, strategy, killed=killed)
    say(f"{found.decisions} decisions on {found.ticks:,} ticks: inputs as recorded")
    if found.repeated is None:
        warn("the strategy was not run again: that these inputs lead there was not checked")
    else:
        say(f"{found.repeated} decisions made again, each the same in every field")
    say(f"strategy {session.strategy}, model {session.model_sha256}")


def _print(subject: Subject) -> None:
    result = subject.result
    console = Console(highlight=False)
    console.print(plot(curve_of_account(result), width=min(console.width, 160), height=10))
    table(subject.title, ("what", "value"), summary(result))
    table("Metrics of its hours", ("metric", "value", ""), figures(metrics_of(result)))
    warn("a tape did not see these orders; this is a pessimistic guess, and no promise")


def _plain(subject: Subject) -> dict[str, object]:
    result: Result = subject.result
    return {
        "strategy": subject.strategy,
        "model_sha256": subject.model,
        "parameters": subject.parameters,
        "profit": pusd(result.profit),
        "turnover": pusd(result.turnover),
        "fees": pusd(result.fees),
        "decisions": result.decisions,
        "decisions_sha256": result.digest.hex(),
        "reasons": result.reasons,
        "outcomes": result.outcomes,
        "ticks_missing": result.gaps,
    }


def _draw(path: Path, subject: Subject) -> None:
    curve = curve_of_account(subject.result)
    match path.suffix:
        case ".html":
            data = page(subject).encode()
        case ".svg":
            data = svg_file(curve, subject.title).encode()
        case ".png":
            data = png(curve, subject.title)
        case other:
            raise BadInput("cannot draw such a file", expected=".html, .svg, .png", actual=other)
    write_atomic(path, data)
    say(f"written: {path}")
