#!/usr/bin/env python3
"""Make or refresh the project's virtual environment: the first thing every make target does.

    bootstrap.py demo   what running needs   (requirements.lock)
    bootstrap.py dev    what testing needs   (requirements-dev.lock, a superset of the above)

Needs nothing but Python: everything is installed from a lock, by hash, as wheels only, so no
compiler runs and no package's own code runs at install time. A stamp holding the digest of what was
installed makes the next call return at once.

This file must run under whatever `python3` a machine has, to say what is wrong with it. So it keeps
to syntax that old interpreters parse.
"""

from __future__ import print_function

import hashlib
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")

SUPPORTED = ((3, 11), (3, 12), (3, 13))
LOCKS = {"demo": "requirements.lock", "dev": "requirements-dev.lock"}
# What satisfies a request: the development set holds the demo set.
SATISFIED_BY = {"demo": ("demo", "dev"), "dev": ("dev",)}


class Unusable(Exception):
    """This machine lacks something; the message says what, and the one command that provides it."""


def say(text):
    """Print one progress line at once, also into a pipe."""
    print(text)
    sys.stdout.flush()


def quiet(command):
    """Return whether a command succeeds; its output is of no interest."""
    with open(os.devnull, "w") as sink:
        try:
            return subprocess.call(command, stdout=sink, stderr=sink, stdin=subprocess.PIPE) == 0
        except OSError:
            return False


def version_of(python):
    """Return (major, minor) of an interpreter, or None where it does not run."""
    probe = "import sys; print('%d %d' % sys.version_info[:2])"
    try:
        out = subprocess.check_output([python, "-c", probe], stderr=subprocess.STDOUT)
    except (OSError, subprocess.CalledProcessError):
        return None
    major, minor = out.decode().split()
    return int(major), int(minor)


def supported_python():
    """Return the interpreter to build on: this one, or another supported one on the PATH.

    Raises:
        Unusable: no interpreter from 3.11 to 3.13 was found.
    """
    if sys.version_info[:2] in SUPPORTED:
        return sys.executable
    for version in reversed(SUPPORTED):
        found = shutil.which("python%d.%d" % version)
        if found and version_of(found) == version:
            return found
    raise Unusable(
        "Strongroom needs Python 3.11, 3.12 or 3.13; python3 here is %d.%d and no python3.11, "
        "python3.12 or python3.13 is on the PATH.\n"
        "Install one of them (Debian 12 and 13, Ubuntu 24.04 and Fedora bring one) and run make again."
        % sys.version_info[:2]
    )


def stamp_path(name):
    return os.path.join(VENV, ".strongroom-" + name)


def digest_of(name):
    """Return the SHA-256 of everything an installed set depends on: lock, project file, this tool."""
    state = hashlib.sha256()
    for path in (LOCKS[name], "pyproject.toml", os.path.join(".tools", "bootstrap.py")):
        with open(os.path.join(ROOT, path), "rb") as file:
            content = file.read()
        state.update(b"%d:" % len(content) + content)
    # An editable install points at this very folder: a moved checkout needs a new one.
    state.update(ROOT.encode())
    return state.hexdigest()


def is_fresh(name):
    """Return whether a set that covers `name` is installed exactly as its lock says."""
    for candidate in SATISFIED_BY[name]:
        try:
            with open(stamp_path(candidate)) as file:
                installed = file.read().strip()
        except OSError:
            continue
        if installed == digest_of(candidate) and os.path.exists(PYTHON):
            return True
    return False


def create_environment(python):
    """Make `.venv` and return the pip command that installs into it.

    Debian splits ensurepip off into python3-venv. Without it there are two ways left: install that
    package where we may, or borrow the system's own pip for the empty environment.

    Raises:
        Unusable: neither way is open; the message holds the one line to run.
    """
    if version_of(PYTHON) not in SUPPORTED or not quiet([PYTHON, "-m", "pip", "--version"]):
        shutil.rmtree(VENV, ignore_errors=True)
    if os.path.exists(PYTHON):
        return [PYTHON, "-m", "pip"]

    package = "python%d.%d-venv" % version_of(python)
    if not quiet([python, "-c", "import ensurepip, venv"]):
        if os.getuid() == 0 and shutil.which("apt-get"):
            say("python3 has no ensurepip; installing %s with apt" % package)
            environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
            subprocess.call(["apt-get", "-q", "-q", "update"], env=environment)
            subprocess.call(
                ["apt-get", "-q", "-q", "-y", "--no-install-recommends", "install", package],
                env=environment,
            )
    if quiet([python, "-c", "import ensurepip, venv"]):
        say("Creating .venv with %s" % python)
        subprocess.check_call([python, "-m", "venv", VENV])
        return [PYTHON, "-m", "pip"]
    if quiet([python, "-m", "pip", "--python", python, "--version"]):
        say("Creating .venv with %s, using the system's pip" % python)
        subprocess.check_call([python, "-m", "venv", "--without-pip", VENV])
        return [python, "-m", "pip", "--python", PYTHON]
    raise Unusable(
        "python3 here can make no virtual environment (Debian and Ubuntu split that off). Run:\n\n"
        "    sudo apt-get install -y %s\n\nand then make again." % package
    )


def pinned(lock):
    """Return how many packages a lock pins, for the progress count."""
    with open(os.path.join(ROOT, lock)) as file:
        return sum(1 for line in file if "==" in line and not line.startswith((" ", "#")))


def install(pip, lock):
    """Install a lock by hash, showing progress as pip works through it.

    Raises:
        Unusable: pip failed; the message carries its last lines.
    """
    total, seen, tail = pinned(lock), 0, []
    command = pip + ["install", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--requirement", os.path.join(ROOT, lock)]
    say("Installing %d packages from %s" % (total, lock))
    live = sys.stdout.isatty()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE
    )
    process.stdin.close()
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").rstrip()
        tail = tail[-14:] + [line]
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            seen += 1
            name = line.replace("Requirement already satisfied: ", "Collecting ").split()[1]
            if live:
                sys.stdout.write("\r\033[K  [%d/%d] %s" % (min(seen, total), total, name))
                sys.stdout.flush()
            elif seen % 20 == 0:
                say("  [%d/%d] %s" % (min(seen, total), total, name))
        elif line.startswith("Installing collected packages"):
            if live:
                sys.stdout.write("\r\033[K")
            say("  [%d/%d] downloaded and checked by hash; unpacking" % (total, total))
    if process.wait() != 0:
        raise Unusable(
            "pip could not install %s. Its last lines:\n\n    %s\n\nThe lock holds wheels for Linux "
            "(x86-64, arm64, glibc 2.28 or newer) and macOS (arm64). Check the network and pip's "
            "index configuration, then run make again." % (lock, "\n    ".join(tail))
        )


def install_project(pip):
    """Install the repository's own packages, editable, so that edits need no reinstall."""
    command = pip + ["install", "--no-deps", "--no-build-isolation", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--editable", ROOT]
    # hatchling runs as a subprocess and is found through the environment's own bin folder.
    path = os.path.join(VENV, "bin") + os.pathsep + os.environ.get("PATH", "")
    if subprocess.call(command, env=dict(os.environ, PATH=path), stdin=subprocess.PIPE) != 0:
        raise Unusable("the project's own packages could not be installed; see the lines above")


def main(arguments):
    """Bring `.venv` to the state the asked-for lock describes; return the exit status."""
    if len(arguments) != 1 or arguments[0] not in LOCKS:
        say(__doc__)
        return 2
    name = arguments[0]
    if is_fresh(name):
        return 0
    started = time.time()
    try:
        pip = create_environment(supported_python())
        for candidate in LOCKS:
            if os.path.exists(stamp_path(candidate)):
                os.unlink(stamp_path(candidate))
        install(pip, LOCKS[name])
        install_project(pip)
    except Unusable as problem:
        say("\n%s" % problem)
        return 1
    with open(stamp_path(name), "w") as file:
        file.write(digest_of(name) + "\n")
    say("Ready in %.0f s" % (time.time() - started))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
