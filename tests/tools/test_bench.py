"""The benchmark report shows what was measured and refuses rows that nobody could read."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests.bench import NotMeasured
from tests.tools.loading import load

BENCH = load("bench")
ROW = {"name": "sign", "unit": "µs", "p50": 41.234, "p9999": 12345.6}


def printed(rows: list[dict[str, Any]]) -> str:
    """Return a table as text."""
    console = Console(width=120)
    with console.capture() as captured:
        console.print(BENCH.table("A title", rows))
    return captured.get()


def test_a_row_shows_its_figures_and_its_peer() -> None:
    peer = {"peer": "the official client", "peer_value": 812.0, "ratio": 19.69}
    text = printed([{**ROW, **peer}, {"name": "memory", "unit": "MiB", "value": 41}])
    for expected in ("A title", "p99.99", "41.2", "12,346", "the official client", "812", "19.7x"):
        assert expected in text


def test_columns_that_hold_nothing_are_left_out() -> None:
    text = printed([ROW])
    assert "p50" in text
    assert "p99.9 " not in text
    assert "ratio" not in text


@pytest.mark.parametrize(
    "row",
    [
        {"unit": "µs", "p50": 1},
        {"name": "sign", "p50": 1},
        {"name": "sign", "unit": "µs"},
        {**ROW, "p95": 3},
    ],
    ids=["no name", "no unit", "no figure", "a key nobody reads"],
)
def test_unreadable_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="module: "):
        BENCH.checked([row], "module")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (NotMeasured("build the image first"), 0, "was not measured: build the image first"),
        (ValueError("broken"), 1, "failed: ValueError: broken"),
    ],
    ids=["what it needs is not here", "it is broken"],
)
def test_what_cannot_be_measured_is_told_from_what_fails(
    error: Exception,
    status: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def rows() -> list[dict[str, Any]]:
        raise error

    monkeypatch.setattr(BENCH.importlib, "import_module", lambda _: SimpleNamespace(rows=rows))
    monkeypatch.setattr(BENCH, "ROOT", tmp_path)
    monkeypatch.setattr(BENCH, "RESULT", tmp_path / "build" / "bench.json")
    monkeypatch.setattr(BENCH, "machine", dict)
    (tmp_path / "tests" / "bench").mkdir(parents=True)
    (tmp_path / "tests" / "bench" / "image.py").touch()
    assert BENCH.main(["image"]) == status
    assert f"image {says}" in capsys.readouterr().out
