"""What runs the network: integers, onnxruntime, torch, or a library compiled by torch.

All of them give the same numbers (`network`), so which one runs is a question of speed and of what
is installed. State stays with the runtime from step to step. Features go from integers to float32
here and nowhere else.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from strongroom_host.strategy.errors import ModelUnfit, RuntimeAbsent
from strongroom_host.strategy.model import Model
from strongroom_host.strategy.network import Network
from strongroom_host.strategy.onnx_file import INPUTS, OUTPUTS

__all__ = ["DEVICES", "RUNTIMES", "Stepper", "describe", "stepper"]

RUNTIMES: Final = ("onnx", "exact", "torch", "aoti")
DEVICES: Final = ("cpu", "cuda")


class Stepper(Protocol):
    """A network with its state."""

    def step(self, features: Sequence[int]) -> int:
        """Takes one step's features and returns the score."""

    def reset(self) -> None:
        """Begins with no memory."""


def stepper(model: Model, runtime: str, device: str) -> Stepper:
    """Returns a model ready to step.

    Raises:
        RuntimeAbsent: the runtime is not installed, or it has no such device.
        ModelUnfit: the file's inputs or outputs have other names, shapes or types.
    """
    if runtime not in RUNTIMES or device not in DEVICES:
        raise RuntimeAbsent(
            f"there is no runtime {runtime} on {device}",
            expected=f"{', '.join(RUNTIMES)} on {', '.join(DEVICES)}",
            actual=f"{runtime} on {device}",
        )
    if runtime == "exact":
        if device != "cpu":
            raise RuntimeAbsent("integers run on the CPU", remedy="choose the device cpu")
        return _Exact(model.description.weights)
    if runtime == "onnx":
        return _onnx(model, device)
    return _Torch(model, device, compiled=runtime == "aoti")


class _Exact:
    """The reference itself: slower, and needs nothing."""

    def __init__(self, network: Network) -> None:
        self._step = network.step
        self._none = (0,) * network.hidden
        self._hidden = self._none

    def step(self, features: Sequence[int]) -> int:
        score, self._hidden = self._step(features, self._hidden)
        return score

    def reset(self) -> None:
        self._hidden = self._none


def _onnx(model: Model, device: str) -> Stepper:
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeAbsent(
            "onnxruntime is not installed",
            remedy="install the extra `trading`, or choose the runtime exact, which needs nothing",
        ) from error
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    if provider not in onnxruntime.get_available_providers():
        raise RuntimeAbsent(
            f"this onnxruntime has no {provider}",
            expected="onnxruntime-gpu and a GPU",
            actual=", ".join(onnxruntime.get_available_providers()),
            remedy="choose the device cpu: decisions are the same",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A model is data: its telemetry, profiles and custom operators stay off.
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model.data, options, providers=[provider])
    except Exception as error:
        raise ModelUnfit(
            f"onnxruntime cannot load {model.description.file}: {error}",
            remedy="take the model again from where it was trained",
        ) from error
    units, width = model.description.hidden, len(model.description.features)
    _check(session, units, width)
    return _Onnx(session, units, width)


def _check(session: Any, units: int, width: int) -> None:
    """Proves that the file itself has the inputs and outputs that the live code gives and takes."""
    expected = {
        **dict(zip(INPUTS, ([1, width], [1, units]), strict=True)),
        **dict(zip(OUTPUTS, ([1, 1], [1, units]), strict=True)),
    }
    found = {each.name: each.shape for each in [*session.get_inputs(), *session.get_outputs()]}
    kinds = {each.type for each in [*session.get_inputs(), *session.get_outputs()]}
    if found != expected or kinds != {"tensor(float)"}:
        raise ModelUnfit(
            "the model has other inputs or outputs than this strategy",
            expected=", ".join(f"{name} {shape}" for name, shape in expected.items()),
            actual=", ".join(f"{name} {shape}" for name, shape in found.items()),
            remedy="strongroom strategy train",
        )


class _Onnx:
    """onnxruntime on memory of ours: nothing is allocated or copied per step but the score."""

    def __init__(self, session: Any, units: int, width: int) -> None:
        import numpy as np

        self._features = np.zeros((1, width), np.float32)
        self._row = self._features[0]
        self._score = np.zeros((1, 1), np.float32)
        self._states = [np.zeros((1, units), np.float32) for _ in range(2)]
        self._run = session.run_with_iobinding
        # Two bindings, each from one state to the other: they take turns.
        self._bindings = [self._bound(session, *self._states)]
        self._bindings.append(self._bound(session, *reversed(self._states)))
        self._turn = 0

    def _bound(self, session: Any, before: Any, after: Any) -> Any:
        binding = session.io_binding()
        for name, array in zip(INPUTS, (self._features, before), strict=True):
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in zip(OUTPUTS, (self._score, after), strict=True):
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding

    def step(self, features: Sequence[int]) -> int:
        self._row[:] = features
        self._run(self._bindings[self._turn])
        self._turn ^= 1
        return int(self._score[0, 0])

    def reset(self) -> None:
        for state in self._states:
            state.fill(0)


class _Torch:
    """torch, eager or compiled ahead of time."""

    def __init__(self, model: Model, device: str, *, compiled: bool) -> None:
        network = model.description.weights
        try:
            import torch
        except ImportError as error:
            raise RuntimeAbsent(
                "torch is not installed",
                remedy="install the extra `torch`, or choose onnx, which decides the same",
            ) from error
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeAbsent(
                "torch finds no GPU here",
                expected="a CUDA device and a torch that is built for it",
                actual=f"torch {torch.__version__}",
                remedy="choose the device cpu: decisions are the same",
            )
        from strongroom_host.strategy.torch_module import Gru

        torch.set_num_threads(1)
        self._torch, self._device = torch, torch.device(device)
        self._none = torch.zeros(1, network.hidden, device=self._device)
        self._hidden = self._none
        module = Gru(network).to(self._device).eval()
        self._call: Callable[..., Any] = module
        if compiled:
            example = (torch.zeros(1, network.features, device=self._device), self._none)
            named = f"{model.sha256.hex()}-{torch.__version__}-{device}-{platform.machine()}.pt2"
            self._call = _compiled(torch, module, example, named)

    def step(self, features: Sequence[int]) -> int:
        torch = self._torch
        with torch.inference_mode():
            row = torch.tensor([features], dtype=torch.float32, device=self._device)
            score, self._hidden = self._call(row, self._hidden)
        return int(score)

    def reset(self) -> None:
        self._hidden = self._none


def _compiled(torch: Any, module: Any, example: tuple[Any, Any], named: str) -> Callable[..., Any]:
    """Returns the module compiled by AOTInductor, which needs a C++ compiler and a minute, once: it
    is kept in the user's cache, by the hash of the model and the version of torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strongroom/models"
    kept = cache / named
    if not kept.exists():
        compiler = os.environ.get("CXX") or "g++"
        if shutil.which(compiler) is None:
            raise RuntimeAbsent(
                "compiling a model needs a C++ compiler",
                expected="g++, or what CXX names",
                remedy="install one, or choose the runtime onnx: decisions are the same",
            )
        # What is loaded from here is run: nobody else may put anything into it.
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        exported = torch.export.export(module, example)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as folder:
            made = str(Path(folder) / "gru.pt2")
            try:
                # AOTInductor has no public name.
                torch._inductor.aoti_compile_and_package(exported, package_path=made)  # noqa: SLF001
            except (RuntimeError, subprocess.SubprocessError) as error:
                raise RuntimeAbsent(f"the model could not be compiled: {error}") from error
            Path(made).replace(kept)
    status = cache.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise RuntimeAbsent(
            f"others may write to {cache}, and what is in it would be run",
            remedy=f"chmod go-w {cache}",
        )
    loaded: Callable[..., Any] = torch._inductor.aoti_load_package(str(kept))  # noqa: SLF001
    return loaded


def describe() -> Mapping[str, str]:
    """Returns what each runtime is here: its version, or why it cannot run."""
    found = {"exact": f"Python {sys.version_info.major}.{sys.version_info.minor}"}
    for name, module in (("onnx", "onnxruntime"), ("torch", "torch")):
        try:
            found[name] = str(__import__(module).__version__)
        except ImportError:
            found[name] = "not installed"
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    absent = found["torch"] == "not installed" or compiler is None
    found["aoti"] = "needs torch and a C++ compiler" if absent else f"torch {found['torch']}"
    return found
