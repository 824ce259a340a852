"""What every test shares: recorded vectors, property-test profiles, and the closing summary."""

import os
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.architecture.budget import lines_by_part, totals
from tests.vectors.index import REQUIRED, ROOT, VECTORS, absence, indexed_cases, uncovered

SOAK = os.environ.get("STRONGROOM_SOAK") == "1"
PROGRESS = os.environ.get("STRONGROOM_PROGRESS")
"""A folder; `.tools/soak.py` names it, and shows what tests write there."""
CASE = "vector_case"
Progress = Callable[[int, int], None]

# Properties here touch processes and P-384: a deadline per example would only measure the machine.
_RELAXED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "fast", max_examples=60, deadline=None, print_blob=True, suppress_health_check=_RELAXED
)
settings.register_profile("soak", settings.get_profile("fast"), max_examples=5_000)
settings.load_profile("soak" if SOAK else "fast")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of recorded vectors; skips without it, or fails where they are required."""
    reason = absence()
    if reason and REQUIRED:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return VECTORS


@pytest.fixture
def record_vector_case(request: pytest.FixtureRequest) -> Callable[[str, str | int], None]:
    """Report that a recorded case was checked: `record_vector_case("polymarket/l2", 3)`.

    Families are those of `tests.vectors.index`. The report counts when the test passes.
    """

    def record(family: str, case: str | int) -> None:
        request.node.user_properties.append((CASE, [family, str(case)]))

    return record


@pytest.fixture
def progress(request: pytest.FixtureRequest) -> Progress:
    """Says how far a long test has come, to whoever runs a soak: `progress(done, of)`."""
    if PROGRESS is None:
        return lambda _done, _of: None
    path = Path(PROGRESS) / sha256(request.node.nodeid.encode()).hexdigest()[:16]

    def say(done: int, of: int) -> None:
        draft = path.with_suffix(".new")
        draft.write_text(f"{done} {of} {request.node.nodeid}\n")
        draft.replace(path)

    return say


class ClosingSummary:
    """Collects what the run covered and says so in a few lines at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self.covered: set[tuple[str, str]] = set()
        self.uncovered: dict[str, tuple[int, int]] = {}
        option = config.option
        self.whole_run = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
            option.keyword or option.markexpr
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of the recorded cases that a passed test checked."""
        if report.when == "call" and report.passed:
            for name, value in report.user_properties:
                if name == CASE and isinstance(value, list):
                    self.covered.add((value[0], value[1]))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a whole run that was told to cover all recorded cases and did not."""
        self.uncovered = uncovered(indexed_cases(), self.covered)
        incomplete = self.uncovered or absence()
        if REQUIRED and self.whole_run and incomplete and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print skip reasons, covered vectors and the size of the trusted code."""
        write = terminalreporter.write_line
        skipped = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
        if skipped:
            terminalreporter.section("skipped")
            for reason, count in skipped.most_common():
                write(f"  {count:>5}  {reason}")
        if self.whole_run:
            terminalreporter.section("recorded vectors")
            self._write_vectors(terminalreporter)
        terminalreporter.section("trusted code (lines in enclave/)")
        parts = lines_by_part(ROOT / "enclave")
        for part, lines in parts.items():
            write(f"  {lines:>5}  {part}")
        for what, (lines, budget) in totals(parts).items():
            write(f"  {lines:>5}  {what}; budget {budget:,}")

    def _write_vectors(self, terminalreporter: Any) -> None:
        indexed = indexed_cases()
        if reason := absence():
            terminalreporter.write_line(f"  {reason}", red=REQUIRED, yellow=not REQUIRED)
        for family, total in indexed.items():
            ran = self.uncovered.get(family, (total, total))[0]
            terminalreporter.write_line(
                f"  {ran:>5}  of {total:>3} {family}" + ("" if ran == total else "  INCOMPLETE"),
                red=ran < total and REQUIRED,
            )


def _reason(report: Any) -> str:
    """Return why a test was skipped; pytest keeps (path, line, reason) there."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple | list) else report.longrepr
    return str(reason).removeprefix("Skipped: ")


def pytest_configure(config: pytest.Config) -> None:
    """Set up the closing summary in the controller; xdist's workers have none."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ClosingSummary(config), "closing-summary")
