"""`strongroom explain`: what a code or a policy rule means, and the README's table of them."""

from difflib import get_close_matches
from typing import Annotated

import typer
from strongroom_wire.errors import Code, Rule

from strongroom_host.cli.explain import CODES, RULES, Explanation, markdown_table
from strongroom_host.cli.log_words import ALARMS, PROBLEMS, log_table
from strongroom_host.cli.output import say
from strongroom_host.errors import BadInput
from strongroom_host.log.monitor_state import Alarm
from strongroom_host.log.verify import Problem

__all__ = ["explain"]


def explain(
    name: Annotated[
        str | None, typer.Argument(metavar="[CODE|RULE|PROBLEM]", help="A number or a name.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the whole table, for the README.")
    ] = False,
) -> None:
    """Say what a code of the enclave, a rule of the policy, or a problem of a log means."""
    if markdown or name is None:
        say(markdown_table())
        say(log_table().rstrip("\n"))
        return
    for title, words in _find(name):
        say(title)
        for label, text in (
            ("wrong", words.wrong),
            ("expected", words.expected),
            ("do", words.remedy),
        ):
            say(f"  {label:<9}{text}")


def _find(name: str) -> list[tuple[str, Explanation]]:
    """Everything of that name: a code and a problem of a log may share one."""
    wanted = name.upper().replace("-", "_")
    found = [
        (f"{int(code)} {code.name}", words)
        for code, words in CODES.items()
        if wanted in (str(int(code)), code.name)
    ]
    found += [(f"rule {rule.name}", words) for rule, words in RULES.items() if wanted == rule.name]
    found += [
        (f"log: {problem.code}", words)
        for problem, words in PROBLEMS.items()
        if wanted == problem.name
    ]
    found += [
        (f"log watch: {alarm.value}", words)
        for alarm, words in ALARMS.items()
        if wanted == alarm.name
    ]
    if found:
        return found
    raise BadInput(
        f"{name!r} is neither a code nor a rule, nor a problem of a log",
        expected="a number or name out of the table that `strongroom explain` prints",
        remedy=_nearest(wanted),
    )


def _nearest(wanted: str) -> str:
    names = [each.name for kind in (Code, Rule, Problem, Alarm) for each in kind]
    near = dict.fromkeys(get_close_matches(wanted, names))
    return f"did you mean {' or '.join(near)}?" if near else ""
