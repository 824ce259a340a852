"""A backtest to look at: the account's growth, its hours, what was decided, what became of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from strongroom_host.charts.curve import Curve, Point
from strongroom_host.charts.drawing import drawing
from strongroom_host.charts.scales import moment, percent
from strongroom_host.charts.style import STYLE
from strongroom_host.charts.words import figures
from strongroom_host.log.report.markup import Html, document, joined, tag
from strongroom_host.metrics.measures import Metrics, measure
from strongroom_host.metrics.sampling import Convention
from strongroom_host.metrics.series import HOUR_MS, ONE, Flag, Period, Series
from strongroom_host.strategy.backtest import Result

__all__ = ["Subject", "curve_of_account", "hours_of", "metrics_of", "page", "pusd", "summary"]

_PLACES: Final = Decimal(1) / ONE
_NOTE: Final = (
    "Worked out from a tape by a pessimistic fill model, not traded: the market on the tape did"
    " not see these orders. It says nothing about what will be, and on a simulated tape nothing"
    " about any real market."
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the page is about."""

    title: str
    strategy: str
    model: str
    parameters: dict[str, str | int]
    result: Result


def pusd(value: int) -> str:
    """Returns an amount of 1e-6 pUSD in pUSD, exactly."""
    whole, rest = divmod(abs(value), 1_000_000)
    return f"{'-' if value < 0 else ''}{whole:,}.{rest:06d}"


def curve_of_account(result: Result) -> Curve:
    """Returns the account's worth over time, 1 at the start: floats, for the eye."""
    points, highest = list[Point](), result.begun
    for time_ms, equity in result.equity:
        highest = max(highest, equity)
        points.append(Point(time_ms, equity / result.begun, equity / highest - 1))
    start, end = points[0].time_ms, max(points[-1].time_ms, points[0].time_ms + 1)
    return Curve(start, end, (tuple(points),), ())


def hours_of(result: Result) -> Series:
    """Returns the account's return of each hour that the tape touches, exactly, to 12 places. The
    first and the last are mostly not whole."""
    closing = dict[int, int]()
    for time_ms, equity in result.equity:
        closing[time_ms // HOUR_MS] = equity
    periods, before, previous = list[Period](), result.begun, None
    for hour, equity in closing.items():
        if previous is not None and hour != previous + 1:
            # Nothing came in between, so nothing changed: the worth stayed what it was.
            periods.append(Period((previous + 1) * HOUR_MS, hour - previous - 1, Decimal(0)))
        previous = hour
        start = hour * HOUR_MS
        if before <= 0:
            periods.append(Period(start, 1, None, Flag.NO_EQUITY))
            continue
        value = (Decimal(equity - before) / before).quantize(_PLACES, ROUND_HALF_EVEN)
        periods.append(Period(start, 1, max(value, Decimal(-1))))
        before = equity
    return Series.of(periods)


def metrics_of(result: Result) -> Metrics:
    """Returns the metrics of those hours; a market that never closes has 8,760 a year."""
    return measure(hours_of(result), Convention.HOURS)


def summary(result: Result) -> Iterator[tuple[str, str]]:
    """Yields names and values."""
    yield "profit", f"{pusd(result.profit)} pUSD ({percent(result.profit / result.begun)})"
    yield "turnover", f"{pusd(result.turnover)} pUSD, fees {pusd(result.fees)}"
    deepest = curve_of_account(result).deepest
    yield "deepest fall", percent(deepest, places=2)
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(result.reasons.items()))
    yield "decisions", f"{result.decisions}: {reasons or 'none'}"
    outcomes = (f"{name} {count}" for name, count in result.outcomes.items() if count)
    yield "outcomes", ", ".join(outcomes) or "none"
    yield "ticks missing", str(result.gaps)
    yield "decisions' digest", result.digest.hex()


def page(subject: Subject) -> str:
    """Returns a page that loads nothing and runs nothing."""
    result, curve = subject.result, curve_of_account(subject.result)
    span = f"{moment(curve.start_ms)} to {moment(curve.end_ms)} UTC"
    settings = [("strategy", subject.strategy), ("model", subject.model)]
    settings += [(name, str(value)) for name, value in subject.parameters.items()]
    return document(
        subject.title,
        STYLE,
        tag("header", tag("h1", subject.title), tag("p", span, class_="note")),
        tag(
            "main",
            drawing(curve, subject.title),
            _table("What came of it", summary(result)),
            _table("Settings", settings),
            _measured(metrics_of(result)),
        ),
        tag("p", _NOTE, class_="note"),
    )


def _table(title: str, rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Html:
    lines = [tag("tr", tag("td", name), tag("td", value)) for name, value in rows]
    return tag("section", tag("h2", title), tag("table", tag("tbody", *lines)))


def _measured(metrics: Metrics) -> Html:
    rows = [
        tag("tr", tag("td", name), tag("td", value, class_="num"), tag("td", note, class_="note"))
        for name, value, note in figures(metrics)
    ]
    words = f"Samples are {metrics.sample.convention.words}. First and last are mostly not whole."
    table = tag("table", tag("tbody", *rows))
    note = tag("p", joined([words]), class_="note")
    return tag("section", tag("h2", "Metrics of its hours"), note, table)
