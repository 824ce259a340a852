"""Environments apart: what a test needs to compare with, but whose dependencies are not ours.

Each is made under build/ from a lock with hashes, and made again when the lock changes. A test
whose environment is not there is skipped, and says so.
"""

import hashlib
import pathlib
import subprocess
import sys

__all__ = ["ROOT", "make"]

ROOT = pathlib.Path(__file__).resolve().parent.parent


def make(what: str, folder: pathlib.Path, lock: pathlib.Path) -> int:
    """Make an environment, unless it is there and of this lock; return the exit status."""
    stamp = folder / ".stamp"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text().strip() == wanted:
        return 0
    print(f"Installing {what} into {folder.relative_to(ROOT)}", flush=True)
    stamp.unlink(missing_ok=True)
    # This environment's pip installs into the other one, which needs none of its own.
    create = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)]
    install = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install"]
    install += ["--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-input"]
    install += ["--disable-pip-version-check", "--requirement", str(lock)]
    for command in (create, install):
        status = subprocess.run(command).returncode
        if status:
            return status
    stamp.write_text(wanted + "\n")
    return 0
