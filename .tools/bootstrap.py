"""Make or refresh the project's virtual environment: the first thing every make target does.

    bootstrap.py demo   what running needs   (requirements.lock)
    bootstrap.py dev    what testing needs   (requirements-dev.lock, a superset of the above)

Needs nothing but Python: everything is installed from a lock, by hash, as wheels only, so no
compiler runs and no package's own code runs at install time. A stamp holding the digest of what was
installed makes the next call return at once.

This file must run under whatever `python3` a machine has, to say what is wrong with it. So it keeps
to syntax that Python 3.7 parses.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"

SUPPORTED = ((3, 11), (3, 12), (3, 13))
LOCKS = {"demo": "requirements.lock", "dev": "requirements-dev.lock"}
# What satisfies a request: the development set holds the demo set.
SATISFIED_BY = {"demo": ("demo", "dev"), "dev": ("dev",)}


class Unusable(Exception):
    """This machine lacks something; the message says what, and the one command that provides it."""


def say(text: str) -> None:
    """Print one progress line at once, also into a pipe."""
    print(text, flush=True)


def succeeds(*command: str | Path) -> bool:
    """Return whether a command runs and exits 0; its output is of no interest."""
    sink = subprocess.DEVNULL
    try:
        return subprocess.call([*map(str, command)], stdin=sink, stdout=sink, stderr=sink) == 0
    except OSError:
        return False


def version_of(python: str | Path) -> tuple[int, int] | None:
    """Return (major, minor) of an interpreter, or None where it does not run."""
    probe = "import sys; print(*sys.version_info[:2])"
    try:
        out = subprocess.check_output([str(python), "-c", probe], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = out.split()
    return int(major), int(minor)


def supported_python() -> str:
    """Return the interpreter to build on: this one, or another supported one on the PATH.

    Raises:
        Unusable: no interpreter from 3.11 to 3.13 was found.
    """
    # In a virtual environment, build on what that environment was built on.
    here = getattr(sys, "_base_executable", None) or sys.executable
    if sys.version_info[:2] in SUPPORTED:
        return here
    for major, minor in reversed(SUPPORTED):
        found = shutil.which(f"python{major}.{minor}")
        if found and version_of(found) == (major, minor):
            return found
    raise Unusable(
        "Strongroom needs Python 3.11, 3.12 or 3.13. python3 here is {}.{}, and no python3.11, "
        "python3.12 or python3.13 is on the PATH.\n"
        "Install one of them (Debian 12 and 13, Ubuntu 24.04 and Fedora bring one), then run make "
        "again.".format(*sys.version_info[:2])
    )


def stamp(name: str) -> Path:
    """Return the file that records what an installed set was made from."""
    return VENV / f".strongroom-{name}"


def digest_of(name: str) -> str:
    """Return the SHA-256 of everything an installed set depends on: lock, project file, this tool.

    The checkout's own path counts too, because an editable install points at it.
    """
    state = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / LOCKS[name], ROOT / "pyproject.toml", Path(__file__)):
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()


def is_fresh(name: str) -> bool:
    """Return whether a set that covers `name` is installed exactly as its lock says."""
    return PYTHON.exists() and any(
        stamp(candidate).exists() and stamp(candidate).read_text().strip() == digest_of(candidate)
        for candidate in SATISFIED_BY[name]
    )


def create_environment(python: str) -> list[str]:
    """Make `.venv` and return the pip command that installs into it.

    Debian splits ensurepip off into python3-venv. Without it there are two ways left: install that
    package where we may, or borrow the system's own pip for the empty environment.

    Raises:
        Unusable: neither way is open; the message holds the one line to run.
    """
    own_pip = [str(PYTHON), "-m", "pip"]
    if version_of(PYTHON) in SUPPORTED and succeeds(*own_pip, "--version"):
        return own_pip
    shutil.rmtree(VENV, ignore_errors=True)

    version = version_of(python)
    package = "python{}.{}-venv".format(*version) if version else "python3-venv"
    can_bootstrap_pip = succeeds(python, "-c", "import ensurepip, venv")
    if not can_bootstrap_pip and os.getuid() == 0 and shutil.which("apt-get"):
        say(f"python3 has no ensurepip; installing {package} with apt")
        apt_get("update")
        apt_get("--yes", "--no-install-recommends", "install", package)
        can_bootstrap_pip = succeeds(python, "-c", "import ensurepip, venv")
    if can_bootstrap_pip:
        say(f"Creating .venv with {python}")
        subprocess.check_call([python, "-m", "venv", str(VENV)])
        return own_pip
    if succeeds(python, "-m", "pip", "--python", python, "--version"):
        say(f"Creating .venv with {python} and the system's pip")
        subprocess.check_call([python, "-m", "venv", "--without-pip", str(VENV)])
        return [python, "-m", "pip", "--python", str(PYTHON)]
    raise Unusable(
        "python3 here cannot make a virtual environment (Debian and Ubuntu split that off). "
        f"Run:\n\n    sudo apt-get install -y {package}\n\nthen run make again."
    )


def apt_get(*arguments: str) -> None:
    """Run apt-get without questions; whether it helped is for the caller to check."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.call(["apt-get", "-qq", *arguments], env=environment, stdout=subprocess.DEVNULL)


def install(pip: list[str], lock: str) -> None:
    """Install a lock by hash, showing progress as pip works through it.

    Raises:
        Unusable: pip failed; the message carries its last lines.
    """
    lines = (ROOT / lock).read_text().splitlines()
    total = sum("==" in line and line[0].isalnum() for line in lines)
    say(f"Installing {total} packages from {lock}")
    command = [*pip, "install", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--requirement", str(ROOT / lock)]
    seen = 0
    tail: list[str] = []
    live = sys.stdout.isatty()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for raw in process.stdout or ():
            line = raw.decode("utf-8", "replace").rstrip()
            tail = [*tail[-14:], line]
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                seen += 1
                name = line.replace("Requirement already satisfied: ", "Collecting ").split()[1]
                if live:
                    print(f"\r\033[K  [{seen}/{total}] {name}", end="", flush=True)
                elif seen % 20 == 0:
                    say(f"  [{seen}/{total}] {name}")
            elif line.startswith("Installing collected packages"):
                say(("\r\033[K" if live else "") + "  downloaded and checked by hash; unpacking")
    if process.returncode != 0:
        last_lines = "\n    ".join(tail)
        raise Unusable(
            f"pip could not install {lock}. Its last lines:\n\n    {last_lines}\n\n"
            "The lock holds wheels for Linux (x86-64 and arm64, glibc 2.28 or newer) and macOS "
            "(arm64). Check the network and pip's index configuration, then run make again."
        )


def install_project(pip: list[str]) -> None:
    """Install the repository's own packages, editable, so that an edit needs no reinstall.

    Raises:
        Unusable: the build failed; pip has printed why.
    """
    command = [*pip, "install", "--no-deps", "--no-build-isolation", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--editable", str(ROOT)]
    if subprocess.call(command, stdin=subprocess.DEVNULL) != 0:
        raise Unusable("The project's own packages could not be installed; see the lines above.")


def main(arguments: list[str]) -> int:
    """Bring `.venv` to the state the asked-for lock describes; return the exit status."""
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        say(__doc__ or "")
        return 2
    name = arguments[0]
    if is_fresh(name):
        return 0
    started = time.monotonic()
    try:
        pip = create_environment(supported_python())
        for candidate in LOCKS:
            if stamp(candidate).exists():
                stamp(candidate).unlink()
        install(pip, LOCKS[name])
        install_project(pip)
    except Unusable as problem:
        say(f"\n{problem}")
        return 1
    stamp(name).write_text(digest_of(name) + "\n")
    say(f"Ready in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
