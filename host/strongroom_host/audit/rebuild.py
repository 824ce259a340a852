"""Two builds of one source that share nothing but the inputs: what must not matter, differs.

Each build gets a copy of exactly those files that are said to decide the image, in a folder of its
own, and runs as a process of its own with the copy's recipe. The second one's folder, file times,
modes, order of files, umask, locale, time zone, home, hash seed and build variables are others.
Whatever leaks from there into the image shows as a difference.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec
from strongroom_eif.recipe.application import INPUTS

from strongroom_host.errors import HostError

__all__ = [
    "FIRST",
    "SECOND",
    "BuildStopped",
    "Builder",
    "Circumstances",
    "ProcessBuilder",
    "Product",
    "Progress",
    "copy_inputs",
]

Progress = Callable[[str], None]
_WORKER: Final = Path(__file__).with_name("build_once.py")
_LEFT_OUT: Final = ("__pycache__", "*.pyc", "*.egg-info", ".*", "build", "dist")


class BuildStopped(HostError):
    """A build ended without an image.

    Attributes:
        status: Who is at fault: 1 source or recipe, 2 the inputs, 5 this machine.
        code: The recipe's own identifier of what went wrong.
    """

    def __init__(
        self, what: str, *, status: int = 1, code: str = "build", expected: object = None,
        actual: object = None, remedy: str = "",
    ) -> None:  # fmt: skip
        super().__init__(what, expected=expected, actual=actual, remedy=remedy)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What surrounds a build and must not show in its result.

    Attributes:
        name: For messages and reports.
        folder: Where below the audit's folder it happens.
        umask: Of the process.
        environment: Variables that are set on top of the caller's.
        modified: Time stamp of the first copied file, each further one 97 s later; None leaves the
            time of copying.
        reverse: Whether files are copied last to first, which turns the order of directories round.
    """

    name: str
    folder: str
    umask: int
    environment: Mapping[str, str] = field(default_factory=dict)
    modified: int | None = None
    reverse: bool = False

    def to_json(self) -> dict[str, object]:
        """Returns what differed, for the report."""
        return {
            "folder": self.folder,
            "umask": f"{self.umask:03o}",
            "environment": dict(self.environment),
            "file_times": "as copied" if self.modified is None else f"from {self.modified} on",
            "copied": "last to first" if self.reverse else "first to last",
        }


FIRST: Final = Circumstances(
    "first", "a", 0o022, {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"}
)
SECOND: Final = Circumstances(
    "second",
    "second/build/further/down",
    0o077,
    {
        "TZ": "AUD-13:45",
        "LC_ALL": "tr_TR.UTF-8",
        "LANGUAGE": "tr:de",
        "PYTHONHASHSEED": "4294967295",
        "USER": "auditor",
        "LOGNAME": "auditor",
        "HOSTNAME": "elsewhere.invalid",
        "COLUMNS": "41",
        # What compilers, make, the kernel's build, tar and gzip would heed if it reached them.
        "SOURCE_DATE_EPOCH": "1000000007",
        "KBUILD_BUILD_USER": "auditor",
        "KBUILD_BUILD_HOST": "elsewhere",
        "KBUILD_BUILD_TIMESTAMP": "Sun Sep  9 01:46:47 UTC 2001",
        "CFLAGS": "-O0 -DAUDITED",
        "MAKEFLAGS": "-k",
        "TAR_OPTIONS": "--mtime=@7",
        "GZIP": "-1",
    },
    modified=1_000_000_007,
    reverse=True,
)


@dataclass(frozen=True, slots=True)
class Product:
    """The files that a build leaves."""

    image: Path
    record: Path
    sbom: Path


class Builder(Protocol):
    """What makes an image of a source under given circumstances."""

    def build(self, source: Path, folder: Path, around: Circumstances) -> Product:
        """Returns what was built in `folder`, from nothing that an earlier build left.

        Raises:
            BuildStopped: There is no image.
        """


class _Result(msgspec.Struct, forbid_unknown_fields=True):
    image: str = ""
    record: str = ""
    sbom: str = ""
    code: str = ""
    status: int = 1
    what: str = ""
    expected: str | None = None
    actual: str | None = None
    remedy: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class ProcessBuilder:
    """Builds in a process of its own, by the recipe that is part of the copied source.

    Attributes:
        cache: The content cache. Only its inputs are used, and those by their hash; the toolchain's
            root and every other result is made anew for each build.
        inputs: Folders with inputs, searched before any server.
        offline: Whether to ask no server.
        progress: Is given one line at a time.
    """

    cache: Path
    inputs: Sequence[Path] = ()
    offline: bool = False
    progress: Progress = lambda line: None  # noqa: ARG005

    def build(self, source: Path, folder: Path, around: Circumstances) -> Product:
        """See `Builder`."""
        copied = folder / "source"
        copy_inputs(source, copied, around)
        home = folder / "home"
        home.mkdir(parents=True)
        own = _with_inputs_of(self.cache, folder / "cache")
        result = folder / "result.json"
        job = {
            "source": str(copied),
            "work": str(folder / "work"),
            "output": str(folder / "output"),
            "cache": str(own),
            "inputs": [str(path.absolute()) for path in self.inputs],
            "offline": self.offline,
            "result": str(result),
        }
        status = self._run([sys.executable, "-P", "-B", str(_WORKER)], job, home, copied, around)
        return _product(result, status, around)

    def _run(
        self,
        command: list[str],
        job: Mapping[str, object],
        home: Path,
        copied: Path,
        around: Circumstances,
    ) -> int:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = (
            kept
            | dict(around.environment)
            | {
                "HOME": str(home),
                "PYTHONPATH": str(copied / "eif"),
                "PIP_CONFIG_FILE": kept.get("PIP_CONFIG_FILE", _pip_configuration()),
            }
        )
        with subprocess.Popen(  # noqa: S603  our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env=environment,
            umask=around.umask,
            cwd=copied,
        ) as process:
            if process.stdin is None or process.stdout is None:  # for the type checker
                raise BuildStopped("the build has no pipes")
            try:
                process.stdin.write(json.dumps(job))
                process.stdin.close()
                for line in process.stdout:
                    self.progress(f"{around.name}: {line.rstrip()}")
                return process.wait()
            except BaseException:
                process.terminate()
                raise


def _with_inputs_of(cache: Path, own: Path) -> Path:
    """Returns a new cache that shares nothing with the old one but files named by their hash."""
    shared = cache.absolute() / "sha256"
    try:
        shared.mkdir(parents=True, exist_ok=True)
        own.mkdir(parents=True)
        (own / "sha256").symlink_to(shared, target_is_directory=True)
    except OSError as error:
        raise BuildStopped(
            f"cannot use the content cache {cache}: {error.strerror or error}",
            status=5,
            remedy="set STRONGROOM_CACHE to a folder that you may write to",
        ) from error
    return own.absolute()


def copy_inputs(source: Path, target: Path, around: Circumstances) -> None:
    """Copies what decides the image, and nothing else, with times and order as asked.

    Raises:
        BuildStopped: A file cannot be copied, or something is left of an earlier audit.
    """
    try:
        target.mkdir(parents=True)
        paths = [path for name in INPUTS for path in _files(source / name)]
        for path in reversed(paths) if around.reverse else paths:
            copied = target / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
            # Of the mode only what git keeps; the rest is for the umask to spoil.
            mode = 0o777 if path.stat().st_mode & 0o100 else 0o666
            copied.chmod(mode & ~around.umask)
        if around.modified is not None:
            for number, path in enumerate(sorted(target.rglob("*"))):
                moment = around.modified + 97 * number
                os.utime(path, (moment, moment))
    except OSError as error:
        raise BuildStopped(
            f"cannot copy the source for the {around.name} build: {error.strerror or error}",
            status=5,
            actual=error.filename,
            remedy="check space and permissions of the audit's folder",
        ) from error


def _files(start: Path) -> Iterable[Path]:
    if start.is_file():
        return [start]
    found = []
    for path in sorted(start.iterdir()):
        if not any(path.match(pattern) for pattern in _LEFT_OUT):
            found += [path] if path.is_file() else list(_files(path))
    return found


def _product(result: Path, status: int, around: Circumstances) -> Product:
    try:
        read = msgspec.json.decode(result.read_bytes(), type=_Result)
    except (OSError, msgspec.DecodeError) as error:
        raise BuildStopped(
            f"the {around.name} build ended without saying how (status {status})",
            remedy="its last lines are above; if it was killed, check memory and disk",
        ) from error
    if read.image:
        return Product(Path(read.image), Path(read.record), Path(read.sbom))
    tail = f"\n{read.tail}" if read.tail else ""
    raise BuildStopped(
        f"the {around.name} build: {read.what}{tail}",
        status=read.status,
        code=read.code,
        expected=read.expected,
        actual=read.actual,
        remedy=read.remedy,
    )


def _pip_configuration() -> str:
    """Returns where this user's pip looks up how an index is reached; another home hides it."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for path in (base / "pip" / "pip.conf", Path.home() / ".pip" / "pip.conf"):
        if path.is_file():
            return str(path)
    return os.devnull
