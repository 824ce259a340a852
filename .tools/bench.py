"""Run every benchmark of tests/bench in one go and show each figure beside its peer (`make bench`).

    .tools/bench.py           all modules
    .tools/bench.py signing   only modules whose name contains the word

A benchmark module has a docstring, whose first line titles its table, and `rows()`, which measures
and returns one dict per figure: `name`, `unit` and, where they apply, `value`, `p50`, `p99`,
`p999`, `p9999`, `peer` (what it is compared with), `peer_value` and `ratio`. Everything is measured
in one run, so figures of a row can be compared; figures of different machines cannot. What needs
something that is not here, such as a built image, raises `NotMeasured`, which is no failure.
A module that takes longer than STRONGROOM_BENCH_LIMIT_S (600) has failed; the others go on.
The results also go to build/bench.json, after each module: a list of such rows with every key. The
same by module, with the machine they were taken on, is in build/bench-run.json, for the audit.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "build" / "bench.json"
FIGURES = ("value", "p50", "p99", "p999", "p9999")
KEYS = ("name", "unit", *FIGURES, "peer", "peer_value", "ratio")

Row = Mapping[str, Any]


def machine() -> dict[str, object]:
    """Return what the figures were measured on; never the host's name or paths."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip() + ("+changes" if dirty.stdout else ""),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def processor() -> str:
    """Return the processor's model name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def checked(rows: Sequence[Row], module: str) -> Sequence[Row]:
    """Return the rows as they are.

    Raises:
        ValueError: a row lacks its name or unit, holds no figure, or has a key nobody reads.
    """
    for row in rows:
        unknown = row.keys() - set(KEYS)
        if unknown or not row.get("name") or "unit" not in row:
            raise ValueError(f"{module}: bad row {dict(row)!r} (unknown keys: {sorted(unknown)})")
        if all(row.get(key) is None for key in FIGURES):
            raise ValueError(f"{module}: row {row['name']!r} holds no figure")
    return rows


def shown(value: object) -> str:
    """Return a figure with three significant digits, or a dash."""
    if value is None:
        return "-"
    if not isinstance(value, int | float) or value == 0:
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(title: str, rows: Sequence[Row]) -> Table:
    """Return one module's rows as a table; columns that hold nothing are left out."""
    result = Table(title=title, title_justify="left", title_style="bold", expand=False)
    used = [key for key in FIGURES if any(row.get(key) is not None for row in rows)]
    compared = any(row.get("peer") for row in rows)
    names = {"p999": "p99.9", "p9999": "p99.99"}
    result.add_column("what", overflow="fold", min_width=24)
    for key in used:
        result.add_column(names.get(key, key), justify="right")
    result.add_column("unit")
    if compared:
        result.add_column("peer", overflow="fold", min_width=18)
        result.add_column("its figure", justify="right", no_wrap=True)
        result.add_column("ratio", justify="right", style="bold")
    for row in rows:
        cells = [str(row["name"]), *(shown(row.get(key)) for key in used), str(row["unit"])]
        if compared:
            ratio = row.get("ratio")
            cells += [str(row.get("peer") or ""), shown(row.get("peer_value"))]
            cells += ["-" if ratio is None else f"{shown(ratio)}x"]
        result.add_row(*cells)
    return result


class Failed(Exception):
    """A module could not measure; the text says why."""


def measured_apart(name: str, seconds: int) -> tuple[str, Sequence[Row], str]:
    """Measure one module in a process of its own; return its title, its rows, and why there are
    none where it says so.

    A process, since whatever hangs in there can be ended with all that it has started.

    Raises:
        Failed: it failed, or took longer than so many seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "rows.json"
        command = [sys.executable, str(Path(__file__).resolve()), "--rows", name, str(answer)]
        with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
            try:
                process.wait(seconds)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise Failed(f"not done after {seconds} s") from None
                raise
        if not answer.exists():
            raise Failed(f"its process ended with status {process.returncode}")
        said = json.loads(answer.read_text())
    if said["error"]:
        raise Failed(said["error"])
    return said["title"], said["rows"], said["reason"]


def measure(name: str, answer: Path) -> None:
    """What that process does: the rows, or why there are none, into a file."""
    sys.path.insert(0, str(ROOT))
    from tests.bench import NotMeasured

    said: dict[str, object] = {"title": name, "rows": (), "reason": "", "error": ""}
    try:
        module = importlib.import_module(f"tests.bench.{name}")
        said["title"] = (module.__doc__ or name).strip().splitlines()[0]
        said["rows"] = checked(module.rows(), name)
    except NotMeasured as reason:
        said["reason"] = str(reason)
    except Exception as error:  # noqa: BLE001  whatever it is, it is said in the one report
        said["error"] = f"{type(error).__name__}: {error}"
    answer.write_text(json.dumps(said))


def record(
    about: Mapping[str, object], measured: Mapping[str, Sequence[Row]], seconds: object
) -> None:
    """Write what there is so far: a run that is stopped keeps what it has measured."""
    RESULT.parent.mkdir(exist_ok=True)
    rows = [{key: row.get(key) for key in KEYS} for part in measured.values() for row in part]
    run = {"machine": about, "seconds": seconds, "results": measured}
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    RESULT.with_name("bench-run.json").write_text(json.dumps(run, indent=2) + "\n")


def main(arguments: list[str]) -> int:
    """Measure, print and record; return 1 if a module failed or there is none."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    folder = ROOT / "tests" / "bench"
    names = sorted(p.stem for p in folder.glob("[!_]*.py") if not p.stem.startswith("test_"))
    chosen = [name for name in names if not arguments or any(word in name for word in arguments)]
    if not chosen:
        console.print(f"no benchmark matches; there are: {', '.join(names) or 'none'}")
        return 1
    about = machine()
    console.print("  ".join(f"{key} [bold]{value}[/bold]" for key, value in about.items()))
    limit = int(os.environ.get("STRONGROOM_BENCH_LIMIT_S", "600"))
    measured: dict[str, Sequence[Row]] = {}
    took: dict[str, int] = {}
    failed: list[str] = []
    for place, name in enumerate(chosen, start=1):
        console.print(f"\n[dim]{place} of {len(chosen)}: {name} ...[/dim]")
        started = time.monotonic()
        try:
            title, measured[name], reason = measured_apart(name, limit)
        except Failed as error:
            failed.append(name)
            console.print(f"[red]{name} failed:[/red] {error}")
        else:
            if reason:
                console.print(f"[yellow]{name} was not measured:[/yellow] {reason}")
            else:
                console.print(table(title, measured[name]))
        took[name] = round(time.monotonic() - started)
        console.print(f"[dim]{took[name]} s[/dim]")
        record(about, measured, took)
    slowest = sorted(took, key=lambda name: -took[name])[:5]
    longest = ", ".join(f"{name} {took[name]} s" for name in slowest)
    console.print(f"\n{len(chosen)} tables in {sum(took.values())} s; longest: {longest}")
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
    console.print(f"written to {RESULT.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rows"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main(sys.argv[1:]))
