"""The page: one HTML file that loads nothing, runs nothing, and can be printed.

The drawing, the metrics under a convention that somebody chose, the months, and every gap by name.
Text is escaped by `markup`, and its policy lets no script run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from strongroom_host.charts.curve import Curve, Gap, curve_of
from strongroom_host.charts.drawing import drawing
from strongroom_host.charts.scales import moment, percent
from strongroom_host.charts.style import STYLE
from strongroom_host.charts.words import ABSENT, figures
from strongroom_host.log.report.markup import Html, document, joined, tag
from strongroom_host.metrics.linking import Span, aggregate, complete
from strongroom_host.metrics.measures import Metrics
from strongroom_host.metrics.series import Period, Series

__all__ = ["Subject", "page"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GAPS_SHOWN = 200
_NOTE = (
    "Drawn from disclosed returns alone. This page proves nothing: the returns do, with the"
    " enclave's evidence, their receipts and the log. Past returns say little about future ones."
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the page is about: a title, the series, and its metrics if they were asked for."""

    title: str
    series: Series
    metrics: Metrics | None = None


def page(subject: Subject) -> str:
    """Returns the whole page."""
    series, curve = subject.series, curve_of(subject.series)
    span = f"{moment(series.start_ms)} to {moment(series.end_ms)} UTC"
    without = sum(each.hours for each in series.periods if each.value is None)
    covered = f"{series.hours} hours in {len(series.periods)} periods"
    missing = (
        tag("span", f"; {without} of them without a return", class_="gap") if without else Html("")
    )
    return document(
        subject.title,
        STYLE,
        tag(
            "header",
            tag("h1", subject.title),
            tag("p", joined((f"{span}: {covered}", missing, ".")), class_="note"),
        ),
        tag("main", *_sections(subject, curve)),
        tag("p", _NOTE, class_="note"),
    )


def _sections(subject: Subject, curve: Curve) -> Iterator[Html]:
    yield drawing(curve, subject.title)
    if curve.gaps:
        legend = (
            "Hatched: no return. The line goes on after a gap at the level at which it stopped,"
            " since what happened in between is not known; highest points start anew."
        )
        yield tag("p", legend, class_="note gap")
    if subject.metrics is not None:
        yield _metrics(subject.metrics)
    yield _months(subject.series)
    if curve.gaps:
        yield _gaps(curve.gaps)


def _metrics(metrics: Metrics) -> Html:
    rows = [
        tag("tr", tag("td", name), tag("td", value, class_="num"), tag("td", note, class_="note"))
        for name, value, note in figures(metrics)
    ]
    convention = metrics.sample.convention
    return tag(
        "section",
        tag("h2", "Metrics"),
        tag("p", f"Samples are {convention.words}.", class_="note"),
        tag("table", tag("tbody", *rows)),
    )


def _months(series: Series) -> Html:
    years = dict[int, dict[int, Period]]()
    for month in aggregate(series, Span.MONTH).periods:
        year, number = Span.MONTH.of(month.end_ms - 1)
        years.setdefault(year, {})[number] = month
    whole = {
        Span.YEAR.of(each.end_ms - 1)[0]: each for each in aggregate(series, Span.YEAR).periods
    }
    head = [tag("th", "Year"), *(tag("th", name, class_="num") for name in (*_MONTHS, "Year"))]
    rows = [
        tag(
            "tr",
            tag("td", str(year)),
            *(_cell(months.get(number), Span.MONTH) for number in range(1, 13)),
            _cell(whole[year], Span.YEAR),
        )
        for year, months in sorted(years.items())
    ]
    note = f"* not a whole month or year. {ABSENT} no return: part of it has none."
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))
    return tag(
        "section",
        tag("h2", "Months"),
        tag("div", table, class_="scroll"),
        tag("p", note, class_="note"),
    )


def _cell(period: Period | None, span: Span) -> Html:
    if period is None:
        return tag("td")
    if period.value is None:
        return tag("td", ABSENT, class_="num gap", title=period.why)
    text = percent(float(period.value), places=2) + ("" if complete(period, span) else " *")
    return tag("td", text, class_="num loss" if period.value < Decimal(0) else "num")


def _gaps(gaps: Sequence[Gap]) -> Html:
    shown = [
        tag(
            "tr", tag("td", moment(gap.start_ms)), tag("td", moment(gap.end_ms)), tag("td", gap.why)
        )
        for gap in gaps[:_GAPS_SHOWN]
    ]
    head = tag("tr", tag("th", "From (UTC)"), tag("th", "To"), tag("th", "Instead of a return"))
    more = len(gaps) - len(shown)
    return tag(
        "section",
        tag("h2", "Gaps"),
        tag("table", tag("thead", head), tag("tbody", *shown)),
        tag("p", f"And {more} more.", class_="note") if more else Html(""),
    )
