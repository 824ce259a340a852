"""With torch: the same decisions as without, on CPU and on a GPU; and training that repeats itself.

torch is in an environment of its own (.tools/torch_env.py); what needs it runs there.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.strategy.backtest import backtest
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.model import load_model
from strongroom_host.strategy.registry import load_strategy

from tests.host.strategy.test_backtest import OPTIONS
from tests.host.strategy.ticks import simulated

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / "build/torch/bin/python"
STAMP = ROOT / "build/torch/.stamp"
WITH_TORCH = pytest.mark.skipif(
    not STAMP.exists(), reason="no torch here; .tools/torch_env.py installs a CPU wheel"
)
SOAK = pytest.mark.skipif(
    os.environ.get("STRONGROOM_SOAK") != "1",
    reason="compiling the model takes a minute or two; STRONGROOM_SOAK=1 does it",
)

_DECIDE = """
import json, sys
from pathlib import Path
from strongroom_host.strategy.backtest import backtest
from strongroom_host.strategy.errors import RuntimeAbsent
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.registry import load_strategy
from strongroom_host.tape.reader import TapeReader
options, found = json.loads(sys.argv[2]), {}
with TapeReader(Path(sys.argv[1])) as tape:
    for runtime in sys.argv[3:]:
        name, device = runtime.split(":")
        try:
            strategy = load_strategy(
                "gru", options | {"runtime": name, "device": device}, tape.names
            )
        except RuntimeAbsent as error:
            found[runtime] = f"absent: {error}"
            continue
        result = backtest(strategy, tape, Costs())
        found[runtime] = f"{result.decisions} {result.digest.hex()} {result.ended}"
print(json.dumps(found))
"""


def decide(tmp_path: Path, *runtimes: str) -> dict[str, str]:
    """Returns what each runtime decided on one tape, with what this environment's did as `here`."""
    with simulated(tmp_path / "x.tape", 60) as tape:
        strategy = load_strategy("gru", OPTIONS["gru"], tape.names)
        result = backtest(strategy, tape, Costs())
    assert result.decisions > 5
    arguments = [str(tmp_path / "x.tape"), json.dumps(OPTIONS["gru"]), *runtimes]
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", "-c", _DECIDE, *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"XDG_CACHE_HOME": str(ROOT / "build/torch/cache")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found | {"here": f"{result.decisions} {result.digest.hex()} {result.ended}"}


@WITH_TORCH
@pytest.mark.slow
def test_torch_decides_as_onnxruntime_does(tmp_path: Path) -> None:
    found = decide(tmp_path, "torch:cpu", "onnx:cpu")
    assert found["torch:cpu"] == found["onnx:cpu"] == found["here"]


@WITH_TORCH
@SOAK
@pytest.mark.slow
def test_what_torch_compiles_decides_the_same(tmp_path: Path) -> None:
    found = decide(tmp_path, "aoti:cpu")
    if found["aoti:cpu"].startswith("absent"):
        pytest.skip(found["aoti:cpu"])
    assert found["aoti:cpu"] == found["here"]


@WITH_TORCH
@pytest.mark.slow
def test_a_gpu_decides_as_the_cpu_does(tmp_path: Path) -> None:
    found = decide(tmp_path, "torch:cuda", "onnx:cuda")
    there = {name: said for name, said in found.items() if not said.startswith("absent")}
    assert set(there.values()) == {found["here"]}
    if len(there) == 1:
        pytest.skip(f"no GPU here ({found['torch:cuda']}; {found['onnx:cuda']})")


def train(folder: Path, out: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), "-W", "ignore", "-m", "strongroom_host.cli.main", "strategy", "train"]
    command += ["learn.tape", "--test", "test.tape", "--mempool", "bitcoin:mempool"]
    command += ["--out", out, "--epochs", "1", "--hidden", "8", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=280)


@WITH_TORCH
@pytest.mark.slow
def test_training_repeats_itself_and_is_judged_on_another_tape(tmp_path: Path) -> None:
    simulated(tmp_path / "learn.tape", 330).close()
    simulated(tmp_path / "test.tape", 20, seed=6).close()
    done = train(tmp_path, "a.json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Out of sample" in done.stdout
    model = load_model(tmp_path / "a.json")
    training: dict[str, Any] = dict(model.description.training)
    assert training["tape"].startswith("simulated 5, ")
    assert str(model.description.metrics["tape"]).startswith("simulated 6, ")
    assert model.description.hidden == 8
    assert train(tmp_path, "b.json").returncode == 0
    assert load_model(tmp_path / "b.json").sha256 == model.sha256
