"""Bytecode and compression, made by the toolchain's own programs.

Nothing promises that Python writes the same bytecode twice: what marshal writes may depend on the
hash seed, and on which objects happen to be shared in the process. So the seed is fixed, and each
file is compiled in a process that has compiled nothing before it. A `.pyc` depends on its source,
its path and the interpreter, and on no other file. (Python 3.13 wrote all files of the image alike
without that, forwards and backwards; another version need not.)

They are "unchecked": Python runs them without looking whether the source beside them is newer,
since times are all zero and the image does not change.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from strongroom_eif.image import Bytes
from strongroom_eif.recipe import compile_sources, sandbox
from strongroom_eif.recipe.content_errors import ToolchainMismatch
from strongroom_eif.recipe.contents import PYTHON, Item
from strongroom_eif.recipe.machine import writing
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.results import Results
from strongroom_eif.recipe.root import Root

__all__ = ["check_same_python", "compiled", "gzipped"]

_TAG: Final = f"cpython-{PYTHON.replace('.', '')}"

_COMPILER: Final = Path(compile_sources.__file__)
"""Run by the toolchain's Python, as a file; imported here only to find it."""


def check_same_python(pins: Pins) -> None:
    """Refuses a toolchain whose Python is another than the image's.

    Raises:
        ToolchainMismatch: Naming both versions.
    """
    versions = {
        name: pins.package(name, f"python{PYTHON}-minimal").version
        for name in ("system", "toolchain")
    }
    if versions["system"] != versions["toolchain"]:
        raise ToolchainMismatch(
            f"image and toolchain have different versions of python{PYTHON}",
            expected=versions["system"],
            actual=versions["toolchain"],
            remedy="choose the pins anew with `make pins`",
        )


def compiled(items: Iterable[Item], results: Results, root: Root) -> Iterator[Item]:
    """Yields a `.pyc` for every `.py` among the items, where Python looks for it.

    What the same toolchain compiled from the same sources before is not compiled again, unless the
    results are to be fresh.

    Raises:
        BuildFailed: A file is not valid Python.
    """
    sources = sorted((i for i in items if _is_module(i)), key=lambda i: i.path.encode())
    state = hashlib.sha256(_COMPILER.read_bytes() + root.digest.encode())
    for item in sources:
        state.update(f"{item.sha256} {item.path}\n".encode())

    def build(place: Path) -> None:
        results.store.say(f"compiling {len(sources)} Python files")
        with tempfile.TemporaryDirectory(dir=results.scratch()) as folder:
            _compile(sources, root, Path(folder))
            for number in range(len(sources)):
                shutil.move(Path(folder) / "out" / str(number), place / str(number))

    made = results.make("bytecode", state.hexdigest(), build)
    for number, item in enumerate(sources):
        content = (made / str(number)).read_bytes()
        yield Item.file(_cache_path(item.path), content, item.origin, item.path)


def gzipped(pieces: Iterable[Bytes], results: Results, root: Root) -> bytes:
    """Returns the pieces on end as the toolchain's `gzip -9n` compresses them, without a name.

    Raises:
        BuildFailed: gzip failed.
    """
    with tempfile.TemporaryDirectory(dir=results.scratch()) as folder:
        plain, packed = Path(folder) / "plain", Path(folder) / "packed"
        state = hashlib.sha256(b"gzip -9n " + root.digest.encode())
        with writing(plain), plain.open("wb") as stream:
            for piece in pieces:
                state.update(piece)
                stream.write(piece)

        def build(place: Path) -> None:
            results.store.say(f"compressing {plain.stat().st_size >> 20} MiB")
            # The shell is the toolchain's; the image has none.
            command = ["/bin/sh", "-c", "exec gzip -9n < plain > packed"]
            log = Path(folder) / "log"
            sandbox.run(root, command, work=Path(folder), read={}, env={}, log=log)
            shutil.move(packed, place / packed.name)

        return (results.make("ramdisk", state.hexdigest(), build) / packed.name).read_bytes()


def _compile(sources: list[Item], root: Root, work: Path) -> None:
    """Leaves the bytecode in `work/out`, by number."""
    with writing(work):
        (work / "in").mkdir()
        (work / "out").mkdir()
        for number, item in enumerate(sources):
            (work / "in" / str(number)).write_bytes(item.node.content)
        (work / "list").write_text("".join(f"{item.path}\0" for item in sources))
        (work / _COMPILER.name).write_bytes(_COMPILER.read_bytes())
    # Not -I, which would ignore the hash seed; the sandbox has no other environment.
    command = [f"/usr/bin/python{PYTHON}", "-S", "-s", "-P", f"/work/{_COMPILER.name}"]
    env = {"PYTHONHASHSEED": "0"}
    sandbox.run(root, command, work=work, read={}, env=env, log=work / "log")


def _is_module(item: Item) -> bool:
    return item.kind == "file" and item.path.endswith(".py")


def _cache_path(source: str) -> str:
    path = PurePosixPath(source)
    return str(path.parent / "__pycache__" / f"{path.stem}.{_TAG}.pyc")
