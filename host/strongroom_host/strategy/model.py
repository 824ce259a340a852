"""A model as files: the network as ONNX, and beside it what it is, by name and by hash."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_file, write_atomic
from strongroom_host.strategy.errors import ModelChanged, ModelMissing, ModelUnfit
from strongroom_host.strategy.features import NAMES
from strongroom_host.strategy.network import Network
from strongroom_host.strategy.onnx_file import onnx_bytes

__all__ = ["FORMAT", "SHIPPED", "Description", "Model", "load_model", "save_model"]

FORMAT: Final = "strongroom-gru/1"
SHIPPED: Final = Path(__file__).parent / "models" / "gru-1.json"
_LARGEST: Final = 1 << 22


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands beside a model file.

    Attributes:
        file: Its name, in the same folder.
        sha256: Its hash, hex: what decisions are recorded under.
        features: Names, in order.
        hidden: Units of state.
        step_ms: Length of a step.
        horizon: Steps ahead that the score is about: 128 means one cent higher.
        weights: The network; the file follows from it byte by byte.
        training: On what it was trained, and with what.
        metrics: What came of it, on ticks that it was not trained on.
        format: What this is.
    """

    file: str
    sha256: str
    features: tuple[str, ...]
    hidden: int
    step_ms: int
    horizon: int
    weights: Network
    training: dict[str, str | int | float]
    metrics: dict[str, str | int | float]
    format: str = FORMAT


class Model(msgspec.Struct, frozen=True):
    """A model that was checked.

    Attributes:
        description: See there.
        data: The ONNX file.
        sha256: Its hash, 32 bytes.
    """

    description: Description
    data: bytes
    sha256: bytes


def load_model(path: Path) -> Model:
    """Returns the model that a description names, after proving that the file is the one it names,
    that its weights are the ones described, and that it takes the features that the live code has.

    Raises:
        ModelMissing: a file is not there, or is no description.
        ModelChanged: the file is another one.
        ModelUnfit: the model does not fit this code.
    """
    description = _description(path)
    data = _file(path.parent / description.file)
    found = hashlib.sha256(data).digest()
    if found.hex() != description.sha256:
        raise ModelChanged(
            f"{path.parent / description.file} is not the model that {path.name} describes",
            expected=f"SHA-256 {description.sha256}",
            actual=f"SHA-256 {found.hex()}",
            remedy="take both files again from where the model was trained; never mend the hash",
        )
    network = description.weights
    if description.features != NAMES or network.features != len(NAMES):
        raise ModelUnfit(
            f"{path} was trained on other features than this version computes",
            expected=", ".join(NAMES),
            actual=f"{', '.join(description.features)} ({network.features} inputs)",
            remedy="strongroom strategy train",
        )
    if network.hidden != description.hidden or not 1 <= description.step_ms <= 60_000:
        raise ModelUnfit(
            f"{path} contradicts itself",
            expected=f"{description.hidden} units; steps of 1 to 60000 ms",
            actual=f"{network.hidden} units; steps of {description.step_ms} ms",
        )
    if onnx_bytes(network) != data:
        raise ModelUnfit(
            f"{description.file} is not the network that {path.name} describes",
            expected="the file that its weights give",
            remedy="a model of another kind needs a strategy of its own; else train it again",
        )
    return Model(description, data, found)


def save_model(path: Path, description: Description) -> Model:
    """Writes both files, the model first, and returns the model; `file` and `sha256` are set."""
    data = onnx_bytes(description.weights)
    found = hashlib.sha256(data)
    name = path.with_suffix(".onnx").name
    described = msgspec.structs.replace(description, file=name, sha256=found.hexdigest())
    write_atomic(path.with_suffix(".onnx"), data)
    text = msgspec.json.format(msgspec.json.encode(described), indent=1)
    write_atomic(path, _compact(text) + b"\n")
    return Model(described, data, found.digest())


def _compact(text: bytes) -> bytes:
    """Returns indented JSON with each row of numbers on one line."""
    out, depth = list[bytes](), 0
    for line in text.split(b"\n"):
        bare = line.strip()
        number = bare.rstrip(b",").lstrip(b"-").isdigit()
        if number:
            out[-1] += bare + (b" " if bare.endswith(b",") else b"")
            depth = 1
        elif depth and bare.startswith(b"]"):
            out[-1] += bare
            depth = 0
        else:
            out.append(line)
            depth = 0
    return b"\n".join(out)


def _description(path: Path) -> Description:
    try:
        description = msgspec.json.decode(_file(path), type=Description)
    except msgspec.MsgspecError as error:
        raise ModelMissing(
            f"{path} describes no model: {error}",
            expected=f"JSON of {FORMAT}",
            remedy="name the .json beside the .onnx; `strongroom strategy train` writes both",
        ) from error
    if description.format != FORMAT:
        raise ModelMissing(
            f"{path} is of another version", expected=FORMAT, actual=description.format
        )
    if Path(description.file).name != description.file or not description.file.isprintable():
        raise ModelMissing(f"{path} names a file elsewhere", actual=description.file)
    return description


def _file(path: Path) -> bytes:
    try:
        return read_file(path, limit=_LARGEST)
    except BadInput as error:
        raise ModelMissing(
            f"there is no model at {path}: {error}",
            expected="a description (.json) and its model (.onnx) in one folder",
            remedy="leave the option out for the model that is shipped, or train one",
        ) from error
