"""What commands print: tables and sentences for people on stdout, JSON for programs, warnings on
stderr so that they never end up in a pipe."""

import json
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_json", "say", "table", "warn"]


def say(text: str | Text) -> None:
    """Prints a sentence, exactly as it is."""
    Console(highlight=False, soft_wrap=True).print(Text(text) if isinstance(text, str) else text)


def warn(text: str) -> None:
    """Prints a warning on stderr."""
    message = Text("warning: ", style="bold yellow").append(text, style="not bold default")
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
        shown.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    Console(highlight=False).print(shown)
