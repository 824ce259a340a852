"""The table of venues says nothing that it has no words for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from strongroom_enclave.record.connectors.rules import VENUES, Venue
from strongroom_enclave.record.events import FlowKind
from strongroom_enclave.venues import HOSTS

TIMES = {"$since", "$until", "$since_s", "$until_s", "$since_iso", "$until_iso"}
ONWARDS = {"$next", "$from", "$page", "$offset"}
LEAST: dict[str, Any] = {
    "opened": "2020-01-01T00:00:00Z",
    "holder": ["c", "p"],
    "balances": {"spot": {"call": "c", "rows": "r", "asset": "a", "plus": ["b"]}},
    "rules": {
        "trades": {
            "call": "c",
            "given": {},
            "row": {"id": "i", "time": "t", "amount": "a"},
            "event": "TRADE",
            "size": 10,
        }
    },
}


def test_every_venue_has_hosts_and_every_host_a_venue() -> None:
    assert VENUES.keys() == HOSTS.keys()


@pytest.mark.parametrize("venue", VENUES)
def test_placeholders_and_events_are_known(venue: str) -> None:
    for rule in VENUES[venue].rules.values():
        told = {value for value in rule.given.values() if value.startswith("$")}
        assert told <= TIMES | ONWARDS | {"$place"}
        assert len(told & ONWARDS) <= 1
        assert ("$place" in told) == (rule.places != ("",))
        assert bool(rule.next) <= ("$next" in told)
        events = [rule.event] if isinstance(rule.event, str) else [*rule.event.values()]
        assert {event.removeprefix("-") for event in events} <= {
            *FlowKind.__members__,
            "TRADE",
            "SKIP",
        }
        assert bool(rule.row.kind) == isinstance(rule.event, dict)
        assert bool(rule.row.status) == bool(rule.done)
        if "TRADE" in events:
            assert rule.row.symbol
            assert rule.row.side
            assert rule.row.price
        # What is sent as a size is the size that a full page is told by.
        assert {value for value in rule.given.values() if value.isdecimal()} <= {
            str(rule.size),
            "2",
        }


def test_the_least_that_a_venue_says_is_enough() -> None:
    assert msgspec.convert(LEAST, Venue).rules["trades"].size == 10


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("opened", "yesterday"),
        ("balance", {}),
        ("rules.trades.sise", 10),
        ("rules.trades.size", "10"),
        ("rules.trades.places", "INVERSE"),
        ("rules.trades.row.tmie", "t"),
        ("rules.trades.row.kind", "a"),
        ("rules.trades.given", {"a": 1}),
        ("balances.spot.plus", "b"),
        ("access", {"call": "c", "needs": "n", "forbids": []}),
    ],
)
def test_any_other_word_fails_at_import(path: str, value: object) -> None:
    table = msgspec.json.decode(msgspec.json.encode(LEAST))
    place = table
    *parts, last = path.split(".")
    for part in parts:
        place = place[part]
    place[last] = value
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, Venue)
