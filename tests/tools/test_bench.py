"""The benchmark report shows what was measured and refuses rows that nobody could read."""

import json
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


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with two benchmarks that nobody measures."""
    monkeypatch.setattr(BENCH, "ROOT", tmp_path)
    monkeypatch.setattr(BENCH, "RESULT", tmp_path / "build" / "bench.json")
    monkeypatch.setattr(BENCH, "machine", lambda: {"commit": "1111111"})
    (tmp_path / "tests" / "bench").mkdir(parents=True)
    for name in ("image", "signing"):
        (tmp_path / "tests" / "bench" / f"{name}.py").touch()
    return tmp_path


def test_what_was_measured_is_a_list_of_rows_with_every_key(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        BENCH, "measured_apart", lambda name, _: (name, [{**ROW, "name": name}], "")
    )
    assert BENCH.main([]) == 0
    rows = json.loads((tree / "build" / "bench.json").read_text())
    assert [row["name"] for row in rows] == ["image", "signing"]
    keys = ("name", "unit", "value", "p50", "p99", "p999", "p9999", "peer", "peer_value", "ratio")
    assert all(tuple(row) == keys for row in rows)
    run = json.loads((tree / "build" / "bench-run.json").read_text())
    assert run["machine"] == {"commit": "1111111"}
    assert list(run["results"]) == ["image", "signing"]


def test_one_that_fails_does_not_hide_the_others(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def apart(name: str, _seconds: int) -> tuple[str, list[dict[str, Any]], str]:
        if name == "image":
            raise BENCH.Failed("not done after 600 s")
        return name, [ROW], ""

    monkeypatch.setattr(BENCH, "measured_apart", apart)
    assert BENCH.main([]) == 1
    assert "image failed: not done after 600 s" in capsys.readouterr().out
    assert len(json.loads((tree / "build" / "bench.json").read_text())) == 1


def test_what_cannot_be_measured_here_is_no_failure(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BENCH, "measured_apart", lambda *_: ("", (), "build the image first"))
    assert BENCH.main(["image"]) == 0
    assert "image was not measured: build the image first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "key", "says"),
    [
        (NotMeasured("build the image first"), "reason", "build the image first"),
        (ValueError("broken"), "error", "ValueError: broken"),
    ],
    ids=["what it needs is not here", "it is broken"],
)
def test_a_process_says_what_cannot_be_measured_apart_from_what_fails(
    error: Exception, key: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> list[dict[str, Any]]:
        raise error

    monkeypatch.setattr(
        BENCH.importlib, "import_module", lambda _: SimpleNamespace(rows=rows, __doc__="")
    )
    BENCH.measure("image", tmp_path / "answer")
    said = json.loads((tmp_path / "answer").read_text())
    assert said == {"title": "image", "rows": [], "reason": "", "error": "", key: says}


def test_one_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(BENCH, "__file__", str(slow))
    with pytest.raises(BENCH.Failed, match="not done after 0 s"):
        BENCH.measured_apart("slow", 0)
