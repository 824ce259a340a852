"""A model is what its description says, or is refused with the reason."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from strongroom_host.strategy import runtimes
from strongroom_host.strategy.errors import ModelChanged, ModelMissing, ModelUnfit, RuntimeAbsent
from strongroom_host.strategy.features import NAMES
from strongroom_host.strategy.gru import Gru
from strongroom_host.strategy.model import SHIPPED, load_model, save_model
from strongroom_host.strategy.onnx_file import onnx_bytes
from strongroom_host.strategy.runtimes import stepper

from tests.host.strategy import ticks
from tests.host.strategy.test_network import made


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("gru-1.json", "gru-1.onnx"):
        shutil.copy(SHIPPED.parent / name, tmp_path / name)
    return tmp_path / "gru-1.json"


def changed(path: Path, **fields: object) -> Path:
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | fields))
    return path


def test_the_shipped_model_is_whole_small_and_judged() -> None:
    model = load_model(SHIPPED)
    assert len(model.data) < 64_000
    assert model.description.features == NAMES
    assert model.sha256.hex() == model.description.sha256
    metrics = model.description.metrics
    assert metrics["error"] < metrics["error_of_no_change"]  # type: ignore[operator]
    assert {"gru_profit", "baseline_profit", "tape"} <= set(metrics)


def test_what_is_saved_is_loaded_and_the_same_again(copy: Path, tmp_path: Path) -> None:
    model = load_model(copy)
    again = save_model(tmp_path / "other.json", model.description)
    assert again.sha256 == model.sha256
    assert load_model(tmp_path / "other.json").description == msgspec.structs.replace(
        model.description, file="other.onnx"
    )
    assert (tmp_path / "other.json").read_text().replace("other.onnx", "gru-1.onnx") == (
        SHIPPED.read_text()
    )


def test_one_byte_of_the_file(copy: Path) -> None:
    path = copy.with_suffix(".onnx")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelChanged, match="not the model") as caught:
        load_model(copy)
    assert caught.value.exit_status == 3


def test_one_weight_of_the_description(copy: Path) -> None:
    described = json.loads(copy.read_text())
    described["weights"]["score_h"][0] += 1
    copy.write_text(json.dumps(described))
    with pytest.raises(ModelUnfit, match="not the network"):
        load_model(copy)


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"sha256": "00" * 32}, ModelChanged, "not the model"),
        ({"features": ["a"] * 12}, ModelUnfit, "other features"),
        ({"hidden": 25}, ModelUnfit, "contradicts"),
        ({"step_ms": 0}, ModelUnfit, "contradicts"),
        ({"format": "strongroom-gru/9"}, ModelMissing, "another version"),
        ({"file": "../gru-1.onnx"}, ModelMissing, "elsewhere"),
        ({"file": "none.onnx"}, ModelMissing, "no model at"),
        ({"surprise": 1}, ModelMissing, "describes no model"),
    ],
)
def test_wrong_descriptions(
    copy: Path, fields: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        load_model(changed(copy, **fields))


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    described = load_model(SHIPPED).description
    narrow = made(1, features=11)
    path = tmp_path / "narrow.json"
    save_model(path, msgspec.structs.replace(described, weights=narrow, hidden=6))
    with pytest.raises(ModelUnfit, match="other features"):
        load_model(path)


def test_the_file_itself_is_asked_for_its_shape() -> None:
    """Even if the description were not: what onnxruntime loaded has to take what it is given."""
    model = load_model(SHIPPED)
    other = msgspec.structs.replace(model, data=onnx_bytes(made(1, hidden=7)))
    with pytest.raises(ModelUnfit, match="other inputs or outputs") as caught:
        stepper(other, "onnx", "cpu")
    assert "hidden [1, 24]" in str(caught.value.expected)
    with pytest.raises(ModelUnfit, match="cannot load"):
        stepper(msgspec.structs.replace(model, data=b"nonsense"), "onnx", "cpu")


def test_no_model_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no model at") as caught:
        Gru(
            {"market": ticks.TOKEN, "coin": ticks.COIN, "model": str(tmp_path / "x.json")},
            ticks.NAMES,
        )
    assert "shipped" in caught.value.remedy


def test_runtimes_that_are_not_here_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(SHIPPED)
    with pytest.raises(RuntimeAbsent, match="no runtime gpu"):
        stepper(model, "gpu", "cpu")
    with pytest.raises(RuntimeAbsent, match="on the CPU"):
        stepper(model, "exact", "cuda")
    for module, runtime in (("onnxruntime", "onnx"), ("torch", "torch"), ("torch", "aoti")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(RuntimeAbsent, match="not installed") as caught:
            stepper(model, runtime, "cpu")
        assert caught.value.remedy
    assert runtimes.describe()["torch"] == "not installed"


def test_an_onnxruntime_without_cuda_says_so() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(RuntimeAbsent, match="no CUDAExecutionProvider"):
        stepper(load_model(SHIPPED), "onnx", "cuda")
