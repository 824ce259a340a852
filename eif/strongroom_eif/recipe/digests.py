"""SHA-256 of a file, and of a whole directory, read in pieces."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["file_digest", "tree_digest"]

_PIECE: Final = 1 << 20


def file_digest(path: Path, size: int | None = None) -> str:
    """Returns a file's SHA-256 in hexadecimal; empty, unread, if it has another size."""
    with path.open("rb") as stream:
        if size is not None and os.fstat(stream.fileno()).st_size != size:
            return ""
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_digest(root: Path) -> str:
    """Returns a SHA-256 over everything below a directory but times and owners.

    One line per entry, sorted by path: kind, permissions, SHA-256 of content or of a link's target,
    path. Sockets and pipes count by their kind.
    """
    lines = []
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as found:
            for entry in found:
                path = Path(entry.path)
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    content = hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
                elif stat.S_ISREG(mode):
                    content = file_digest(path)
                else:
                    content = "-"
                    if stat.S_ISDIR(mode):
                        pending.append(path)
                name = os.fsencode(path.relative_to(root))
                lines.append((name, f"{mode:06o} {content} ".encode() + name + b"\0"))
    state = hashlib.sha256(b"strongroom tree\n")
    for _, line in sorted(lines):
        state.update(line)
    return state.hexdigest()
