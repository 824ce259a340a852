"""Runs in build/quantstats: reads returns as JSON, writes what quantstats makes of them."""

# mypy: ignore-errors
# Neither pandas nor quantstats is in the environment that checks types.

import json
import sys

import pandas
from quantstats import stats

__all__ = []


def measured(values: list[str], periods: int, riskless: float) -> dict[str, float]:
    """Return quantstats' numbers for daily returns."""
    days = pandas.date_range("2026-01-01", periods=len(values))
    returns = pandas.Series([float(value) for value in values], index=days)
    return {
        "twr": stats.comp(returns),
        "cagr": stats.cagr(returns, periods=periods),
        "volatility": stats.volatility(returns, periods=periods),
        "sharpe": stats.sharpe(returns, rf=riskless, periods=periods),
        "sortino": stats.sortino(returns, rf=riskless, periods=periods),
        "max_drawdown": stats.max_drawdown(returns),
        "calmar": stats.calmar(returns, periods=periods),
        "win_rate": stats.win_rate(returns),
        "profit_factor": stats.profit_factor(returns),
        "cvar": stats.conditional_value_at_risk(returns, method="historical"),
        "longest_days": float(
            stats.drawdown_details(stats.to_drawdown_series(returns))["days"].max()
        ),
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump([measured(**each) for each in asked], sys.stdout)
