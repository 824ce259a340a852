"""What the demo tells: chapters, proven claims, and the refusal that was expected and came."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from strongroom_host.errors import HostError

__all__ = ["Claim", "DemoFailed", "Story", "expect_refusal", "require"]

_INDENT: Final = 4
RefusalT = TypeVar("RefusalT", bound=Exception)


class DemoFailed(HostError):
    """A step did not do what it claims. Nothing after it would mean anything."""

    def __init__(self, what: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(
            f"the demo stopped: {what}",
            expected=expected,
            actual=actual,
            remedy="this should not happen; `strongroom host doctor` looks at the machine, and"
            " --keep DIR keeps the logs",
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that was checked: a stable name for programs, and a sentence for people."""

    name: str
    chapter: str
    sentence: str


@dataclass(slots=True)
class Story:
    """Prints while it happens, and keeps everything for the end. Without a console it only keeps.

    Attributes:
        claims: What was proven, in order.
        facts: Public values of this run, by name.
        seconds: Duration of each chapter.
    """

    console: Console | None
    claims: list[Claim] = field(default_factory=list)
    facts: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _chapter: str = ""

    @contextmanager
    def chapter(self, who: str, title: str) -> Iterator[None]:
        """Everything within is told under this heading, and timed."""
        self._chapter = title
        if self.console is not None:
            self.console.print()
        heading = Text(f"{len(self.seconds) + 1} ", style="bold cyan")
        self._print(heading.append(title, style="bold").append(f"  ({who})", style="dim"))
        started = time.perf_counter()
        yield
        self.seconds[title] = round(time.perf_counter() - started, 3)

    def proved(self, name: str, sentence: str) -> None:
        """Tells a claim whose check has just passed."""
        self.claims.append(Claim(name, self._chapter, sentence))
        self._line(self._mark(), "green", sentence)

    def note(self, sentence: str) -> None:
        """Tells something that is not a claim."""
        self._line("-" if self._ascii() else "·", "dim", sentence)

    def show(self, what: RenderableType) -> None:
        """Shows a table or a plot under what was told last."""
        if self.console is not None:
            self.console.print(Padding(what, (0, 0, 0, _INDENT)), highlight=False)

    @property
    def width(self) -> int:
        """How many characters wide what is shown may be."""
        return (80 if self.console is None else max(40, self.console.width)) - _INDENT

    @property
    def plain(self) -> bool:
        """Whether there is nothing but ASCII to show something with."""
        return self._ascii()

    def _line(self, mark: str, style: str, sentence: str) -> None:
        if self.console is None:
            return
        width = max(40, self.console.width)
        lines = Text(sentence).wrap(self.console, width - _INDENT)
        for number, line in enumerate(lines):
            line.rstrip()
            lead = Text(f"  {mark} " if number == 0 else "    ", style=style)
            self._print(lead + line)

    def _mark(self) -> str:
        return "ok" if self._ascii() else "✓"

    def _ascii(self) -> bool:
        return self.console is not None and not self.console.encoding.lower().startswith("utf")

    def _print(self, text: Text) -> None:
        if self.console is not None:
            self.console.print(text, soft_wrap=True, highlight=False)


def require(holds: bool, what: str, *, expected: object = None, actual: object = None) -> None:
    """Returns if `holds`; a claim that fails ends the demo.

    Raises:
        DemoFailed: it does not hold.
    """
    if not holds:
        raise DemoFailed(what, expected=expected, actual=actual)


def expect_refusal(kind: type[RefusalT], what: str, attempt: Callable[[], object]) -> RefusalT:
    """Returns the refusal of something that must be refused.

    Raises:
        DemoFailed: it was accepted, or refused for another reason.
    """
    try:
        attempt()
    except kind as refusal:
        return refusal
    except Exception as error:
        raise DemoFailed(
            f"{what}: refused for the wrong reason", expected=kind.__name__, actual=error
        ) from error
    raise DemoFailed(f"{what}: accepted", expected=kind.__name__, actual="no refusal")
