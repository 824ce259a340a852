"""Make the environment of torch for the tests that compare with it, and for training: build/torch.

It is this environment and torch on top. PyPI's own wheel brings 2.7 GB of CUDA along, so on Linux
nothing but a CPU wheel will do (a version "+cpu", which PyPI cannot have): from pip's own
configuration, be that a folder or an index. Where there is none, this says so and makes nothing;
the tests that need it are then skipped and say so too.

    .tools/torch_env.py              make it, unless it is there
    .tools/torch_env.py --require    ... and fail where it cannot be made
"""

import hashlib
import pathlib
import subprocess
import sys
import sysconfig

from apart import ROOT

__all__ = ["main"]

FOLDER = ROOT / "build/torch"
LOCK = ROOT / "tests/host/strategy/torch.lock"
VERSION = "2.13.0"


def requirement() -> str:
    """Return which torch this platform takes: never one that brings CUDA."""
    return f"torch=={VERSION}+cpu" if sys.platform == "linux" else f"torch=={VERSION}"


def pip(*arguments: str) -> list[str]:
    """Return a command of this environment's pip for the other one, which has none of its own."""
    command = [sys.executable, "-m", "pip", "--python", str(FOLDER / "bin/python"), "install"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]
    return [*command, *quiet, "--only-binary", ":all:", *arguments]


def make() -> str:
    """Make the environment; return why it could not be made, or nothing."""
    create = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(FOLDER)]
    subprocess.run(create, check=True)
    found = subprocess.run(pip(requirement()), capture_output=True, text=True)
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["pip failed"])[-1]
        return f"pip's configuration offers no {requirement()} ({last})"
    if subprocess.run(pip("--require-hashes", "--requirement", str(LOCK))).returncode:
        return "what torch needs could not be installed"
    # After torch's own: this environment, editable packages and all.
    site = pathlib.Path(sysconfig.get_path("purelib", vars={"base": str(FOLDER)}))
    ours = sysconfig.get_path("purelib")
    (site / "development.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    check = [str(FOLDER / "bin/python"), "-c", "import torch, strongroom_host; torch.zeros(1)"]
    if subprocess.run(check).returncode:
        return "torch was installed, but cannot be imported"
    return ""


def main(arguments: list[str]) -> int:
    """Make it, unless it is there; return the exit status."""
    stamp = FOLDER / ".stamp"
    source = LOCK.read_bytes() + requirement().encode() + sys.version.encode()
    wanted = hashlib.sha256(source).hexdigest()
    if stamp.exists() and stamp.read_text().strip() == wanted:
        return 0
    print(f"Installing {requirement()} into {FOLDER.relative_to(ROOT)}", flush=True)
    stamp.unlink(missing_ok=True)
    why = make()
    if why:
        print(f"no torch here: {why}; what needs it is skipped", flush=True)
        return 1 if "--require" in arguments else 0
    stamp.write_text(wanted + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
