"""The table of codes and rules is whole, and the README carries it."""

import pytest
from strongroom_host.cli.app import app
from strongroom_host.cli.explain import CODES, RULES, figures, markdown_table
from strongroom_host.cli.log_words import ALARMS, PROBLEMS, log_table
from strongroom_host.log.monitor_state import Alarm
from strongroom_host.log.verify import Problem
from strongroom_wire.errors import Code, Rule
from typer.testing import CliRunner


def test_every_code_and_rule_is_explained() -> None:
    assert list(CODES) == list(Code)
    assert list(RULES) == list(Rule)
    assert list(PROBLEMS) == list(Problem)
    assert list(ALARMS) == list(Alarm)


def test_a_finding_of_a_log_is_explained_by_its_code() -> None:
    for problem in Problem:
        done = CliRunner().invoke(app, ["explain", problem.code])
        assert (done.exit_code, PROBLEMS[problem].remedy in done.output) == (0, True)


def test_an_alarm_of_the_monitor_is_explained_by_its_name() -> None:
    for alarm in Alarm:
        done = CliRunner().invoke(app, ["explain", alarm.value])
        assert (done.exit_code, ALARMS[alarm].remedy in done.output) == (0, True)


def test_a_slip_of_the_pen_gets_the_name_that_was_meant() -> None:
    done = CliRunner().invoke(app, ["explain", "MARKETS"])
    assert done.exit_code == 2
    assert "did you mean MARKET?" in done.output
    assert "did you mean" not in CliRunner().invoke(app, ["explain", "xyzzy"]).output


@pytest.mark.parametrize(
    "entry",
    [*list(CODES.values())[1:], *list(RULES.values())[1:], *PROBLEMS.values(), *ALARMS.values()],
)
def test_every_entry_says_what_was_wrong_expected_and_to_do(entry: object) -> None:
    for field in ("wrong", "expected", "remedy"):
        text = getattr(entry, field)
        assert len(text) > 3
        assert text == text.strip()
        assert not text.endswith(".")
        assert "|" not in text


def test_every_rule_has_a_unit() -> None:
    assert all(words.unit for rule, words in RULES.items() if rule is not Rule.NONE)


@pytest.mark.parametrize(
    ("rule", "limit", "actual", "shown"),
    [
        (Rule.ORDER_NOTIONAL, 25_000_000, 25_000_001, ("25.000000 pUSD", "25.000001 pUSD")),
        (Rule.PRICE_BAND, 950_000, 960_000, ("0.950000", "0.960000")),
        (Rule.TIMESTAMP, 30_000, 31_500, ("30.000 s", "31.500 s")),
        (Rule.RATE, 60, 61, ("60", "61")),
        (Rule.MARKET, 0, 1, ("listed", "not listed")),
        (Rule.LIFETIME, 5, 6, ("5 s since 1970", "6 s since 1970")),
        (Rule.PERMIT_EXPIRED, 1000, 2500, ("1.000 s since 1970", "2.500 s since 1970")),
        (Rule.BUDGET_NOTIONAL, 0, 2**64 - 1, ("0.000000 pUSD", "more than can be shown")),
    ],
)
def test_figures_are_in_the_rules_unit(
    rule: Rule, limit: int, actual: int, shown: tuple[str, str]
) -> None:
    assert figures(rule, limit, actual) == shown


def test_the_table_of_what_can_be_wrong_with_a_log_has_a_row_for_each() -> None:
    lines = log_table().splitlines()
    assert len(lines) == 2 + len(Problem) + len(Alarm)
    assert all(line.count("|") == 5 for line in lines)


def test_the_markdown_table_has_a_row_for_each() -> None:
    lines = markdown_table().splitlines()
    assert len(lines) == 2 + len(Code) - 1 + len(Rule) - 1
    assert all(line.count("|") == 5 for line in lines)
    for code in Code:
        assert (code is Code.OK) or any(f" {int(code)} {code.name} |" in line for line in lines)
