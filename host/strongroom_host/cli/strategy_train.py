"""`strongroom strategy train`: a network from tapes, judged on ticks that it has not seen."""

from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli.output import say, table, warn
from strongroom_host.errors import BadInput
from strongroom_host.strategy.backtest import Result, backtest
from strongroom_host.strategy.errors import RuntimeAbsent, StrategyUnsuited
from strongroom_host.strategy.features import NAMES, Features
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.model import Description, save_model
from strongroom_host.strategy.registry import load_strategy
from strongroom_host.strategy.report import pusd
from strongroom_host.strategy.steps import Sample, samples
from strongroom_host.tape.reader import TapeReader

__all__ = ["train"]


def train(
    tape: Annotated[Path, typer.Argument(metavar="TAPE", help="What it learns from.")],
    test: Annotated[Path, typer.Option(metavar="TAPE", help="What it is judged on: another tape.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="NAME.json; NAME.onnx beside it.")],
    market: Annotated[str, typer.Option(help="The outcome token's instrument.")] = "polymarket:1",
    coin: Annotated[str, typer.Option(help="The coin's instrument.")] = "binance:BTCUSDT",
    mempool: Annotated[str, typer.Option(help="The transfers'; none if empty.")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 1,
    epochs: Annotated[int, typer.Option(min=1, max=1000)] = 12,
    hidden: Annotated[int, typer.Option(min=1, max=128, help="Units of state.")] = 24,
    step_ms: Annotated[int, typer.Option(min=1, max=60_000, help="Length of a step.")] = 100,
    horizon: Annotated[int, typer.Option(min=1, max=10_000, help="Steps foreseen.")] = 30,
) -> None:
    """Train a small recurrent network. Needs the extra `torch`; what it makes does not."""
    if tape.resolve() == test.resolve():
        raise BadInput("a model cannot be judged on what it learnt from", expected="another tape")
    try:
        from strongroom_host.strategy.training import Plan, quality, torch_version
        from strongroom_host.strategy.training import train as train_network
    except ModuleNotFoundError as error:
        raise RuntimeAbsent(
            "training needs torch, which is not installed",
            remedy="pip install 'strongroom[torch]', or .tools/torch_env.py in a checkout",
        ) from error
    instruments = {"market": market, "coin": coin, "mempool": mempool}
    learnt, seen = _samples(tape, instruments, step_ms), _samples(test, instruments, step_ms)
    plan = Plan(seed=seed, hidden=hidden, horizon=horizon, epochs=epochs)
    say(f"{len(learnt):,} steps to learn from, {len(seen):,} to be judged on")
    try:
        network, inside = train_network(
            learnt, plan, lambda epoch, loss: say(f"epoch {epoch}: loss {loss:.5f}")
        )
    except ValueError as error:
        raise BadInput(str(error), remedy="record or simulate a longer tape") from error
    outside = quality(network, seen, horizon)
    training: dict[str, str | int | float] = {
        "tape": _source(tape),
        "steps": len(learnt),
        "seed": seed,
        "epochs": epochs,
        "torch": torch_version(),
        "error_inside": round(inside.error, 6),
    }
    metrics: dict[str, str | int | float] = {
        "tape": _source(test),
        "steps": outside.steps,
        "error": round(outside.error, 6),
        "error_of_no_change": round(outside.naive_error, 6),
        "direction_right": round(outside.right, 4),
        "moves": outside.moves,
    }
    described = Description("", "", NAMES, hidden, step_ms, horizon, network, training, metrics)
    model = save_model(out, described)
    results = {
        "gru": _backtest(test, "gru", {**instruments, "model": str(out)}),
        "baseline": _backtest(test, "baseline", {"market": market}),
    }
    for name, result in results.items():
        metrics[f"{name}_profit"] = pusd(result.profit)
        metrics[f"{name}_turnover"] = pusd(result.turnover)
    save_model(
        out, Description("", "", NAMES, hidden, step_ms, horizon, network, training, metrics)
    )
    table(
        f"Out of sample, on {test.name}",
        ("what", "value"),
        [(name.replace("_", " "), str(value)) for name, value in metrics.items()],
    )
    say(f"model {model.sha256.hex()}: {out.with_suffix('.onnx')}")
    if results["gru"].profit <= results["baseline"].profit:
        warn("it does no better than the baseline")


def _samples(tape: Path, instruments: dict[str, str], step_ms: int) -> list[Sample]:
    with TapeReader(tape) as reader:
        for role, name in instruments.items():
            if name and name not in reader.names:
                have = ", ".join(filter(None, reader.names))
                raise StrategyUnsuited(f"{tape} has no {role} {name}", expected=have, actual=name)
        places = [reader.names.index(name) if name else 0 for name in instruments.values()]
        return list(samples(reader, Features(*places), step_ms))


def _source(tape: Path) -> str:
    with TapeReader(tape, verify=False) as reader:
        return f"{reader.head.source}, {len(reader)} ticks"


def _backtest(tape: Path, name: str, options: dict[str, str]) -> Result:
    with TapeReader(tape) as reader:
        chosen = {option: value for option, value in options.items() if value}
        return backtest(load_strategy(name, chosen, reader.names), reader, Costs())
