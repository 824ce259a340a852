"""quantstats finds the same, wherever both define the same."""

import json
import subprocess
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from strongroom_host.metrics.measures import Metrics, measure
from strongroom_host.metrics.sampling import Convention

from tests.architecture.source import ROOT
from tests.host.metrics.made import day_series

PYTHON = ROOT / "build/quantstats/bin/python"
ABSENT = "no quantstats in build/quantstats: .venv/bin/python .tools/metrics_peer.py makes it"
PEER = Path(__file__).with_name("quantstats_peer.py")
CASES = [(seed, days, rate) for seed in range(8) for days, rate in ((400, "0"), (740, "0.03"))]


def series(seed: int, days: int) -> list[str]:
    chance = Random(seed)  # noqa: S311
    values = [chance.gauss(0.0008, 0.02 * (1 + seed)) for _ in range(days)]
    flat = {chance.randrange(days) for _ in range(days // 10)}
    return ["0" if at in flat else f"{max(value, -0.8):.12f}" for at, value in enumerate(values)]


@pytest.fixture(scope="module")
def theirs() -> list[dict[str, float]]:
    if not PYTHON.exists():
        pytest.skip(ABSENT)
    asked = [
        {"values": series(seed, days), "periods": 365, "riskless": float(rate)}
        for seed, days, rate in CASES
    ]
    asked.append({"values": series(99, 520), "periods": 252, "riskless": 0.02})
    done = subprocess.run(
        [PYTHON, "-I", str(PEER)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


def ours(metrics: Metrics) -> dict[str, Decimal | None]:
    deepest = metrics.deepest
    return {
        "twr": metrics.twr.value,
        "cagr": metrics.cagr.value,
        "volatility": metrics.volatility.value,
        "sharpe": metrics.sharpe.value,
        "sortino": metrics.sortino.value,
        "max_drawdown": None if deepest is None else deepest.depth,
        "calmar": metrics.calmar.value,
        "win_rate": metrics.win_rate.value,
        "profit_factor": metrics.profit_factor.value,
        # They count from the first day below the peak to the last one, and both; we from the peak
        # until it is reached: one day more where it was, as many where it was not.
        "longest_days": max(
            (Decimal(fall.hours // 24 - fall.recovered) for fall in [metrics.longest] if fall),
            default=None,
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)))
def test_quantstats_agrees(theirs: list[dict[str, float]], case: int) -> None:
    seed, days, rate = CASES[case]
    metrics = measure(day_series(series(seed, days)), Convention.DAYS, riskless=Decimal(rate))
    for name, value in ours(metrics).items():
        assert value is not None, name
        assert float(value) == pytest.approx(theirs[case][name], rel=1e-9, abs=1e-11), name
    # Theirs is the mean below a quantile between two samples: the same where (1 - p) n is whole.
    shortfall = metrics.tails[0].cvar.value
    assert shortfall is not None
    assert float(shortfall) == pytest.approx(-theirs[case]["cvar"], rel=1e-9)


@pytest.mark.slow
def test_quantstats_agrees_on_trading_days(theirs: list[dict[str, float]]) -> None:
    """Theirs gets the trading days alone; ours finds them, as weekends earn nothing."""
    open_days = iter(series(99, 520))
    # The first is a Thursday, so the third and the fourth are a weekend.
    days = ["0" if at % 7 in (2, 3) else next(open_days) for at in range(728)]
    found = measure(day_series(days), Convention.TRADING_DAYS, riskless=Decimal("0.02"))
    assert found.sample.left_out == 0
    assert len(found.sample.values) == 520
    for name in ("volatility", "sharpe", "sortino", "win_rate", "profit_factor", "twr"):
        value = ours(found)[name]
        assert value is not None
        assert float(value) == pytest.approx(theirs[-1][name], rel=1e-9), name
