"""Generate the protobuf stubs of the wire contract, or check that the committed ones are fresh.

    .tools/proto.py           write *_pb2.py, *_pb2_grpc.py and *.pyi next to the .proto files
    .tools/proto.py --check   compare with what is committed; exit 1 and name the stale files

Stubs are committed because the image and an ordinary install must need no compiler. They are
generated from the folder above the package, so their imports are absolute.
"""

import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "enclave"
FOLDER = pathlib.PurePath("strongroom_wire/proto")
GENERATED = ("*_pb2.py", "*_pb2_grpc.py", "*_pb2.pyi", "*_pb2_grpc.pyi")


def generate(source: pathlib.Path, target: pathlib.Path) -> None:
    """Write the stubs of every .proto of `source` below `target`."""
    protos = sorted(path.relative_to(source) for path in (source / FOLDER).glob("*.proto"))
    plugins = pathlib.Path(sys.executable).parent
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={source}"]
    command += [f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}"]
    # protoc writes types for messages, but for services only this plugin does.
    command += [f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}"]
    command += [f"--mypy_grpc_out=quiet:{target}"]
    subprocess.run([*command, *map(str, protos)], check=True)


def stale(source: pathlib.Path) -> list[str]:
    """Return the stubs that differ from a fresh generation, are missing, or have no source."""
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder)
        generate(source, target)
        fresh = _stubs(target)
        committed = _stubs(source)
    names = sorted(fresh.keys() | committed.keys())
    return [name for name in names if fresh.get(name) != committed.get(name)]


def _stubs(root: pathlib.Path) -> dict[str, bytes]:
    found = (path for pattern in GENERATED for path in (root / FOLDER).glob(pattern))
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def main(arguments: list[str]) -> int:
    """Generate, or with `--check` compare; return the exit status."""
    if "--check" not in arguments:
        generate(SOURCE, SOURCE)
        return 0
    out_of_date = stale(SOURCE)
    for name in out_of_date:
        print(f"stale: enclave/{name}: run `make proto`")
    return 1 if out_of_date else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
