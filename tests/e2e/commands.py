"""Running the `strongroom` command as a person does: a process, its output, its exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["STRONGROOM", "command", "environment", "one_message", "run", "strays"]

STRONGROOM = [sys.executable, "-P", "-m", "strongroom_host.cli.main"]
_TIMEOUT = 300
_OURS = re.compile(r"strongroom_(local|host)\.")


def environment(**extra: str) -> dict[str, str]:
    """A person's environment, wide enough that no message is folded."""
    path = os.pathsep.join(filter(None, sys.path))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM")}
    return {**kept, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1", **extra}


def command(words: tuple[str, ...]) -> list[str]:
    """What to execute for a command line as it is printed."""
    known = {"strongroom": STRONGROOM, "python": [sys.executable, "-P"]}
    return [*known.get(words[0], [words[0]]), *words[1:]]


def run(*words: str, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `strongroom` with these words."""
    return subprocess.run(
        [*STRONGROOM, *words],
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )


def one_message(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one message of a failure, after checking that it is one and no traceback."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return done.stderr


def strays(mark: str) -> list[str]:
    """Command lines of our processes that mention `mark` (a folder of the test) and still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if mark in line and _OURS.search(line):
            found.append(line)
    return found
