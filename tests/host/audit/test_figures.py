"""Figures count if they were measured on this very source, and reach their goals."""

import json
import subprocess
from pathlib import Path

import pytest
from strongroom_host.audit.figures import MODULES, RESULTS, check_figures
from strongroom_host.audit.findings import Finding, Result
from strongroom_host.audit.track_record import ROWS

from tests.architecture.source import ROOT

GOOD = {"name": "trades", "unit": "1/s", "value": 3, "peer": "goal", "peer_value": 2, "ratio": 1.5}
SLOW = {"name": "hours", "unit": "1/s", "value": 1, "peer": "goal", "peer_value": 2, "ratio": 0.5}
OTHER = {"name": "floats", "unit": "1/s", "value": 1, "peer": "floats", "ratio": 0.1}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "enclave").mkdir()
    (tmp_path / "enclave/a.py").touch()
    for words in (
        ["init", "-q"],
        ["add", "enclave"],
        ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "one"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    (tmp_path / "build").mkdir()
    (tmp_path / "tests/bench").mkdir(parents=True)
    (tmp_path / "tests/bench/record.py").touch()
    return tmp_path


def judged(source: Path, *rows: object, commit: str = "", module: str = "record") -> Finding:
    head = ["git", "-C", str(source), "rev-parse", "--short", "HEAD"]
    commit = commit or subprocess.run(head, capture_output=True, text=True).stdout.strip()
    bench = {"machine": {"commit": commit}, "results": {module: rows}}
    (source / RESULTS).write_text(json.dumps(bench))
    [found] = check_figures(source, ["record"])
    return found


def test_goals_that_are_reached_pass(source: Path) -> None:
    found = judged(source, GOOD, OTHER)
    assert (found.result, found.detail) == (Result.PASS, "1 goals, each reached")


def test_one_goal_that_is_missed_fails_and_is_named(source: Path) -> None:
    found = judged(source, GOOD, SLOW)
    assert (found.result, found.detail) == (Result.FAIL, "not reached: hours")


def test_a_goal_without_a_ratio_is_missed(source: Path) -> None:
    assert judged(source, {**GOOD, "ratio": None}).result is Result.FAIL


@pytest.mark.parametrize(("rows", "module"), [((OTHER,), "record"), ((GOOD,), "signing")])
def test_no_goal_is_none_reached(rows: tuple[object, ...], module: str, source: Path) -> None:
    assert judged(source, *rows, module=module).result is Result.FAIL


@pytest.mark.parametrize("commit", ["0000000", "{}+changes"])
def test_figures_of_another_source_are_none(commit: str, source: Path) -> None:
    head = ["git", "-C", str(source), "rev-parse", "--short", "HEAD"]
    here = subprocess.run(head, capture_output=True, text=True).stdout.strip()
    assert judged(source, GOOD, commit=commit.format(here)).result is Result.WARNING


def test_figures_of_a_tree_that_was_changed_since_are_none(source: Path) -> None:
    (source / "enclave/a.py").write_text("a = 1\n")
    assert judged(source, GOOD).result is Result.WARNING


def test_nothing_measured_is_open(source: Path) -> None:
    [before] = check_figures(source, ["record"])
    (source / RESULTS).write_text("{")
    [after] = check_figures(source, ["record"])
    assert (before.result, after.result) == (Result.WARNING, Result.WARNING)


def test_what_nobody_measures_is_not_applicable(source: Path) -> None:
    (source / "tests/bench/record.py").unlink()
    assert judged(source, GOOD).result is Result.NOT_APPLICABLE


def test_every_module_that_is_asked_of_is_there_and_some_row_rests_on_it() -> None:
    named = {name for row in ROWS for name in row.findings}
    for module in MODULES:
        assert f"bench.{module}" in named
        assert (ROOT / f"tests/bench/{module}.py").is_file()
