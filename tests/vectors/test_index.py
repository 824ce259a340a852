"""The guard on recorded vectors counts what ran, also under xdist, and fails what falls short."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vectors.index import ROOT, absence, indexed_cases, uncovered


def test_repeats_and_strangers_do_not_stand_in_for_missing_cases() -> None:
    covered = [("nitro", "a"), ("nitro", "a"), ("other", "b"), ("l2", "0")]
    assert uncovered({"nitro": 2, "l2": 1}, covered) == {"nitro": (1, 2)}


def test_absent_folder_is_said_and_indexes_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert str(missing) in (absence(missing) or "")
    assert indexed_cases(missing) == {}


def test_the_index_lists_every_family(vectors: Path) -> None:
    counts = indexed_cases(vectors)
    assert counts["nitro"] == len(list((vectors / "nitro").glob("*.cose")))
    assert all(counts.values())
    assert {"polymarket/orders", "polymarket/amounts", "polymarket/l2"} <= counts.keys()


@pytest.mark.parametrize(("cases", "status"), [(3, 0), (2, 1)])
def test_whole_run_fails_when_fewer_cases_ran_than_indexed(
    tmp_path: Path, cases: int, status: int
) -> None:
    """A project of two test modules over two workers, with an index of three documents."""
    store = tmp_path / "vectors"
    (store / "nitro").mkdir(parents=True)
    (store / "polymarket").mkdir()
    (store / "exchanges").mkdir()
    (store / "exchanges" / "ccxt_recorded_mytrades.json").write_text('{"source": ""}')
    (store / "nitro" / "index.json").write_text(json.dumps([{}] * 3))
    sections = ("typeHashes", "domains", "orders", "sessionKey", "amounts", "l1", "l2", "hmac")
    (store / "polymarket" / "vectors.json").write_text(json.dumps({name: [] for name in sections}))
    project = tmp_path / "project"
    (project / "cases").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\ntestpaths = cases\n")
    (project / "conftest.py").write_text(
        "from tests.conftest import pytest_configure, record_vector_case, vectors\n"
    )
    for number in range(cases):
        (project / "cases" / f"test_{number}.py").write_text(
            f"def test_it(record_vector_case):\n    record_vector_case('nitro', 'doc-{number}')\n"
        )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"],
        cwd=project,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "STRONGROOM_VECTORS": str(store),
            "STRONGROOM_REQUIRE_VECTORS": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == status, result.stdout + result.stderr
    assert f"{cases}  of   3 nitro" in result.stdout
    assert ("INCOMPLETE" in result.stdout) is (status == 1)
