"""`strongroom record`: what a track record says, how it looks, and what it gives away.

The commands of this module take disclosed returns in a file, which they do not verify; the others
are beside it (`record_*.py`).
"""

from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer
from rich.console import Console

from strongroom_host.charts.curve import curve_of
from strongroom_host.charts.drawing import svg_file
from strongroom_host.charts.page import Subject, page
from strongroom_host.charts.picture import png
from strongroom_host.charts.scales import day, moment, percent
from strongroom_host.charts.terminal import COLUMNS, listed, plot
from strongroom_host.charts.words import ABSENT, figures
from strongroom_host.cli.lazy import LazyGroup
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.cli.session import JsonOption
from strongroom_host.errors import BadInput
from strongroom_host.leakage.candles import read_candles
from strongroom_host.leakage.plain import plain_leakage
from strongroom_host.leakage.reader import Found, Leakage, Tally, measure_leakage
from strongroom_host.leakage.words import LIMITS, duration, findings
from strongroom_host.metrics.files import read_series
from strongroom_host.metrics.linking import Span, aggregate, complete
from strongroom_host.metrics.measures import Metrics, measure
from strongroom_host.metrics.plain import plain_metrics, plain_span
from strongroom_host.metrics.sampling import Convention
from strongroom_host.metrics.series import Period, Series
from strongroom_host.private_files import write_atomic

__all__ = ["app"]


class _Record(LazyGroup):
    """What needs the database or an enclave is loaded when it is used."""

    LATER = MappingProxyType(
        {
            "serve": "strongroom_host.cli.record_serve:serve",
            "connect": "strongroom_host.cli.record_connect:connect",
            "sync": "strongroom_host.cli.record_sync:sync",
            "status": "strongroom_host.cli.record_sync:status",
            "revive": "strongroom_host.cli.record_sync:revive",
            "returns": "strongroom_host.cli.record_returns:returns",
            "prove": "strongroom_host.cli.record_proof:prove",
            "verify": "strongroom_host.cli.record_proof:verify",
        }
    )


app = typer.Typer(
    cls=_Record,
    help="A track record: kept, synchronised, shown, verified; and what it tells about positions.",
    no_args_is_help=True,
)

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Disclosed returns, CSV or JSON.")
]
RISKLESS_HELP: Final = "Annual rate for Sharpe and Sortino: 0.04 is 4 %."
RisklessOption = Annotated[str, typer.Option(metavar="RATE", help=RISKLESS_HELP)]
HolidaysOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Days on which the exchange was closed, YYYY-MM-DD, for 252."
    ),
]
SpanOption = Annotated[
    Span | None, typer.Option("--by", help="Also list the returns by these spans.")
]


@app.command()
def metrics(
    file: FileArgument,
    convention: Annotated[
        Convention,
        typer.Option(help="Samples in a year: 8760 hours or 365 days (24/7), 252 trading days."),
    ],
    riskless: RisklessOption = "0",
    holidays: HolidaysOption = None,
    by: SpanOption = None,
    json: JsonOption = False,
) -> None:
    """Compute TWR, drawdowns, Sharpe and the rest from disclosed returns, exactly."""
    series = read_series(file)
    found = _measured(series, convention, riskless, holidays)
    if json:
        spans = {by.value + "s": plain_span(series, by)} if by else {}
        print_json(plain_metrics(found) | spans)
        return
    table(_title(series), ("metric", "value", ""), figures(found))
    say(f"Samples are {convention.words}.")
    if by is not None:
        _list(aggregate(series, by), by)
    _warn_of_gaps(found)


@app.command()
def chart(
    file: FileArgument,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page (.html) or a drawing (.svg, .png)."),
    ] = None,
    title: Annotated[str, typer.Option(help="What the page is called.")] = "Track record",
    convention: Annotated[
        Convention | None, typer.Option(help="Add metrics to the page, with these samples.")
    ] = None,
    riskless: RisklessOption = "0",
    rows: Annotated[int, typer.Option(min=0, help="Also list so many periods, the newest.")] = 0,
    by: SpanOption = None,
    height: Annotated[int, typer.Option(min=3, max=60, help="Lines of the plot.")] = 12,
) -> None:
    """Draw growth and drawdowns, here or as a file; where there is no return, a gap."""
    series = read_series(file)
    if out is None:
        console = Console(highlight=False)
        console.print(plot(curve_of(series), width=min(console.width, 160), height=height))
        if rows:
            table("Returns as disclosed", COLUMNS, listed(series, rows))
        if by is not None:
            _list(aggregate(series, by), by)
        return
    found = None if convention is None else _measured(series, convention, riskless, None)
    if out.suffix == ".png":
        data = png(curve_of(series), title)
    elif out.suffix == ".svg":
        data = svg_file(curve_of(series), title).encode()
    elif out.suffix in (".html", ".htm"):
        data = page(Subject(title, series, found)).encode()
    else:
        raise BadInput(
            f"{out} is neither a page nor a drawing",
            expected="a name that ends in .html, .svg or .png",
        )
    write_atomic(out, data)
    say(f"written: {out}")


@app.command()
def leakage(
    file: FileArgument,
    candles: Annotated[
        Path, typer.Argument(metavar="CANDLES", help="Public prices, CSV or JSON candles.")
    ],
    windows: Annotated[
        int, typer.Option(min=1, max=2000, help="How many windows of each length to look at.")
    ] = 60,
    json: JsonOption = False,
) -> None:
    """Tell what a reader with public prices can infer of the positions behind a series.

    Under the tier that it has, and under every coarser one. The answer is as confidential as the
    positions are.
    """
    series = read_series(file)
    found = measure_leakage(series, read_candles(candles), windows=windows)
    if json:
        print_json(plain_leakage(found))
        return
    for sentence in findings(found):
        say(sentence, wrap=True)
    columns = ("tier", "stays for", "windows", "named", "few", "pointed at", "flat", "by chance")
    table("One position, over windows of the series", columns, map(_reading, _readings(found)))
    named = found[0].readings[0].seen.assets if found[0].readings else ()
    if named:
        shown = ", ".join(f"{asset} ({count})" for asset, count in named[:8])
        say(f"What this series names most often: {shown}")
    say("")
    for limit in LIMITS:
        say(f"- {limit}", wrap=True)


_Row = tuple[Leakage, int, Tally, Tally]


def _readings(found: tuple[Leakage, ...]) -> list[_Row]:
    return [
        (each, reading.periods * each.view.hours, reading.seen, reading.chance)
        for each in found
        for reading in each.readings
    ]


def _reading(row: _Row) -> tuple[str, ...]:
    each, hours, seen, chance = row
    named = f"{seen.share(Found.NAMED):.0%}"
    if seen.size_error is not None:
        named += f" ± {seen.size_error:.1%}" if seen.size_error >= 0.0005 else " ± <0.1%"
    return (
        each.view.name + (" (this series)" if each.given else ""),
        duration(hours),
        str(seen.windows),
        named,
        f"{seen.share(Found.FEW):.0%}",
        f"{seen.share(Found.POINTED):.0%}",
        f"{seen.share(Found.FLAT):.0%}",
        f"{chance.told:.0%}",
    )


def _measured(
    series: Series, convention: Convention, riskless: str, holidays: Path | None
) -> Metrics:
    try:
        rate = Decimal(riskless)
    except InvalidOperation as error:
        raise BadInput(
            "the riskless rate is no number", expected="a fraction such as 0.04", actual=riskless
        ) from error
    closed = frozenset[date]() if holidays is None else _holidays(holidays)
    return measure(series, convention, riskless=rate, holidays=closed)


def _holidays(path: Path) -> frozenset[date]:
    try:
        return frozenset(map(date.fromisoformat, path.read_text(encoding="utf-8").split()))
    except ValueError as error:
        raise BadInput(
            f"{path} is no list of days", expected="YYYY-MM-DD, one a line", actual=error
        ) from error


def _title(series: Series) -> str:
    return f"{moment(series.start_ms)} to {moment(series.end_ms)} UTC"


def _list(series: Series, span: Span) -> None:
    def row(period: Period) -> tuple[str, str, str, str]:
        value = ABSENT if period.value is None else percent(float(period.value), places=4)
        whole = "" if complete(period, span) else f"{period.hours} h"
        return day(period.end_ms - 1), value, whole, period.why

    columns = (f"{span.value} (its last day)", "return", "length", "flags")
    table("Returns", columns, map(row, series.periods))


def _warn_of_gaps(found: Metrics) -> None:
    if not found.coverage.without:
        return
    reasons = ", ".join(f"{hours} h {why}" for why, hours in found.coverage.reasons.items())
    warn(
        f"{found.coverage.without} of {found.coverage.hours} hours have no return; what happened"
        f" then is in none of these numbers (flags of all hours: {reasons})"
    )
