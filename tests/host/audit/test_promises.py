"""Promises are run: what passes passes, and nothing else does."""

from pathlib import Path

import pytest
from strongroom_host.audit import promises as module
from strongroom_host.audit.findings import Finding, Result
from strongroom_host.audit.promises import PROMISES, Promise, check_promises
from strongroom_host.audit.track_record import ROWS

from tests.architecture.source import ROOT

PROMISE = Promise("a.promise", "It works", ("tests/shown",), "thing.py")
GOOD = "def test_it() -> None:\n    assert True\n"
BAD = "def test_it() -> None:\n    assert False\n"
SKIPPED = (
    "import pytest\n\n\n@pytest.mark.skip(reason='no database')\ndef test_other() -> None: ...\n"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "thing.py").touch()
    (tmp_path / "tests/shown").mkdir(parents=True)
    return tmp_path


def judged(source: Path, *texts: str, run: bool = True) -> Finding:
    for number, text in enumerate(texts):
        (source / f"tests/shown/test_{number}.py").write_text(text)
    [found] = check_promises(source, run=run, promises=[PROMISE])
    return found


def test_what_passes_passes_with_its_count(source: Path) -> None:
    found = judged(source, GOOD, SKIPPED)
    assert (found.result, found.detail) == (Result.PASS, "1 tests pass, 1 are skipped")
    assert found.evidence == {"tests": ["tests/shown"], "passed": 1, "skipped": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BAD, "test_1.py::test_it"),
        ("import nothing_like_it\n", "test_1.py"),
        ("def x(:\n", "test_1.py"),
    ],
)
def test_one_failure_fails_it_and_is_named(text: str, said: str, source: Path) -> None:
    found = judged(source, GOOD, text)
    assert found.result is Result.FAIL
    assert said in found.detail


def test_nobody_chooses_among_them(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--deselect tests/shown/test_1.py::test_it")
    assert judged(source, GOOD, BAD).result is Result.FAIL


def test_no_test_at_all_fails_it(source: Path) -> None:
    assert judged(source).result is Result.FAIL


def test_skipped_tests_show_nothing(source: Path) -> None:
    found = judged(source, SKIPPED)
    assert (found.result, found.remedy != "") == (Result.WARNING, True)


def test_tests_that_were_taken_away_fail_it(source: Path) -> None:
    (source / "tests/shown").rmdir()
    [found] = check_promises(source, run=True, promises=[PROMISE])
    assert found.result is Result.FAIL


def test_tests_that_never_end_fail_it(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 2)
    found = judged(source, "import time\n\ndef test_it() -> None:\n    time.sleep(60)\n")
    assert found.result is Result.FAIL


def test_what_is_not_run_is_open(source: Path) -> None:
    assert judged(source, BAD, run=False).result is Result.WARNING


def test_what_is_not_built_is_not_promised(source: Path) -> None:
    (source / "thing.py").unlink()
    assert judged(source, BAD).result is Result.NOT_APPLICABLE


def test_the_tests_of_every_promise_are_there_and_some_row_rests_on_it() -> None:
    assert len({promise.id for promise in PROMISES}) == len(PROMISES)
    named = {name for row in ROWS for name in row.findings}
    for promise in PROMISES:
        assert promise.id in named
        assert all((ROOT / name).exists() for name in promise.tests), promise.id
