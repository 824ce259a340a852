"""Pins of made-up packages, and a root file system of this machine's shell, for tests."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from strongroom_eif.recipe.pins import FILES, PACKAGES, Package, Pins
from strongroom_eif.recipe.root import MOUNT_POINTS, Root

__all__ = ["PINS", "pins_of", "shell_root"]

PINS = Path(__file__).parents[3] / "reproducible-build/pins"


def pins_of(folder: Path, sets: Mapping[str, tuple[Package, ...]]) -> Pins:
    """Writes pins as `make pins` does and reads them back."""
    packages = {p.name: p for members in sets.values() for p in members}
    content = {
        "format": "strongroom-pins/1",
        "archives": [],
        "sets": {
            name: {"requested": [], "packages": [p.name for p in members]}
            for name, members in sets.items()
        },
        "packages": {
            name: {
                "version": p.version,
                "architecture": p.architecture,
                "path": p.path,
                "size": p.size,
                "sha256": p.sha256,
                "source": p.source,
            }
            for name, p in packages.items()
        },
    }
    (folder / PACKAGES).write_text(json.dumps(content))
    (folder / FILES).write_text(json.dumps({"format": "strongroom-pins/1", "files": {}}))
    return Pins.load(folder)


def shell_root(place: Path) -> Root | None:
    """Returns a root with a few programs of this machine in it; None where it has no ldd."""
    programs = [shutil.which(name) for name in ("sh", "cat", "id", "ls", "sleep", "uname")]
    if shutil.which("ldd") is None or None in programs:
        return None
    for name in (*MOUNT_POINTS, "usr/bin"):
        (place / name).mkdir(parents=True)
    (place / "bin").symlink_to("usr/bin")
    for program in filter(None, programs):
        shutil.copy(program, place / "bin" / Path(program).name)
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
        for library in re.findall(r"(/\S+) \(0x", libraries.stdout):
            (place / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place / library[1:])
    return Root(place, "0" * 64)
