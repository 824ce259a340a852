"""`system.toml`: what of each package stays out of the image and why, and what is added.

The choice is data, so that an auditor can read it without reading code: every pattern that keeps a
file out carries a reason, and one that keeps nothing out any more is an error, or the list would
slowly stop describing the image.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from strongroom_eif.archive_writer import Node
from strongroom_eif.recipe.content_errors import RulesMalformed, RuleStale
from strongroom_eif.recipe.contents import RECIPE, Item

__all__ = ["LeftOut", "Program", "Pruner", "Rules"]

FORMAT: Final = "strongroom-system/1"


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Files that stay out.

    Attributes:
        origins: Patterns of origins: `debian:*`.
        paths: Patterns of paths in the package; `*` stays within a component, `**` does not.
        why: The reason, for the reader.
        but: Patterns of those among them that go in all the same.
    """

    origins: tuple[str, ...]
    paths: tuple[str, ...]
    why: str
    but: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A file that may be run.

    Attributes:
        path: In the image.
        executable: Whether it gets the mode for that. A library can be a program by its headers
            alone, as the C library is.
        why: What it is there for.
    """

    path: str
    executable: bool
    why: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file of a package that is not in the image."""

    origin: str
    path: str
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class Rules:
    """The content of `system.toml`.

    Attributes:
        leave_out: In the file's order; the first that fits names the reason.
        directories: Made empty: where init mounts something.
        links: Path to target.
        programs: All that may be run.
        licences: Of packages that do not say so in a form a program can read, by origin.
        empty: Files without content, where a package's own would import what stays out.
    """

    leave_out: tuple[LeaveOut, ...]
    directories: tuple[str, ...]
    links: Mapping[str, str]
    programs: tuple[Program, ...]
    licences: Mapping[str, str]
    empty: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "Rules":
        """Returns the rules in a file.

        Raises:
            RulesMalformed: Naming the table at fault.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise RulesMalformed(f"{path.name} cannot be read: {error}") from error
        known = {"format", "leave-out", "directory", "link", "empty", "program", "licence"}
        check_members("the file", table, known)
        if table["format"] != FORMAT:
            raise RulesMalformed("another format of rules", expected=FORMAT, actual=table["format"])
        return cls(
            leave_out=tuple(
                LeaveOut(
                    _texts(row, "from"),
                    _texts(row, "paths"),
                    _text(row, "why"),
                    _texts(row, "but") if "but" in row else (),
                )
                for row in _rows(table, "leave-out", {"from", "paths", "why"}, optional={"but"})
            ),
            directories=tuple(
                _text(row, "path") for row in _rows(table, "directory", {"path", "why"})
            ),
            links={
                _text(row, "path"): _text(row, "target")
                for row in _rows(table, "link", {"path", "target", "why"})
            },
            empty=tuple(_text(row, "path") for row in _rows(table, "empty", {"path", "why"})),
            programs=tuple(
                Program(_text(row, "path"), _flag(row, "executable"), _text(row, "why"))
                for row in _rows(table, "program", {"path", "executable", "why"})
            ),
            licences={
                _text(row, "origin"): _text(row, "expression")
                for row in _rows(table, "licence", {"origin", "expression", "why"})
            },
        )

    def added(self) -> Iterator[Item]:
        """Yields what the recipe itself puts into the image: mount points, links, empty files, the
        console."""
        for path in self.directories:
            yield Item(Node.directory(path), RECIPE)
        for path, target in self.links.items():
            yield Item.link(path, target, RECIPE)
        for path in self.empty:
            yield Item.file(path, b"", RECIPE)
        # Opened by the kernel before it starts init, which would otherwise have no output.
        yield Item(Node.character_device("dev/console", 5, 1), RECIPE)

    def permitted(self, items: Iterable[Item]) -> list[Item]:
        """Returns the items with those that are programs made executable, and nothing else.

        Raises:
            RuleStale: A program that no item provides.
        """
        wanted = {program.path for program in self.programs if program.executable}
        found = [item.executable() if item.path in wanted else item for item in items]
        if missing := {p.path for p in self.programs} - {item.path for item in found}:
            raise RuleStale(
                f"system.toml names the program {min(missing)}, which nothing provides",
                remedy="correct its path in reproducible-build/system.toml, or remove it",
            )
        return found


@dataclass(slots=True)
class Pruner:
    """Decides file by file, and remembers what it left out and which patterns it needed."""

    rules: Rules
    left_out: list[LeftOut] = field(default_factory=list)
    _used: set[tuple[int, str]] = field(default_factory=set)

    def keeps(self, origin: str, path: str, size: int) -> bool:
        """Returns whether a package's file goes into the image."""
        for number, rule in enumerate(self.rules.leave_out):
            if not any(_fits(pattern, origin) for pattern in rule.origins):
                continue
            fitting = [pattern for pattern in rule.paths if _fits(pattern, path)]
            self._used.update((number, pattern) for pattern in fitting)
            kept = [pattern for pattern in rule.but if fitting and _fits(pattern, path)]
            self._used.update((number, pattern) for pattern in kept)
            if fitting and not kept:
                self.left_out.append(LeftOut(origin, path, size, rule.why))
                return False
        return True

    def check_all_used(self) -> None:
        """Refuses patterns that kept nothing out, and exceptions to them that kept nothing in.

        Raises:
            RuleStale: Naming the first.
        """
        for number, rule in enumerate(self.rules.leave_out):
            for pattern in (*rule.paths, *rule.but):
                if (number, pattern) not in self._used:
                    raise RuleStale(
                        f"the pattern {pattern} for {', '.join(rule.origins)} fits no file that "
                        "an earlier rule has not left out",
                        remedy="remove it from reproducible-build/system.toml, or correct it",
                    )


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*|\*|\?)", pattern)
    meaning = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces))


def _fits(pattern: str, text: str) -> bool:
    return _expression(pattern).fullmatch(text) is not None


# --- Reading -------------------------------------------------------------------------------------


def _rows(
    table: dict[str, object], name: str, members: set[str], optional: Iterable[str] = ()
) -> Iterator[dict[str, object]]:
    rows = table[name]
    if not isinstance(rows, list):
        raise RulesMalformed(f"{name} is no list of tables")
    for row in rows:
        if not isinstance(row, dict):
            raise RulesMalformed(f"{name} is no list of tables")
        check_members(f"a table {name}", row, members.union(row.keys() & set(optional)))
        if not row["why"]:
            raise RulesMalformed(f"a table {name} gives no reason: {row}")
        yield row


def check_members(where: str, table: Mapping[str, object], members: set[str]) -> None:
    """Refuses members that are unknown or absent: a mistyped one must not pass for none."""
    if wrong := sorted(table.keys() ^ members):
        word = "lacks" if wrong[0] in members else "has an unknown"
        raise RulesMalformed(
            f"{where} {word} {wrong[0]}", expected=sorted(members), actual=sorted(table)
        )


def _text(row: Mapping[str, object], name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise RulesMalformed(f"{name} is no text: {value!r}")
    return value


def _flag(row: Mapping[str, object], name: str) -> bool:
    value = row[name]
    if not isinstance(value, bool):
        raise RulesMalformed(f"{name} is neither true nor false: {value!r}")
    return value


def _texts(row: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = row[name]
    if not isinstance(value, list) or not value:
        raise RulesMalformed(f"{name} is no list of texts: {value!r}")
    return tuple(_text({name: entry}, name) for entry in value)
