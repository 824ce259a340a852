"""A command answers at once: it imports what it needs itself, and help text needs little."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import typer
from strongroom_host.cli.app import COMMANDS, SUMMARIES, app
from strongroom_host.cli.lazy import LazyGroup
from typer.main import get_command

HEAVY = {
    "aiohttp",
    "ccxt",
    "eth_account",
    "fastapi",
    "grpc",
    "httpx",
    "numpy",
    "onnxruntime",
    "psycopg",
    "strongroom_eif",
    "torch",
}
ASKED = (
    "import sys\n"
    "from strongroom_host.cli.main import main\n"
    "sys.argv[0] = 'strongroom'\n"
    "try:\n    main()\n"
    "except SystemExit: pass\n"
    "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
)


def imported(*arguments: str) -> set[str]:
    """Returns the packages that a command imports in a process of its own."""
    command = [sys.executable, "-c", ASKED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.rpartition("MODULES ")[2].split())


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], set()),
        (["demo", "--help"], set()),
        (["explain", "110"], set()),
        (["log", "--help"], set()),
        (["gateway", "run", "--help"], {"httpx", "psycopg"}),
    ],
)
def test_help_needs_nothing_heavy(arguments: list[str], needed: set[str]) -> None:
    assert imported(*arguments) & HEAVY <= needed


def lazy_groups() -> Iterator[tuple[str, LazyGroup]]:
    """Yields each group that loads its commands when they are used, with its name."""
    root = get_command(app)
    assert isinstance(root, LazyGroup)
    yield "strongroom", root
    for name in COMMANDS:
        found = root.get_command(typer.Context(root), name)
        if isinstance(found, LazyGroup):
            yield name, found


def listed(group: LazyGroup, **without: Mapping[str, str]) -> dict[str, str]:
    """Returns each command's line as the help text has it."""

    class Seen(type(group)):  # type: ignore[misc]  # whichever class it has
        SUMMARIES = without.get("summaries", group.SUMMARIES)

    found: dict[str, str] = {}
    group.__class__ = Seen
    context: Any = typer.Context(group)
    group._listing = True
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        told = command.short_help or command.help or ""
        found[name] = " ".join(told.split("\n\n")[0].split())
    return found


def test_summaries_are_what_the_commands_say_of_themselves() -> None:
    for name, group in lazy_groups():
        assert set(group.SUMMARIES) <= set(group.LATER)
        assert listed(group) == listed(group, summaries={}), name
    assert SUMMARIES.keys() == COMMANDS.keys()


def test_output_that_nobody_reads_on_is_no_failure() -> None:
    command = [sys.executable, "-m", "strongroom_host.cli.main", "explain", "--markdown"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
