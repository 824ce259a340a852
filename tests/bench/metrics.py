"""Disclosed returns: a year of hours measured, drawn, and matched against 300 assets.

Peer of the metrics: quantstats in its own environment, in floats, on the same returns, its import
and start left out.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Any

from strongroom_host.charts.page import Subject, page
from strongroom_host.leakage.matching import consistent, moves, portfolio
from strongroom_host.metrics.files import parse_csv, to_csv
from strongroom_host.metrics.measures import measure
from strongroom_host.metrics.sampling import Convention

from tests.host.leakage.markets import account, market, prices_of, rounded_to, series_from
from tests.host.metrics.made import MIDNIGHT
from tests.host.metrics.test_quantstats import PEER, PYTHON

__all__ = ["rows"]

HOUR_MS = 3_600_000
YEAR, ASSETS, SPAN = 8_760, 300, 168
TIMED = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from quantstats_peer import measured
values = json.load(sys.stdin)
best = min(
    (lambda start: (measured(values, 8760, 0.0), time.perf_counter() - start)[1])(
        time.perf_counter()
    )
    for _ in range(3)
)
print(best * 1000)
"""


def rows() -> list[dict[str, Any]]:
    """Return what a year of hours costs."""
    chance = Random(8)  # noqa: S311
    returns = [chance.gauss(0.00002, 0.004) for _ in range(YEAR)]
    series = series_from(returns)
    text = to_csv(series)
    prices = market(chance, ASSETS, SPAN)
    times = [MIDNIGHT + at * HOUR_MS for at in range(SPAN + 1)]
    changes = prices_of(prices).changes(times)
    day = {asset: each[:24] for asset, each in changes.items()}
    held = moves(rounded_to(account(prices, {"A100": 0.5}), 1e-3), 5e-4)
    window = moves(rounded_to(account(prices, {"A100": 0.5}), 1e-3)[:24], 5e-4)
    noise = moves(returns[:SPAN], 5e-13)
    metrics = _ms(lambda: measure(series, Convention.HOURS))
    return [
        {"name": "all metrics of a year of hours, exact", "unit": "ms", "value": metrics,
         **_beside(metrics, [f"{value:.12f}" for value in returns])},
        {"name": "the same from CSV, read and checked", "unit": "ms",
         "value": _ms(lambda: parse_csv(text))},
        {"name": "its page", "unit": "ms", "value": _ms(lambda: page(Subject("bench", series)))},
        {"name": "24 h to 10 bp: which of 300 assets are possible", "unit": "ms",
         "value": _ms(lambda: consistent(window, day))},
        {"name": "168 h: ten of 300 assets, nothing to find", "unit": "ms",
         "value": _ms(lambda: portfolio(noise, changes, 10))},
        {"name": "168 h: one of 300 assets, found", "unit": "ms",
         "value": _ms(lambda: portfolio(held, changes, 10))},
    ]  # fmt: skip


def _ms(job: Callable[[], object]) -> float:
    """Return the ms of the best of three runs."""
    best = float("inf")
    for _ in range(3):
        start = perf_counter()
        job()
        best = min(best, perf_counter() - start)
    return best * 1000


def _beside(ours: float, values: list[str]) -> dict[str, Any]:
    if not PYTHON.exists():
        return {}
    done = subprocess.run(
        [PYTHON, "-I", "-c", TIMED, str(PEER.parent)],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)  # noqa: T201  a bench talks to a person
        return {}
    theirs = float(done.stdout)
    return {"peer": "quantstats, floats", "peer_value": theirs, "ratio": theirs / ours}
