"""What the READMEs tell a person to type exists: commands, options, and the table of codes."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from strongroom_host.cli.app import COMMANDS, app
from strongroom_host.cli.explain import markdown_table
from strongroom_host.cli.log_words import log_table
from typer.main import get_command
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
READMES = (
    "README.md",
    "host/README.md",
    "host/deploy/README.md",
    "host/strongroom_host/archive/README.md",
    "host/strongroom_host/charts/README.md",
    "host/strongroom_host/leakage/README.md",
    "host/strongroom_host/metrics/README.md",
    "host/strongroom_host/record_store/README.md",
    "reproducible-build/README.md",
)


def command_lines() -> Iterator[str]:
    """Yields every `strongroom ...` line of the READMEs' code blocks, continuations joined."""
    for name in READMES:
        for block in re.findall(
            r"```(?:sh|console)?\n(.*?)```", (ROOT / name).read_text(), re.DOTALL
        ):
            for line in block.replace("\\\n", " ").splitlines():
                if line.removeprefix("$ ").startswith("strongroom "):
                    yield line.removeprefix("$ ")


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_every_documented_command_exists(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    context = typer.Context(command)
    while words and (found := getattr(command, "get_command", None)):
        inner = found(context, words[0])
        if inner is None:
            break
        command = inner
        words = words[1:]
    known = {name for parameter in command.params for name in parameter.opts}
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    assert command.name != "strongroom", line
    assert used <= known, (line, used - known)


def test_the_steps_use_every_group() -> None:
    used = {line.split()[1] for line in command_lines()}
    assert set(COMMANDS) - used <= {"demo", "attest", "eif", "explain"}


@pytest.mark.parametrize(("name", "table"), [("codes", markdown_table), ("log", log_table)])
def test_the_tables_of_codes_are_the_generated_ones(name: str, table: Callable[[], str]) -> None:
    text = (ROOT / "README.md").read_text()
    found = re.search(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert found is not None
    assert found[1].strip() == table().strip()


def test_one_code_or_rule_can_be_looked_up() -> None:
    runner = CliRunner()
    for name in ("110", "NO_CREDENTIAL", "no-credential"):
        shown = runner.invoke(app, ["explain", name])
        assert shown.exit_code == 0
        assert "strongroom provision enroll" in shown.stdout
    assert "rule RATE" in runner.invoke(app, ["explain", "rate"]).stdout
    both = f"{markdown_table()}\n{log_table()}".strip()
    assert runner.invoke(app, ["explain", "--markdown"]).stdout.strip() == both
    assert runner.invoke(app, ["explain", "nonsense"]).exit_code == 2
