"""Run every static check and report each on one line (`make lint`).

All of them run even when one fails, so that one call shows everything there is to mend.
"""

import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent

CHECKS: list[tuple[str, list[str]]] = [
    ("style (ruff check)", [str(BIN / "ruff"), "check", "--quiet", "."]),
    ("format (ruff format)", [str(BIN / "ruff"), "format", "--quiet", "--check", "."]),
    ("types (mypy --strict)", [str(BIN / "mypy"), "--no-error-summary"]),
    ("import contracts (lint-imports)", [str(BIN / "lint-imports"), "--no-logo", "--no-cache"]),
    ("generated stubs are fresh", [sys.executable, ".tools/proto.py", "--check"]),
    ("database rows are fresh", [sys.executable, ".tools/prisma_rows.py", "--check"]),
    ("lifecycle diagram is fresh", [sys.executable, ".tools/lifecycle.py", "--check"]),
    ("troubleshooting table is fresh", [sys.executable, ".tools/codes.py", "--check"]),
]


def main() -> int:
    """Run the checks in order; return 1 if any failed."""
    failed = 0
    for name, command in CHECKS:
        started = time.monotonic()
        result = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}
        )
        ok = result.returncode == 0
        failed += not ok
        print(f"  {'ok    ' if ok else 'FAILED'} {name} ({time.monotonic() - started:.1f} s)")
        if not ok:
            print((result.stdout + result.stderr).rstrip())
        sys.stdout.flush()
    print("lint: all checks passed" if not failed else f"lint: {failed} of {len(CHECKS)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
