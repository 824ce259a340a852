"""Run what takes long, one part after another, and say of each what it did (`make soak`).

    .tools/soak.py                 all parts
    .tools/soak.py log ring        only these
    .tools/soak.py --resume        only those that have not passed at this commit
    .tools/soak.py --list          what there is, and how long it takes on two cores

A part is some tests with the counts of STRONGROOM_SOAK=1. Meanwhile a line says how far it is:
tests tell that through the fixture `progress`. At the end, and when it is interrupted, a table says
what was done, how often, how long it took and how it ended; build/soak.json keeps that after each
part, and build/soak/ what pytest said. The status is 0 where nothing that was asked for has failed,
130 after an interruption, else 1.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PATIENCE_S = 60.0
"""How long pytest may take to end after an interruption."""


@dataclass(frozen=True)
class Part:
    """Tests that belong together: what they do how often, pytest's arguments, minutes it takes on
    two cores."""

    name: str
    what: str
    tests: tuple[str, ...]
    minutes: float


PARTS = (
    Part("log", "1,000 kill -9 of enclave, keeper and clients (10 logs)",
         ("tests/hostile/test_log_kept.py",), 8),
    Part("log-writer", "1,000 kill -9 of a log's writer", ("tests/host/log/test_crashes.py",), 8),
    Part("witness", "1,000 kill -9 of a witness", ("tests/host/witness/test_crashes.py",), 8),
    Part("sequences", "1,000 kill -9 of whoever draws numbers",
         ("tests/host/sequences/test_kills.py",), 1.5),
    Part("journal", "680 kill -9 of a desk: 280 at given steps, 400 at random",
         ("tests/host/store/test_crashes.py",), 5),
    Part("relay", "400 kill -9 of relay and bot", ("tests/host/relay/test_killed.py",), 10),
    Part("processes", "600 kill -9 of each process of an enclave",
         ("tests/hostile/test_killed_processes.py",), 12),
    Part("record-kills", "72 kill -9 of a synchronisation's parts, with a real database",
         ("tests/hostile/test_record_killed.py",), 30),
    Part("record-schedules", "1,400 synchronisations under random faults",
         ("tests/hostile/test_record_schedules.py",), 5),
    Part("queue", "1,600 jobs among four workers", ("tests/host/record_store/test_queue.py",), 0.2),
    Part("archive", "40 kill -9 of an export", ("tests/host/archive/test_folder_store.py",), 1),
    Part("floods", "1,000,000 hostile packets, 200,000 of them over sockets",
         ("tests/hostile/test_relay_floods.py",), 5),
    Part("ring", "100,000,000 ticks through a ring; a minute each of races",
         ("tests/host/ring/test_torture.py", "tests/host/ring/test_racing.py"), 20),
    Part("feeds", "15,000 trades and faults of a venue",
         ("tests/host/feed_venues/test_binance_faults.py",), 3),
    Part("books", "48,000 random accounts against the oracle",
         ("tests/enclave/record/test_lots.py", "tests/enclave/record/test_marks.py",
          "tests/enclave/record/test_balancing.py", "tests/enclave/record/test_returns.py"), 10),
    Part("nonces", "100,000 signatures, no nonce twice",
         ("tests/enclave/signer/test_nonces.py",), 0.3),
    Part("leakage", "2,000 guesses of what is published",
         ("tests/host/leakage/test_figures.py",), 6),
    Part("torch", "the strategy's compiled model against the plain one",
         ("tests/host/strategy/test_torch.py",), 2),
    Part("bits", "each bit of each recorded attestation document flipped",
         ("tests/attest/test_bit_flips.py",), 30),
    Part("properties", "every property: 5,000 examples each, parsers more",
         ("-m", "hypothesis", "tests"), 120),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a part ended: "passed", "skipped", "FAILED", "changed" (what it tested, while it ran),
    "interrupted"; `detail` says of what."""

    name: str
    end: str
    seconds: float
    detail: str


class Interrupted(Exception):
    """A person or the machine wants it to end; the part's outcome so far is the argument."""


def main(arguments: list[str]) -> int:
    """Run what was asked for; see the module."""
    options = {word for word in arguments if word.startswith("--")}
    names = [word for word in arguments if word not in options]
    known = {part.name for part in PARTS}
    if (wrong := set(names) - known) or not options <= {"--resume", "--list"}:
        said = ", ".join(sorted(wrong)) or "such an option"
        print(f"there is no {said}; parts: {', '.join(part.name for part in PARTS)}")
        return 2
    chosen = [part for part in PARTS if part.name in names or not names]
    if "--list" in options:
        for part in chosen:
            print(f"{part.name:<17} {part.what}; about {part.minutes:g} min")
        return 0
    return soak(chosen, BUILD, resume="--resume" in options)


def soak(parts: Sequence[Part], build: Path, *, resume: bool = False, cwd: Path = ROOT) -> int:
    """Run the parts in order, and say at the end what was done."""
    here, outcomes, status = commit(), list[Outcome](), 0
    before = passed_before(build, here) if resume else {}
    print(f"commit {here}; {sum(p.minutes for p in parts if p.name not in before):g} min or so")
    with ended_in_order():
        for part in parts:
            if part.name in before:
                outcomes.append(before[part.name])
                continue
            try:
                outcome = run(part, build, cwd)
                if outcome.end == "passed" and (now := commit()) != here:
                    detail = f"it began at {here} and ended at {now}: run it again"
                    outcome = replace(outcome, end="changed", detail=detail)
                outcomes.append(outcome)
            except Interrupted as interruption:
                (outcome,) = interruption.args
                outcomes.append(outcome)
                status = 130
                break
            finally:
                record(build, here, outcomes)
    print()
    for line in table(parts, outcomes):
        print(line)
    return status or int(any(outcome.end in ("FAILED", "changed") for outcome in outcomes))


def run(part: Part, build: Path, cwd: Path = ROOT) -> Outcome:
    """Run one part's tests.

    Raises:
        Interrupted: somebody wants it to end.
    """
    began = time.monotonic()
    (build / "soak").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = folder / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            *part.tests,
            "-n",
            os.environ.get("JOBS", "auto"),
        ]
        command += ["--dist", "worksteal", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = {**os.environ, "STRONGROOM_SOAK": "1", "STRONGROOM_PROGRESS": name}
        with (build / "soak" / f"{part.name}.log").open("wb") as log:
            # A group of its own: Ctrl-C is for this process, which then ends pytest in order.
            shown = Shown(part)
            process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=log, process_group=0
            )
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(1)
                    shown.update(progress(folder), time.monotonic() - began)
            except KeyboardInterrupt:
                end(process)
                seconds = time.monotonic() - began
                outcome = Outcome(part.name, "interrupted", seconds, so_far(progress(folder)))
                raise Interrupted(outcome) from None
            finally:
                shown.clear()
        outcome = judged(part, process.returncode, report, time.monotonic() - began)
    print(f"{outcome.end:<12} {duration(outcome.seconds):>8}  {part.name}: {outcome.detail}")
    return outcome


def judged(part: Part, status: int, report: Path, seconds: float) -> Outcome:
    """Return what pytest's status and its report amount to."""
    # pytest's own report, of our own tests.
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314
    bad = [case for case in cases if {child.tag for child in case} & {"failure", "error"}]
    left_out = [case for case in cases if {child.tag for child in case} & {"skipped"}]
    if status == 0 and len(left_out) < len(cases):
        count = len(cases) - len(left_out)
        tests = "1 test" if count == 1 else f"{count} tests"
        also = f", {len(left_out)} skipped" if left_out else ""
        return Outcome(part.name, "passed", seconds, f"{tests}{also}; {part.what}")
    if status == 0:
        why = {child.get("message", "") for case in left_out for child in case}
        return Outcome(part.name, "skipped", seconds, "; ".join(sorted(filter(None, why))))
    names = ", ".join(case.get("name", "?") for case in bad) or f"pytest's status was {status}"
    return Outcome(part.name, "FAILED", seconds, f"{names} (build/soak/{part.name}.log)")


# --- how far it is --------------------------------------------------------------------------------


def progress(folder: Path) -> list[tuple[str, int, int]]:
    """Return what tests have said of themselves: name, rounds done, rounds in all."""
    found = []
    for path in sorted(folder.iterdir()):
        if not path.suffix:
            done, of, name = path.read_text().strip().split(" ", 2)
            found.append((name.rpartition("::")[2], int(done), int(of)))
    return found


def so_far(said: Sequence[tuple[str, int, int]]) -> str:
    """Return in a few words what tests have done, those that have begun."""
    if not said:
        return "nothing that counts its rounds"
    done, of = sum(each[1] for each in said), sum(each[2] for each in said)
    going = [f"{name} at {at:,} of {all_:,}" for name, at, all_ in said if at < all_]
    return f"{done:,} rounds of {of:,} begun" + (f" ({', '.join(going)})" if going else "")


class Shown:
    """The line that says how far a part is: rewritten on a terminal, else one a minute."""

    def __init__(self, part: Part) -> None:
        self._part, self._said = part, 0.0
        self._terminal = sys.stdout.isatty()

    def update(self, said: Sequence[tuple[str, int, int]], seconds: float) -> None:
        """Show it, where it is due."""
        line = f"{self._part.name}: {duration(seconds)}, {so_far(said)}"
        if self._terminal:
            sys.stdout.write(f"\r\x1b[K{line[: os.get_terminal_size().columns - 1]}")
            sys.stdout.flush()
        elif seconds - self._said >= 60:
            self._said = seconds
            print(line, flush=True)

    def clear(self) -> None:
        """Take the line away, for what is printed for good."""
        if self._terminal:
            sys.stdout.write("\r\x1b[K")


def duration(seconds: float) -> str:
    """Return it as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def table(parts: Sequence[Part], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield the closing lines: each part that was asked for, and how it ended."""
    known = {outcome.name: outcome for outcome in outcomes}
    width = max((len(part.name) for part in parts), default=0)
    for part in parts:
        outcome = known.get(part.name, Outcome(part.name, "not begun", 0, part.what))
        took = duration(outcome.seconds) if outcome.seconds else ""
        yield f"{outcome.end:<12} {took:>12}  {part.name:<{width}}  {outcome.detail}"
    ends = [outcome.end for outcome in outcomes]
    seconds = sum(outcome.seconds for outcome in outcomes)
    counted = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
    yield f"{counted or 'nothing done'} of {len(parts)} parts in {duration(seconds)}"
    if len(outcomes) < len(parts) or "interrupted" in ends:
        yield "`make soak RESUME=1` goes on with what has not passed at this commit"


# --- what is kept ---------------------------------------------------------------------------------


def commit() -> str:
    """Return what is tested: the commit, and whether files differ from it."""
    words = ["git", "describe", "--always", "--dirty=+changes", "--exclude=*"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def passed_before(build: Path, here: str) -> dict[str, Outcome]:
    """Return the parts that have passed at this very commit, by name."""
    if here == "unknown" or here.endswith("+changes"):
        return {}
    with suppress(OSError, ValueError):
        kept = json.loads((build / "soak.json").read_text())
        if kept["commit"] == here:
            found = (Outcome(**each) for each in kept["parts"])
            return {outcome.name: outcome for outcome in found if outcome.end == "passed"}
    return {}


def record(build: Path, here: str, outcomes: Sequence[Outcome]) -> None:
    """Keep what was done so far, beside what was done before at the same commit."""
    build.mkdir(parents=True, exist_ok=True)
    parts = {**passed_before(build, here), **{outcome.name: outcome for outcome in outcomes}}
    kept = {"commit": here, "parts": [asdict(outcome) for outcome in parts.values()]}
    draft = build / "soak.json.new"
    draft.write_text(json.dumps(kept, indent=2) + "\n")
    draft.replace(build / "soak.json")


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C meanwhile."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end(process: subprocess.Popen[bytes]) -> None:
    """End pytest and all that it started; what does not heed it is killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
