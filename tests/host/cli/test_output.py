"""What is printed may come from a host or a venue, and must not drive the owner's terminal."""

from collections.abc import Callable

import pytest
from rich.text import Text
from strongroom_host.cli.output import say, table, warn

HOSTILE = "gone\x1b[2J\x1b]0;t\x07\x9b2J\u202e \r[bold]x[/bold]"


@pytest.mark.parametrize(
    "show", [say, warn, lambda text: table("Panic", ("step", "outcome"), [(Text("kill"), text)])]
)
def test_text_of_a_peer_cannot_drive_the_terminal(
    show: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    show(HOSTILE)
    shown = "".join(capsys.readouterr())
    assert not set("\x1b\x07\x9b\u202e\r") & set(shown)
    assert "\\x1b[2J" in shown
    assert "[bold]x[/bold]" in shown


def test_lines_of_a_request_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("POST /order HTTP/1.1\r\nHost: x\r\n")
    assert capsys.readouterr().out == "POST /order HTTP/1.1\nHost: x\n\n"
