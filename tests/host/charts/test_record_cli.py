"""`strongroom record` as a person runs it: numbers, pictures, what leaks, and bad input."""

import json
from pathlib import Path
from random import Random

import pytest
from strongroom_host.cli.app import app
from strongroom_host.metrics.files import to_csv
from typer.testing import CliRunner, Result

from tests.host.leakage.markets import account, market, series_from
from tests.host.metrics.made import MIDNIGHT, day_series, series_of

HOUR_MS = 3_600_000


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["record", *map(str, arguments)], env={"COLUMNS": "160"})


@pytest.fixture
def days(tmp_path: Path) -> Path:
    file = tmp_path / "days.csv"
    file.write_text(to_csv(day_series(["0.01", "-0.02", None, "0.03"] * 30)))
    return file


def test_metrics_need_a_convention_and_warn_of_gaps(days: Path) -> None:
    assert run("metrics", days).exit_code == 2
    shown = run("metrics", days, "--convention", "365", "--by", "month")
    assert shown.exit_code == 0
    assert "max drawdown" in shown.stdout
    assert "2026-04-30" in shown.stdout
    assert "720 of 2880 hours have no return; what" in shown.stderr
    assert "(flags of all hours: 720 h missing mark)" in " ".join(shown.stderr.split())


def test_metrics_as_json_have_every_digit(days: Path) -> None:
    shown = run(
        "metrics", days, "--convention", "365", "--riskless", "0.04", "--json", "--by", "day"
    )
    found = json.loads(shown.stdout)
    assert found["twr"] is None
    assert found["absent"]["twr"] == "periods without a return lie in between"
    assert found["win_rate"] == "0.666666666667"
    assert found["drawdowns_are_lower_bounds"] is True
    assert found["max_drawdown"]["depth"] == "-0.020000000000"
    assert len(found["days"]) == 120
    assert found["days"][2] == {
        "start_ms": MIDNIGHT + 48 * HOUR_MS,
        "hours": 24,
        "value": None,
        "flags": 4,
        "why": "missing mark",
        "closing": None,
        "complete": True,
    }


def test_holidays_are_read(days: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("2026-01-06\n2026-01-07\n")
    counts = [
        json.loads(run("metrics", days, "--convention", "252", "--json", *more).stdout)["sample"]
        for more in ((), ("--holidays", str(closed)))
    ]
    assert counts[0]["count"] - counts[1]["count"] in (1, 2)
    closed.write_text("yesterday")
    assert run("metrics", days, "--convention", "252", "--holidays", closed).exit_code == 2


def test_a_chart_in_the_terminal_and_as_files(days: Path, tmp_path: Path) -> None:
    shown = run("chart", days, "--by", "month", "--rows", "2")
    assert shown.exit_code == 0
    assert "drawdown" in shown.stdout
    assert "░ no return" in shown.stdout
    assert "2026-04-29 00:00" in shown.stdout
    assert "2026-04-28 00:00" not in shown.stdout
    assert shown.stdout.count("+3.0000 %") == 1
    assert "2026-03-31" in shown.stdout
    for name, begins in (("a.html", "<!doctype html>"), ("a.svg", "<?xml")):
        out = tmp_path / name
        assert run("chart", days, "--out", out, "--convention", "365").exit_code == 0
        assert out.read_text().startswith(begins)
    assert "max drawdown" in (tmp_path / "a.html").read_text()
    assert run("chart", days, "--out", tmp_path / "a.gif").exit_code == 2
    assert not (tmp_path / "a.gif").exists()


def test_leakage_names_what_was_held(tmp_path: Path) -> None:
    prices = market(Random(21), 20, 240)  # noqa: S311
    returns, candles = tmp_path / "returns.csv", tmp_path / "candles.csv"
    returns.write_text(to_csv(series_from(account(prices, {"A007": 0.6}))))
    rows = [
        f"{MIDNIGHT + at * HOUR_MS},{asset},{price!r}\n"
        for asset, each in prices.items()
        for at, price in enumerate(each)
    ]
    candles.write_text("time_ms,asset,price\n" + "".join(rows))
    shown = run("leakage", returns, candles, "--windows", "9")
    assert shown.exit_code == 0
    assert "in 100% of windows of" in shown.stdout
    assert "What this series names most often: A007 (9)" in shown.stdout
    assert "no proof that nothing can be found" in shown.stdout
    found = json.loads(run("leakage", returns, candles, "--windows", "3", "--json").stdout)
    assert found["tiers"][0]["one_position"][0]["seen"]["assets"] == {"A007": 3}
    assert found["tiers"][0]["given"] is True
    assert found["limits"]


@pytest.mark.parametrize("command", [("metrics", "--convention", "365"), ("chart",)])
def test_bad_input_is_told_and_has_its_status(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    assert run(*command, file).exit_code == 2
    file.write_text("no,series\n1,2\n")
    shown = run(*command, file)
    assert shown.exit_code == 2
    assert "start_ms is no whole number" in shown.stderr


def test_a_rate_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(to_csv(series_of(["0.1"])))
    for rate in ("four", "nan", "4"):
        shown = run("metrics", file, "--convention", "365", "--riskless", rate)
        assert shown.exit_code == 2
        assert "riskless rate" in shown.stderr
