"""Make the environment of the S3 server that the archive's tests talk to: build/s3-server.

That server (localstack-core, Apache-2.0) enforces Object Lock as S3 does: deletion, shortening,
downgrading and legal holds, over HTTP. It does not check credentials. Its dependencies are not
ours, so it gets an environment of its own, from a lock with hashes. Without it those tests are
skipped, and say so.

    .tools/s3_server.py
"""

import hashlib
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOCK = ROOT / "tests/host/archive/s3-server.lock"
FOLDER = ROOT / "build/s3-server"
STAMP = FOLDER / ".stamp"


def main() -> int:
    """Make it, unless it is there and of this lock; return the exit status."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text().strip() == wanted:
        return 0
    print(f"Installing the S3 server of the tests into {FOLDER.relative_to(ROOT)}", flush=True)
    STAMP.unlink(missing_ok=True)
    # This environment's pip installs into the other one, which needs none of its own.
    make = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(FOLDER)]
    install = [sys.executable, "-m", "pip", "--python", str(FOLDER / "bin/python"), "install"]
    install += ["--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-input"]
    install += ["--disable-pip-version-check", "--requirement", str(LOCK)]
    for command in (make, install):
        status = subprocess.run(command).returncode
        if status:
            return status
    STAMP.write_text(wanted + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
