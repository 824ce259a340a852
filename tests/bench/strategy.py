"""Strategies: what a tick costs them, and what runs the model fastest.

Each tick of a simulated tape, from the call until the decision, all book-keeping and the digest of
inputs included. Every runtime gives the same scores (tests/host/strategy), so only time is
compared; torch has an environment of its own (build/torch) and is left out where there is none.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from strongroom_host.strategy.backtest import backtest
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.port import Decision, TickView
from strongroom_host.strategy.registry import load_strategy
from strongroom_host.strategy.told import Told
from strongroom_host.tape.market import COIN, MEMPOOL, OTHER, TOKEN, Market
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.writer import TapeWriter

from tests.bench.channel import row

__all__ = ["rows"]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build/torch/bin/python"
SECONDS = 900
OPTIONS = {
    "baseline": {"market": TOKEN},
    "whale": {"mempool": MEMPOOL, "market": OTHER},
    "gru": {"market": TOKEN, "coin": COIN, "mempool": MEMPOOL},
}
STEP = """
import json, random, sys, time
from strongroom_host.strategy.model import SHIPPED, load_model
from strongroom_host.strategy.runtimes import stepper
chance, model = random.Random(1), load_model(SHIPPED)
rows = [[chance.randint(-256, 256) for _ in range(12)] for _ in range(256)]
times = {}
for name in sys.argv[2:]:
    runs, taken = stepper(model, name, "cpu"), []
    for number in range(int(sys.argv[1])):
        row = rows[number & 255]
        start = time.perf_counter_ns()
        runs.step(row)
        taken.append(time.perf_counter_ns() - start)
    times[name] = taken[len(taken) // 10 :]
print(json.dumps(times))
"""


class Timed:
    """A strategy whose ticks are timed; those that end a step of the model apart."""

    def __init__(self, strategy: Told) -> None:
        self._strategy = strategy
        self.name, self.model_sha256 = strategy.name, strategy.model_sha256
        self.parameters = strategy.parameters
        self.on_gap, self.on_order_event = strategy.on_gap, strategy.on_order_event
        self.times: list[int] = []
        self.decided: list[int] = []

    def on_tick(self, view: TickView) -> Sequence[Decision]:
        """Times the call."""
        start = time.perf_counter_ns()
        decisions = self._strategy.on_tick(view)
        taken = time.perf_counter_ns() - start
        self.times.append(taken)
        if decisions:
            self.decided.append(taken)
        return decisions


def rows(iterations: int = 5_000) -> list[dict[str, object]]:
    """Returns the table; times in us."""
    table: list[dict[str, object]] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.tape"
        with TapeWriter(path, "simulated 1", started_ns=10**18, monotonic_ns=0) as writer:
            Market(1, writer, start_ns=1, wall_ns=10**18).run(SECONDS)
        with TapeReader(path) as tape:
            for name, options in OPTIONS.items():
                timed = Timed(load_strategy(name, options, tape.names))
                backtest(timed, tape, Costs())
                warm = timed.times[len(timed.times) // 10 :]
                table.append(row(f"{name}: a tick", warm))
                table.append(row(f"{name}: a tick with a decision", timed.decided))
    return table + runtimes(iterations)


def runtimes(iterations: int) -> list[dict[str, object]]:
    """Returns the rows of a single step of the shipped model, each runtime beside onnxruntime."""
    times = stepped(sys.executable, iterations, "onnx", "exact")
    if PYTHON.exists():
        times |= stepped(str(PYTHON), iterations, "torch")
    peer = row("", times["onnx"])["p50"]
    table = [row("model step, onnxruntime with io_binding", times["onnx"])]
    for name, what in (("exact", "model step, integers in Python"), ("torch", "model step, torch")):
        if name in times:
            measured = row(what, times[name])
            ratio = round(float(str(measured["p50"])) / float(str(peer)), 2)
            compared = {"peer": "onnxruntime", "peer_value": peer, "ratio": ratio}
            table.append({**measured, **compared})
    return table


def stepped(python: str, iterations: int, *names: str) -> dict[str, list[int]]:
    """Returns the times of steps, in a process of its own, in ns."""
    command = [python, "-W", "ignore", "-c", STEP, str(iterations), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, list[int]] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(f"{line}\n")
