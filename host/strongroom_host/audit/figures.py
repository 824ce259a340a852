"""The figures that are promised, as `make bench` measured them here: each goal reached, or not."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed, warned
from strongroom_host.audit.source_checks import commit_of

__all__ = ["MODULES", "RESULTS", "check_figures"]

MODULES: Final = ("calls", "connectors", "record")
"""The benchmarks that measure what is promised of the track record."""
RESULTS: Final = Path("build/bench-run.json")
_GOAL: Final = "goal"
_REMEDY: Final = "measure: `make bench`, on a machine that does nothing else"


class _Row(msgspec.Struct):
    name: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None


class _Machine(msgspec.Struct):
    commit: str
    processor: str = ""


class _Bench(msgspec.Struct):
    machine: _Machine
    results: Mapping[str, list[_Row]]


def check_figures(source: Path, modules: Iterable[str] = MODULES) -> Iterator[Finding]:
    """Yields whether the last benchmark of this very source reached every goal, by module.

    Nothing is measured here: an audit shares its machine with two builds.
    """
    for module in modules:
        yield _check(source, module)


def _check(source: Path, module: str) -> Finding:
    check, title = f"bench.{module}", f"Every goal of `make bench {module}` is reached"
    benchmark, path = f"tests/bench/{module}.py", source / RESULTS
    if not (source / benchmark).is_file():
        return inapplicable(check, title, f"not applicable yet: there is no {benchmark}")
    if not path.is_file():
        return warned(check, title, "nothing was measured here", remedy=_REMEDY)
    try:
        bench = msgspec.json.decode(path.read_bytes(), type=_Bench)
    except (OSError, msgspec.DecodeError) as error:
        return warned(check, title, f"{RESULTS} cannot be read: {error}", remedy=_REMEDY)
    goals = [row for row in bench.results.get(module, ()) if row.peer == _GOAL]
    # A ratio is against the goal: above one is better, whichever way the figure counts.
    ratios = {row.name: row.ratio or 0.0 for row in goals}
    evidence = {"ratios": ratios, "commit": bench.machine.commit, "on": bench.machine.processor}
    head, changed = commit_of(source)
    if not head or changed or not head.startswith(bench.machine.commit):
        text = f"what was measured is commit {bench.machine.commit}, and not this source"
        return warned(check, title, text, evidence, remedy=_REMEDY)
    if missed := [name for name, ratio in ratios.items() if ratio < 1]:
        return failed(
            check, title, f"not reached: {', '.join(missed)}", evidence, remedy="make it faster"
        )
    if not goals:
        return failed(check, title, "no goal was measured", evidence, remedy=_REMEDY)
    return passed(check, title, f"{len(goals)} goals, each reached", evidence)
