"""Promises that only running code can show: the tests that show them, run on the audited source.

A test shows what it was written for on this machine, with the packages of the audit's environment;
that the image runs the same source is for the checks of builds and image. Tests that are skipped
(no database here, no recorded vectors) show nothing: a promise that rests on none is a warning.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed, warned
from strongroom_host.audit.source_checks import PACKAGE_ROOTS

__all__ = ["PROMISES", "Promise", "check_promises"]

_SECONDS: Final = 600
_COUNTS: Final = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
_BROKEN: Final = re.compile(r"(?m)^(?:FAILED|ERROR) (\S+)")
_RECORD: Final = "enclave/strongroom_enclave/record/__main__.py"


@dataclass(frozen=True, slots=True)
class Promise:
    """What some tests show.

    Attributes:
        id: Of the finding.
        title: The promise, as a statement that should be true.
        tests: Files and folders of tests, from the root of the source.
        component: The file without which the promise is not made yet.
    """

    id: str
    title: str
    tests: tuple[str, ...]
    component: str = _RECORD


PROMISES: Final = (
    Promise("tests.sealed", "What the host keeps of an account reveals nothing of it",
            ("tests/enclave/record_kept", "tests/hostile/test_record_seen.py")),
    Promise("tests.histories", "Connectors read whole histories inside TLS of their own, or say "
            "which part is missing",
            ("tests/enclave/record_connectors", "tests/enclave/record_service/test_end_to_end.py")),
    Promise("tests.repeated", "Whatever is done again, killed or lied about by a database, the "
            "ledger is the same or nothing is folded",
            ("tests/enclave/record_service/test_sync.py", "tests/hostile/test_record_schedules.py",
             "tests/hostile/test_record_killed.py", "tests/hostile/test_record_database.py")),
    Promise("tests.exact", "Returns are those of an oracle in fractions, to the last digit",
            ("tests/enclave/record",)),
    Promise("tests.calls", "The published calls give what is disclosed, and no more",
            ("tests/host/record_serving", "tests/wire/test_published_contract.py")),
)  # fmt: skip


def check_promises(
    source: Path, *, run: bool, promises: Iterable[Promise] = PROMISES
) -> Iterator[Finding]:
    """Yields one finding per promise.

    Args:
        source: The checkout, with its tests.
        run: Whether to run them; if not, each promise is open.
        promises: Which.
    """
    for promise in promises:
        if not (source / promise.component).is_file():
            text = f"not applicable yet: there is no {promise.component}"
            yield inapplicable(promise.id, promise.title, text)
        elif absent := [name for name in promise.tests if not (source / name).exists()]:
            yield failed(
                promise.id,
                promise.title,
                f"{absent[0]} is not there, which would show it",
                {"tests": list(promise.tests)},
                remedy="restore the tests: what nothing shows is not promised",
            )
        elif not run or find_spec("pytest") is None:
            yield warned(
                promise.id,
                promise.title,
                "its tests were not run" if not run else "pytest is not installed here",
                {"tests": list(promise.tests)},
                remedy="run the whole audit: `make audit`",
            )
        else:
            yield _shown(source, promise)


def _shown(source: Path, promise: Promise) -> Finding:
    roots = (source, *(source / root for root in PACKAGE_ROOTS))
    # Whatever chooses among tests, or is of a run of pytest around this one, stays out.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    try:
        result = subprocess.run(  # noqa: S603  our own interpreter, the source's own tests
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *promise.tests],
            cwd=source,
            env=kept | {"PYTHONPATH": os.pathsep.join(map(str, roots)), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return failed(
            promise.id,
            promise.title,
            f"its tests did not end: {error}",
            {"tests": list(promise.tests)},
            remedy="run them by hand: " + " ".join(("pytest", *promise.tests)),
        )
    summary = next((line for line in reversed(result.stdout.splitlines()) if " in " in line), "")
    counts = {word.rstrip("s"): int(number) for number, word in _COUNTS.findall(summary)}
    evidence = {"tests": list(promise.tests), **counts}
    if result.returncode != 0:
        broken = _BROKEN.findall(result.stdout)
        return failed(
            promise.id,
            promise.title,
            f"{broken[0]} fails" if broken else (result.stdout + result.stderr)[-500:].strip(),
            evidence | {"failed": broken[:50]},
            remedy="run it by hand, and read what it says",
        )
    done, skipped = counts.get("passed", 0), counts.get("skipped", 0)
    text = f"{done} tests pass" + (f", {skipped} are skipped" if skipped else "")
    if not done:
        return warned(
            promise.id,
            promise.title,
            f"no test could be run here, {skipped} are skipped",
            evidence,
            remedy="give them what they miss: each says it with `pytest -rs`",
        )
    return passed(promise.id, promise.title, text, evidence)
