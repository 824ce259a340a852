"""The troubleshooting table: every reason, in the words that the program itself uses."""

from __future__ import annotations

import re
from pathlib import Path

from strongroom_host.relay.admission import FORWARDED
from strongroom_host.relay.reasons import WORDS, Reason, Rejected

README = Path(__file__).parents[3] / "host" / "strongroom_host" / "relay" / "README.md"


def test_every_reason_has_words_and_a_remedy() -> None:
    assert set(WORDS) == set(Reason)
    for reason in Reason:
        error = Rejected(reason, "seen")
        assert error.what == WORDS[reason].meaning
        assert len(error.what) > 10
        assert len(error.remedy) > 10


def test_the_table_is_complete_and_says_the_same() -> None:
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.+) \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert rows == [
        (reason.label, WORDS[reason].meaning, WORDS[reason].remedy) for reason in Reason
    ]


def test_what_is_forwarded_is_what_the_table_says() -> None:
    table = README.read_text().partition("| forwarded |")[2].partition("**May import**")[0]
    named = set(re.findall(r"`((?:POST|GET|DELETE) [^`]+)`", table))
    shown = {line.replace("{64 hex digits}", "...").partition("[")[0] for line in FORWARDED}
    assert named == shown


def test_reasons_are_numbered_for_good() -> None:
    """They travel: a number never means another thing."""
    assert {reason.label: int(reason) for reason in Reason} == {
        "truncated": 1,
        "unknown_type": 2,
        "v1_forged": 10,
        "v1_stale": 11,
        "v1_ahead": 12,
        "v1_before_start": 13,
        "v1_replayed": 14,
        "v1_seen_full": 15,
        "v1_off": 16,
        "hello_forged": 20,
        "start_outdated": 21,
        "start_forged": 22,
        "start_replayed": 23,
        "sessions_full": 24,
        "unknown_session": 30,
        "forged": 31,
        "replayed": 32,
        "too_old": 33,
        "malformed": 34,
        "expired": 40,
        "deadline_too_far": 41,
        "fragments_contradict": 42,
        "fragments_full": 43,
        "request_too_long": 44,
        "not_a_request": 45,
        "wrong_host": 46,
        "not_allowed": 47,
        "queue_full": 48,
        "messages_full": 49,
        "draining": 50,
        "not_a_cancel": 51,
        "deposits_full": 52,
        "message_reused": 53,
        "no_connection": 60,
        "upstream_broke": 61,
        "upstream_silent": 62,
        "upstream_not_http": 63,
        "answer_too_long": 64,
        "answer_gone": 65,
    }
