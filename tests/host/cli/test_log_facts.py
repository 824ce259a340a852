"""A leaf, and what it commits to, as a person reads it: amounts in their unit, times as times."""

import pytest
from strongroom_host.cli.log_facts import say_leaf, say_record
from strongroom_host.cli.log_time import shown_time
from strongroom_wire.leaves import Kind, Leaf


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    return {line[2:18].strip(): line[18:] for line in lines}


def test_a_denial_has_its_figures_in_the_rules_unit(capsys: pytest.CaptureFixture[str]) -> None:
    say_record({"rule": "ORDER_NOTIONAL", "limit": 25_000_000, "asked": 61_000_000})
    lines = said(capsys)
    assert (lines["limit"], lines["asked"]) == ("25.000000 pUSD", "61.000000 pUSD")


def test_a_time_is_said_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    say_record({"not_before_ms": 0, "not_after_ms": 1_795_337_968_695})
    lines = said(capsys)
    assert lines == {"not before": "no time", "not after": "2026-11-22 08:59:28.695Z"}


def test_no_value_looks_like_a_program_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    say_record(
        {
            "continues": {"size": 1, "root": "ab"},
            "abandons": None,
            "unlock_share": True,
            "signed_by": ["aa", "bb"],
            "orders": [],
            "budgets": {"main": {"notional": "200.000000", "orders": 1}},
        }
    )
    assert said(capsys) == {
        "continues": "1 leaf, root ab",
        "abandons": "none",
        "unlock share": "yes",
        "signed by": "aa, bb",
        "orders": "none",
        "budgets": "main: 200.000000 pUSD in 1 order",
    }


def test_a_leaf_says_its_own_part(capsys: pytest.CaptureFixture[str]) -> None:
    signed = Leaf(Kind.SIGNED, bytes(32), 3, 1_795_251_572_470, bytes(32))
    say_leaf(signed)
    lines = said(capsys)
    assert (lines["kind"], lines["index"]) == ("SIGNED", "3")
    assert lines["time"] == "2026-11-21 08:59:32.470Z"


def test_what_is_not_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    say_record(None)
    assert "no opening is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "no time"),
        (1, "1970-01-01 00:00:00.001Z"),
        (1_795_251_572_999, "2026-11-21 08:59:32.999Z"),
        ((1 << 64) - 1, f"{(1 << 64) - 1} ms"),
    ],
)
def test_any_number_of_ms_is_shown_as_two_words(ms: int, text: str) -> None:
    assert shown_time(ms) == text
    assert len(text.split()) == 2
