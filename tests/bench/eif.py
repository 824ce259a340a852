"""Writing, reading and verifying an image beside hashing the same bytes.

The image is of the size that the project aims for: a small kernel and 64 MiB of ramdisks that do
not compress. Peers: `sha384sum` of the file, as a person would check it, and SHA-384 in this
process, which is what any tool that measures an image has to do at least once. The goal is three
times `sha384sum` for building: kernel, command line and ramdisks in, file on disk and PCRs out.
All take turns on the same bytes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from strongroom_eif import (
    BuildMetadata,
    Metadata,
    Node,
    Parts,
    archive,
    build,
    measure,
    parse,
    verify,
    write,
)

from tests.bench.channel import row
from tests.eif.samples import kernel

__all__ = ["rows"]

_FILES, _FILE_BYTES = 64, 1 << 20


def rows(iterations: int = 12) -> list[dict[str, object]]:
    """Returns the table, in us."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.eif"
        parts = _parts()
        jobs: dict[str, Callable[[], object]] = {
            "sha384": lambda: hashlib.sha384(path.read_bytes()).digest(),
            "build": lambda: _build(parts, path),
            "parse": lambda: parse(path.read_bytes()),
            "verify": lambda: verify(path.read_bytes(), datetime(2026, 11, 20, tzinfo=UTC)),
        }
        if shutil.which("sha384sum"):
            command = ["sha384sum", str(path)]
            jobs["sha384sum"] = lambda: subprocess.run(command, check=True, capture_output=True)
        _build(parts, path)
        times: dict[str, list[int]] = {name: [] for name in jobs}
        for _ in range(max(3, iterations)):
            for name, job in jobs.items():
                start = time.perf_counter_ns()
                job()
                times[name].append(time.perf_counter_ns() - start)
        size = f"{path.stat().st_size >> 20} MiB"
    peer = "sha384sum" if "sha384sum" in times else "sha384"
    peer_value = row(peer, times[peer])["p50"]
    table = [row(f"{name} of the file, {size}", times[name]) for name in times if "sha" in name]
    for name, what in (
        ("build", "EIF built, measured and written"),
        ("parse", "EIF read strictly, checksum included"),
        ("verify", "EIF verified whole, every file hashed"),
    ):
        found = row(f"{what}, {size}", times[name])
        ratio = round(float(str(found["p50"])) / float(str(peer_value)), 2)
        table.append({**found, "peer": peer, "peer_value": peer_value, "ratio": ratio})
    return table


def _parts() -> Parts:
    nodes = [Node.directory("app")]
    nodes += [Node.file(f"app/{n:02}", os.urandom(_FILE_BYTES)) for n in range(_FILES // 2)]
    halves = [b"".join(archive(nodes)), b"".join(archive(_other(nodes)))]
    label = Metadata(
        "bench", "1", BuildMetadata("1970-01-01T00:00:00Z", "bench", "1", "Linux", "6.12")
    )
    return Parts(kernel(os.urandom(2 << 20)), "quiet", halves, label)


def _other(nodes: list[Node]) -> list[Node]:
    """Returns a second tree: no path may occur twice in an image."""
    return [
        Node.directory("lib"),
        *(Node.file(f"lib/{n:02}", os.urandom(_FILE_BYTES)) for n in range(len(nodes) - 1)),
    ]


def _build(parts: Parts, path: Path) -> object:
    image = build(parts)
    with path.open("wb") as stream:
        write(image, stream)
    return measure(image)


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(f"{line}\n")
