"""The checklist: rows are open until built, and fail when built without a check."""

from pathlib import Path

import pytest
from strongroom_host.audit.findings import Finding, Result
from strongroom_host.audit.track_record import ROWS, Row, check_rows

from tests.architecture.source import ROOT

ROW = Row("R-1", "It works", "the thing", ("host/thing/**/*.py",), ("a.one", "a.two"))


def judge(source: Path, row: Row, **ended: Result) -> Finding:
    made = [Finding(name.replace("_", "."), "t", result, "d") for name, result in ended.items()]
    (found,) = check_rows(source, made, [row])
    return found


@pytest.fixture
def built(tmp_path: Path) -> Path:
    path = tmp_path / "host" / "thing" / "deep" / "module.py"
    path.parent.mkdir(parents=True)
    path.touch()
    return tmp_path


def test_what_is_not_built_is_not_applicable_yet(tmp_path: Path) -> None:
    found = judge(tmp_path, ROW)
    assert found.result is Result.NOT_APPLICABLE
    assert "not applicable yet: the thing is not built" in found.detail


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (Result.PASS, Result.PASS, Result.PASS),
        (Result.PASS, Result.FAIL, Result.FAIL),
        (Result.WARNING, Result.PASS, Result.WARNING),
        (Result.NOT_APPLICABLE, Result.PASS, Result.WARNING),
        (Result.WARNING, Result.FAIL, Result.FAIL),
    ],
)
def test_a_row_is_as_good_as_its_worst_finding(
    built: Path, one: Result, two: Result, expected: Result
) -> None:
    assert judge(built, ROW, a_one=one, a_two=two).result is expected


def test_a_finding_that_was_not_made_fails_the_row(built: Path) -> None:
    found = judge(built, ROW, a_one=Result.PASS)
    assert found.result is Result.FAIL
    assert "a.two" in found.detail


def test_what_is_built_without_a_check_fails(built: Path) -> None:
    found = judge(built, Row("R-1", "It works", "the thing", ROW.built))
    assert found.result is Result.FAIL
    assert "nothing here checks this promise" in found.detail


def test_every_row_of_the_track_record_is_there_once() -> None:
    assert [row.id for row in ROWS] == [f"S2-{number}" for number in range(1, 11)]


def test_no_row_of_this_tree_is_built_without_a_check() -> None:
    """Whoever builds a row writes its check: this is where the audit would fail."""
    bare = [row for row in ROWS if not row.findings]
    found = check_rows(ROOT, (), bare)
    assert [row.id for row in found if row.result is Result.FAIL] == []
