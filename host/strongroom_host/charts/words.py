"""Metrics in words, the same on the page and in the terminal."""

from collections.abc import Iterator
from typing import Final

from strongroom_host.charts.scales import day, percent
from strongroom_host.metrics.drawdown import Drawdown
from strongroom_host.metrics.measures import Metrics
from strongroom_host.metrics.statistics import Figure

__all__ = ["ABSENT", "figures", "hours"]

Row = tuple[str, str, str]

ABSENT: Final = "—"
"""In the place of a number that there is not."""


def figures(metrics: Metrics) -> Iterator[Row]:
    """Yields name, value and note of every metric; an absent one is a dash and the reason."""
    gaps = metrics.coverage.without > 0
    yield _share("TWR", metrics.twr)
    if gaps:
        note = f"linked over {metrics.coverage.without} missing hours: not TWR"
        yield "known returns", percent(float(metrics.known), places=2), note
    yield _share("CAGR", metrics.cagr)
    yield _share("volatility", metrics.volatility, "a year", signed=False)
    yield _ratio("Sharpe", metrics.sharpe)
    yield _ratio("Sortino", metrics.sortino)
    yield _ratio("Calmar", metrics.calmar)
    yield _fall("max drawdown", metrics.deepest, gaps=gaps)
    yield _longest(metrics.longest, gaps=gaps)
    for tail in metrics.tails:
        level = f"{tail.level * 100:f}".rstrip("0").rstrip(".")
        yield _share(f"VaR {level} %", tail.var, "of a sample", signed=False)
        yield _share(f"CVaR {level} %", tail.cvar, "of a sample", signed=False)
    yield _ratio("profit factor", metrics.profit_factor)
    yield _share("win rate", metrics.win_rate, "of samples other than 0", signed=False)
    yield _share("exposure", metrics.exposure, "of hours with a return", signed=False)
    sample = metrics.sample
    left = f", {sample.left_out} hours at the ends left out" if sample.left_out else ""
    missing = f", {sample.without} hours without a return" if sample.without else ""
    yield "samples", str(len(sample.values)), (left + missing).removeprefix(", ")


def hours(count: int) -> str:
    """Returns a length of time in words."""
    days, rest = divmod(count, 24)
    parts = [f"{days} d"] if days else []
    return " ".join([*parts, f"{rest} h"] if rest or not days else parts)


def _share(name: str, figure: Figure, note: str = "", *, signed: bool = True) -> Row:
    if figure.value is None:
        return name, ABSENT, figure.why
    shown = percent(float(figure.value), places=2)
    return name, shown if signed else shown.removeprefix("+"), note


def _ratio(name: str, figure: Figure) -> Row:
    if figure.value is None:
        return name, ABSENT, figure.why
    return name, f"{figure.value:,.2f}", ""


def _fall(name: str, fall: Drawdown | None, *, gaps: bool) -> Row:
    if fall is None:
        return name, ABSENT, "never fell"
    note = f"{day(fall.peak_ms)} to {day(fall.trough_ms)}, lasted {hours(fall.hours)}"
    back = fall.recovery_hours
    note += ", not recovered" if back is None else f", {hours(back)} of it to recover"
    return name, percent(float(fall.depth), places=2), note + (", or deeper in a gap" * gaps)


def _longest(fall: Drawdown | None, *, gaps: bool) -> Row:
    if fall is None:
        return "longest drawdown", ABSENT, "never fell"
    note = f"from {day(fall.peak_ms)}{'' if fall.recovered else ', not recovered'}"
    return "longest drawdown", hours(fall.hours), note + (", or longer over a gap" * gaps)
