"""The committed protobuf stubs are what the .proto files generate."""

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.architecture.source import ROOT
from tests.tools.loading import load


@pytest.fixture(scope="module")
def proto() -> ModuleType:
    """The generator behind `make proto`."""
    return load("proto")


def test_stubs_are_fresh(proto: ModuleType) -> None:
    assert proto.stale(ROOT / "enclave") == []


def test_changed_missing_and_orphaned_stubs_are_reported(proto: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / proto.FOLDER
    folder.mkdir(parents=True)
    for name in ("enclave", "strongroom"):
        shutil.copy(ROOT / "enclave" / proto.FOLDER / f"{name}.proto", folder)
    proto.generate(tmp_path, tmp_path)
    assert proto.stale(tmp_path) == []

    source = folder / "strongroom.proto"
    source.write_text(source.read_text() + "\nmessage Added {}\n")
    (folder / "enclave_pb2_grpc.pyi").unlink()
    (folder / "gone_pb2.py").write_text("")
    assert {Path(name).name for name in proto.stale(tmp_path)} >= {
        "strongroom_pb2.py",
        "strongroom_pb2.pyi",
        "enclave_pb2_grpc.pyi",
        "gone_pb2.py",
    }
