"""`make soak` forgets no test with long counts, and says of each part what became of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.tools.loading import load

SOAK = load("soak")
PASSING = "def test_it(progress):\n    progress(3, 3)\n"
FAILING = "def test_that_fails(progress):\n    progress(1, 9)\n    assert False\n"
ENDLESS = """
import time
from pathlib import Path

def test_long(progress):
    progress(4, 10)
    Path(__file__).with_name("begun").touch()
    time.sleep(600)
"""
SKIPPED = "import pytest\n\ndef test_it():\n    pytest.skip('no ring here')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where parts of one file each are run, with the fixtures of this repository."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import progress\n")
    for name, text in (
        ("passing", PASSING), ("failing", FAILING), ("endless", ENDLESS), ("skipped", SKIPPED)
    ):  # fmt: skip
        (tmp_path / f"test_{name}.py").write_text(text)
    monkeypatch.setenv("JOBS", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return tmp_path


def parts(folder: Path, *names: str) -> list[Any]:
    return [
        SOAK.Part(name, f"the {name} one", (f"{folder}/test_{name}.py", f"--rootdir={folder}"), 1)
        for name in names
    ]


def kept(folder: Path) -> dict[str, str]:
    """Returns how each part ended, as the file says that is kept."""
    found = json.loads((folder / "soak.json").read_text())
    return {part["name"]: part["end"] for part in found["parts"]}


def test_no_test_with_long_counts_is_forgotten() -> None:
    listed = {word for part in SOAK.PARTS for word in part.tests}
    named = re.compile(r"STRONGROOM_SOAK|\bimport SOAK\b")
    long = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if named.search(path.read_text()) and path != Path(__file__)
    }
    assert long <= listed, f"in no part of .tools/soak.py: {sorted(long - listed)}"
    assert len(long) > 15
    assert all((ROOT / word).exists() for word in listed if word.startswith("tests"))


def test_each_part_is_said_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = SOAK.soak(parts(folder, "passing", "failing", "skipped"), folder, cwd=folder)
    said = capsys.readouterr().out
    assert status == 1
    assert kept(folder) == {"passing": "passed", "failing": "FAILED", "skipped": "skipped"}
    for expected in (
        r"passed +\d+ s  passing  1 test; the passing one",
        r"FAILED +\d+ s  failing  test_that_fails \(build/soak/failing.log\)",
        r"skipped +\d+ s  skipped  .*no ring here",
        r"1 passed, 1 FAILED, 1 skipped of 3 parts in \d+ s",
    ):
        assert re.search(expected, said), (expected, said)
    assert "assert False" in (folder / "soak" / "failing.log").read_text()


def test_what_was_changed_meanwhile_has_not_passed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = iter(["1111111", "2222222"])
    monkeypatch.setattr(SOAK, "commit", lambda: next(commits))
    assert SOAK.soak(parts(folder, "passing"), folder, cwd=folder) == 1
    assert kept(folder) == {"passing": "changed"}


def test_a_part_of_no_tests_has_not_passed(folder: Path) -> None:
    (folder / "test_passing.py").write_text("")
    assert SOAK.soak(parts(folder, "passing"), folder, cwd=folder) == 1
    assert kept(folder) == {"passing": "FAILED"}


def test_going_on_does_what_has_not_passed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOAK, "commit", lambda: "one")
    asked = parts(folder, "passing", "failing")
    assert SOAK.soak(asked, folder, cwd=folder) == 1
    (folder / "test_passing.py").write_text(FAILING)
    (folder / "test_failing.py").write_text(PASSING)
    assert SOAK.soak(asked, folder, resume=True, cwd=folder) == 0
    assert kept(folder) == {"passing": "passed", "failing": "passed"}
    text = (folder / "soak.json").read_text()
    assert SOAK.passed_before(folder, "one").keys() == {"passing", "failing"}
    assert SOAK.passed_before(folder, "two") == {}
    for unsure in ("unknown", "one+changes"):  # nobody knows whether that is the same
        (folder / "soak.json").write_text(text.replace('"one"', f'"{unsure}"'))
        assert SOAK.passed_before(folder, unsure) == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_what_was_done(folder: Path, number: signal.Signals) -> None:
    asked = [astuple(part) for part in parts(folder, "passing", "endless", "skipped")]
    program = (
        "import sys; from pathlib import Path; from tests.tools.test_soak import SOAK\n"
        f"parts = [SOAK.Part(*part) for part in {asked!r}]\n"
        f"sys.exit(SOAK.soak(parts, Path({str(folder)!r}), cwd=Path({str(folder)!r})))"
    )
    # A shell starts background jobs with SIGINT ignored, and children inherit that.
    command = ["env", "--default-signal=INT", sys.executable, "-c", program]
    log = folder / "soak" / "endless.log"
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 60
            while not (folder / "begun").exists():
                assert process.poll() is None
                assert time.monotonic() < until, log.exists() and log.read_text()
                time.sleep(0.05)
            process.send_signal(number)
            said, _ = process.communicate(timeout=90)
        finally:
            process.kill()
    assert process.returncode == 130
    assert kept(folder) == {"passing": "passed", "endless": "interrupted"}
    for expected in (
        r"interrupted +\d+ s  endless  4 rounds of 10 begun \(test_long at 4 of 10\)",
        r"not begun +skipped  the skipped one",
        r"1 passed, 1 interrupted of 3 parts",
        r"`make soak RESUME=1` goes on",
    ):
        assert re.search(expected, said), (expected, said)
    assert "KeyboardInterrupt" in log.read_text(), "pytest was not ended in order"


def test_what_there_is_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert SOAK.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(SOAK.PARTS)
    assert SOAK.main(["--list", "ring", "log"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    for wrong in (["rings"], ["--all"]):
        assert SOAK.main(wrong) == 2
        assert "parts: log, " in capsys.readouterr().out
