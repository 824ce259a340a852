"""Metrics as plain values, for JSON: numbers as strings with all their places, times in ms."""

from strongroom_host.metrics.drawdown import Drawdown
from strongroom_host.metrics.linking import Span, aggregate, complete
from strongroom_host.metrics.measures import Metrics
from strongroom_host.metrics.series import Period, Series
from strongroom_host.metrics.statistics import Figure

__all__ = ["Plain", "plain_metrics", "plain_period", "plain_span"]

Plain = dict[str, object]


def plain_metrics(metrics: Metrics) -> Plain:
    """Returns the metrics; one that is absent is null, and `absent` says why."""
    figures = {
        "twr": metrics.twr,
        "cagr": metrics.cagr,
        "volatility": metrics.volatility,
        "sharpe": metrics.sharpe,
        "sortino": metrics.sortino,
        "calmar": metrics.calmar,
        "profit_factor": metrics.profit_factor,
        "win_rate": metrics.win_rate,
        "exposure": metrics.exposure,
    }
    for tail in metrics.tails:
        figures |= {f"var_{tail.level}": tail.var, f"cvar_{tail.level}": tail.cvar}
    sample, coverage = metrics.sample, metrics.coverage
    return {
        "start_ms": metrics.start_ms,
        "end_ms": metrics.end_ms,
        "coverage": {
            "periods": coverage.periods,
            "hours": coverage.hours,
            "hours_without_return": coverage.without,
            "hours_by_reason": coverage.reasons,
        },
        "sample": {
            "convention": sample.convention.value,
            "meaning": sample.convention.words,
            "count": len(sample.values),
            "hours_without_return": sample.without,
            "hours_left_out": sample.left_out,
            "uneven": sample.uneven,
        },
        **{name: _text(figure) for name, figure in figures.items()},
        "known": f"{metrics.known:f}",
        "max_drawdown": _fall(metrics.deepest),
        "longest_drawdown": _fall(metrics.longest),
        "drawdowns_are_lower_bounds": coverage.without > 0,
        "absent": {name: figure.why for name, figure in figures.items() if figure.value is None},
    }


def plain_period(period: Period) -> Plain:
    """Returns one period as a row of a series."""
    return {
        "start_ms": period.start_ms,
        "hours": period.hours,
        "value": None if period.value is None else f"{period.value:f}",
        "flags": int(period.flags),
        "why": period.why,
        "closing": None if period.closing is None else f"{period.closing:f}",
    }


def plain_span(series: Series, span: Span) -> list[Plain]:
    """Returns the series by days, months or years; `complete` tells whole ones."""
    periods = aggregate(series, span).periods
    return [plain_period(each) | {"complete": complete(each, span)} for each in periods]


def _text(figure: Figure) -> str | None:
    return None if figure.value is None else f"{figure.value:f}"


def _fall(fall: Drawdown | None) -> Plain | None:
    if fall is None:
        return None
    return {
        "depth": f"{fall.depth:f}",
        "peak_ms": fall.peak_ms,
        "trough_ms": fall.trough_ms,
        "end_ms": fall.end_ms,
        "hours": fall.hours,
        "recovered": fall.recovered,
        "recovery_hours": fall.recovery_hours,
    }
