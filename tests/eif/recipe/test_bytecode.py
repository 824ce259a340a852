"""Bytecode: each file's own, whatever was compiled before it, and the same on every run."""

import marshal
import os
import subprocess
import sys
from pathlib import Path

from strongroom_eif.recipe import compile_sources

SOURCES = {
    "usr/lib/a.py": "x = {'b', 'a', None, 1}\ndef f(y='shared'):\n    return y in {'u', 'v'}\n",
    "usr/lib/b.py": "from a import f\nNAMES = ('shared', 'shared too')\n",
    "usr/lib/c.py": "class C:\n    'doc'\n    def m(self): return 'shared too', 1.5, -1\n",
}


def compiled(
    folder: Path, sources: dict[str, str], *, seed: str = "0"
) -> tuple[dict[str, bytes], subprocess.CompletedProcess[str]]:
    for name in ("in", "out"):
        (folder / name).mkdir(parents=True)
    for number, text in enumerate(sources.values()):
        (folder / "in" / str(number)).write_text(text)
    (folder / "list").write_text("".join(f"{path}\0" for path in sources))
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import compile_sources;"
        "compile_sources.main(pathlib.Path(sys.argv[2]))"
    )
    where = str(Path(compile_sources.__file__).parent)
    result = subprocess.run(
        [sys.executable, "-S", "-s", "-c", code, where, str(folder)],
        env={"PYTHONHASHSEED": seed, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    found = {
        path: (folder / "out" / str(number)).read_bytes()
        for number, path in enumerate(sources)
        if (folder / "out" / str(number)).exists()
    }
    return found, result


def test_bytecode_is_the_same_in_any_company(tmp_path: Path) -> None:
    first, result = compiled(tmp_path / "a", SOURCES)
    assert result.returncode == 0, result.stderr
    again, _ = compiled(tmp_path / "b", dict(reversed(SOURCES.items())))
    alone: dict[str, bytes] = {}
    for number, (path, text) in enumerate(SOURCES.items()):
        alone |= compiled(tmp_path / f"c{number}", {path: text})[0]
    assert first == again == alone


def test_it_is_unchecked_and_knows_its_path_in_the_image(tmp_path: Path) -> None:
    found, _ = compiled(tmp_path / "a", SOURCES)
    data = found["usr/lib/a.py"]
    # PEP 552: bit 0 says that a hash of the source stands there, bit 1 that it is to be checked.
    assert int.from_bytes(data[4:8], "little") == 0b01
    assert marshal.loads(data[16:]).co_filename == "/usr/lib/a.py"  # noqa: S302
    assert str(tmp_path).encode() not in data


def test_a_random_hash_seed_is_refused(tmp_path: Path) -> None:
    found, result = compiled(tmp_path / "a", SOURCES, seed="random")
    assert (found, result.returncode) == ({}, 1)
    assert "hash seed" in result.stderr


def test_what_is_no_python_is_named(tmp_path: Path) -> None:
    _, result = compiled(tmp_path / "a", {**SOURCES, "usr/lib/d.py": "def (:\n"})
    assert result.returncode == 1
    assert "/usr/lib/d.py" in result.stderr
    assert "cannot be compiled" in result.stderr
