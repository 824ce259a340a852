"""What goes into the image, each file with where it came from.

A file of the image is a `Node`, as the archive takes it, and an origin: `debian:libc6`,
`wheel:cbor2`, `strongroom` (our own source) or `recipe` (what this package adds: directories,
links, the console). The origin is how the SBOM, the record and a person at a terminal all name it.
"""

import hashlib
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from strongroom_eif.archive_writer import Node
from strongroom_eif.newc import kind_of

__all__ = ["DIST_PACKAGES", "PYTHON", "RECIPE", "SOURCE", "Item", "with_directories"]

PYTHON: Final = "3.13"
"""The one Python of the image: which wheels are taken, and what compiles the bytecode."""

DIST_PACKAGES: Final = f"usr/local/lib/python{PYTHON}/dist-packages"
"""Where wheels and our packages go: Debian's Python looks there, and no Debian package writes
there."""

SOURCE: Final = "strongroom"
RECIPE: Final = "recipe"


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the image.

    Attributes:
        node: Path, mode and content.
        origin: Who made the content.
        compiled_from: Of bytecode, the path of its source.
    """

    node: Node
    origin: str
    compiled_from: str = ""

    @property
    def path(self) -> str:
        """The path in the image, relative to the root."""
        return self.node.path

    @property
    def kind(self) -> str:
        """`file`, `directory`, `link`, `character device`."""
        return kind_of(self.node.mode)

    @property
    def sha256(self) -> str:
        """Of the content, of a link its target; hexadecimal."""
        return hashlib.sha256(self.node.content).hexdigest()

    @classmethod
    def file(cls, path: str, content: bytes, origin: str, compiled_from: str = "") -> "Item":
        """Returns a file that everyone may read and nobody may write or run."""
        return cls(Node.file(path, content, 0o644), origin, compiled_from)

    @classmethod
    def link(cls, path: str, target: str, origin: str) -> "Item":
        """Returns a symbolic link."""
        return cls(Node.link(path, target), origin)

    def executable(self) -> "Item":
        """Returns the same file, for everyone to run."""
        node = Node(self.path, stat.S_IFREG | 0o755, self.node.content)
        return Item(node, self.origin, self.compiled_from)


def with_directories(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items and every directory above them, 0755 and root's, none twice.

    Directories of packages are not taken over: those that would be empty are not made, and their
    modes are one.
    """
    made: set[str] = set()
    kept = list(items)
    made.update(item.path for item in kept if item.kind == "directory")
    for item in kept:
        yield item
        parent = posixpath.dirname(item.path)
        while parent and parent not in made:
            made.add(parent)
            yield Item(Node.directory(parent), RECIPE)
            parent = posixpath.dirname(parent)
