"""Prisma's command line, for the checks of the database's schema: prisma/node_modules.

    .tools/prisma.py install             where there is Node.js and a registry; else say so
    .tools/prisma.py install --require   bring Node.js along where there is none; fail without
    .tools/prisma.py installed           exit 1 if it is not there
    .tools/prisma.py COMMAND...          run `prisma COMMAND...`

Packages come by the hashes of package-lock.json, and none runs a script at install: Prisma's would
fetch native engines. It asks for the path of each, and is given a program that does nothing, since
the engine that is used is a package (prisma/prisma.config.ts).
"""

import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

from apart import ROOT, make

__all__ = ["install", "installed", "main", "prisma"]

FOLDER = ROOT / "prisma"
STAMP = FOLDER / "node_modules/.stamp"
NODE_ENVIRONMENT = ROOT / "build/node"
OLDEST = (18, 18)


@functools.cache
def node() -> list[str]:
    """Return [node, npm's script] of the PATH or of build/node; empty where neither will do."""
    programs = [str(path) for path in NODE_ENVIRONMENT.glob("lib/*/*/*/bin/node")]
    for program in [*filter(None, [shutil.which("node")]), *programs]:
        path = pathlib.Path(program).resolve()
        done = subprocess.run([path, "--version"], capture_output=True, text=True)
        version = re.match(r"v(\d+)\.(\d+)", done.stdout)
        script = path.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
        if not script.exists() and (npm := shutil.which("npm")):
            script = pathlib.Path(npm).resolve()
        if version and (int(version[1]), int(version[2])) >= OLDEST and script.suffix == ".js":
            return [str(path), str(script)]
    return []


def installed() -> bool:
    """Return whether Prisma is there, of the lock, with a Node.js to run it."""
    return bool(node()) and STAMP.exists() and STAMP.read_text() == _wanted()


def install(require: bool) -> int:
    """Put Prisma into prisma/node_modules, unless it is there; return the exit status."""
    if not node() and require:
        status = make("Node.js", NODE_ENVIRONMENT, FOLDER / "node.lock")
        node.cache_clear()
        if status:
            return status
    if not node():
        print(f"no Node.js from {OLDEST[0]} on: the checks by Prisma will be skipped", flush=True)
        return int(require)
    if installed():
        return 0
    print("Installing Prisma into prisma/node_modules", flush=True)
    program, npm = node()
    command = [program, npm, "ci", "--no-progress", "--loglevel=error"]
    status = subprocess.run(command, cwd=FOLDER, env=_environment()).returncode
    if status == 0:
        STAMP.write_text(_wanted())
    elif not require:
        print("Prisma could not be installed: the checks by it will be skipped", flush=True)
    return status if require else 0


def prisma(
    *words: str, dsn: str = "postgresql://unused/unused"
) -> subprocess.CompletedProcess[str]:
    """Run a command of Prisma's, on a database if it needs one (a URL); return how it ended."""
    script = FOLDER / "node_modules/prisma/build/index.js"
    return subprocess.run(
        [node()[0], str(script), *words],
        cwd=FOLDER,
        env={**_environment(), "STRONGROOM_DSN": dsn},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _wanted() -> str:
    return hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()


def _environment() -> dict[str, str]:
    nothing = shutil.which("true") or "/bin/true"
    return {
        **os.environ,
        "PATH": f"{pathlib.Path(node()[0]).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PRISMA_SCHEMA_ENGINE_BINARY": nothing,
        "PRISMA_QUERY_ENGINE_LIBRARY": nothing,
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
        "NO_COLOR": "1",
    }


def main(arguments: list[str]) -> int:
    """Install, or run a command; return the exit status."""
    if arguments[:1] == ["install"]:
        return install("--require" in arguments)
    if arguments == ["installed"]:
        return 0 if installed() else 1
    if not installed():
        print("Prisma is not installed: .tools/prisma.py install", file=sys.stderr)
        return 1
    done = prisma(*arguments, dsn=os.environ.get("STRONGROOM_DSN", "postgresql://unused/unused"))
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
