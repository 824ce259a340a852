"""Re-make the hashed requirement locks from the declared ranges (`make lock`).

One resolution serves all: the development set is resolved first, for every supported Python and
platform at once, and the smaller locks are constrained to it, so a package never has two versions
in this repository. No lock names an index: pip takes the files from wherever its own configuration
points, and the hashes decide whether they are the right ones.

    .tools/lock.py            keep locked versions where the ranges still allow them
    .tools/lock.py --upgrade  take the newest that the ranges allow
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

DEV = "requirements-dev.lock"
CCXT = ("--override", "enclave/ccxt-overrides.in")
LOCKS = [
    # (lock, source, extra arguments)
    (DEV, "pyproject.toml", ["--extra", "dev", *CCXT]),
    (
        "requirements.lock",
        "pyproject.toml",
        [
            *("--extra", "build", "--extra", "fast", "--extra", "record"),
            *("--extra", "trading"),
            *("--constraints", DEV, *CCXT),
        ],
    ),
    (
        "enclave/requirements.lock",
        "enclave/pyproject.toml",
        # For ccxt's asynchronous half; an override would take them from the host, too.
        [
            *("--constraints", DEV, *CCXT),
            *("--no-emit-package", "uvloop", "--no-emit-package", "multidict"),
        ],
    ),
    # Environments of their own, so they may differ.
    ("tests/host/archive/s3-server.lock", "tests/host/archive/s3-server.in", []),
    ("tests/host/metrics/quantstats.lock", "tests/host/metrics/quantstats.in", []),
    ("tests/bench/peers.lock", "tests/bench/peers.in", []),
    ("tests/host/strategy/torch.lock", "tests/host/strategy/torch.in", []),
    ("prisma/node.lock", "prisma/node.in", []),
]


def compile_lock(lock: str, source: str, extra: list[str], uv: str, upgrade: bool) -> None:
    """Write one lock: exact versions, markers, and the hash of every published file."""
    command = [uv, "pip", "compile", source, "--output-file", lock, *extra]
    command += ["--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header"]
    command += ["--quiet"] + (["--upgrade"] if upgrade else [])
    subprocess.run(command, cwd=ROOT, check=True)


def main(arguments: list[str]) -> int:
    """Re-make every lock; `make lock` puts `uv` under build/lock-tools."""
    uv = str(ROOT / "build/lock-tools/bin/uv")
    for lock, source, extra in LOCKS:
        compile_lock(lock, source, extra, uv, upgrade="--upgrade" in arguments)
        pins = sum(" \\" in line for line in (ROOT / lock).read_text().splitlines() if "==" in line)
        print(f"{lock}: {pins} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
