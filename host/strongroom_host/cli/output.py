"""What commands print: tables and sentences for people on stdout, JSON for programs, warnings on
stderr so that they never end up in a pipe.

A host's error text or a venue's answer may be among it. Printed as it came, it could move the
cursor and write, say, that the kill switch was thrown; so what is not printable is shown escaped.
"""

import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_json", "say", "table", "warn"]


def say(text: str | Text, *, wrap: bool = False) -> None:
    """Prints a sentence, exactly as it is; with `wrap` a terminal gets whole words on each line.

    Not for what somebody may copy, such as commands and digests.
    """
    console = Console(highlight=False)
    soft = not (wrap and console.is_terminal)
    console.print(_literal(text), soft_wrap=soft)


def warn(text: str) -> None:
    """Prints a warning on stderr."""
    message = Text("warning: ", style="bold yellow")
    message.append(_literal(text).plain, style="not bold default")
    Console(stderr=True, highlight=False, soft_wrap=True).print(message)


def print_json(value: object) -> None:
    """Prints plain values, lists and maps as indented JSON."""
    Console(highlight=False, soft_wrap=True).out(json.dumps(value, indent=2), highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Prints a table; cells are taken literally, whoever wrote them."""
    shown = Table(title=title, title_justify="left", show_lines=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*map(_literal, row))
    Console(highlight=False).print(shown)


def _literal(text: str | Text) -> Text:
    if isinstance(text, Text):
        return text
    lines = text.replace("\r\n", "\n")
    shown = (c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in lines)
    return Text("".join(shown))
