"""What is answered, over real HTTP, to who may have it."""

from base64 import b64decode
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256

import pytest
from strongroom_host.gateway import reading
from strongroom_host.gateway.keys import Scope
from strongroom_host.log.proofs import verify_inclusion
from strongroom_host.metrics.linking import Span, aggregate
from strongroom_host.metrics.measures import measure
from strongroom_host.metrics.plain import plain_metrics
from strongroom_host.metrics.sampling import Convention
from strongroom_host.metrics.series import Flag, Period, Series
from strongroom_wire.bundle import LogHead
from strongroom_wire.merkle import leaf_hash

from tests.host.gateway.world import HOURS, World, hour_ms, value_of

RETURNS = "/v1/accounts/ada-spot/returns"
JSON_PATHS = [
    "/v1/accounts",
    RETURNS,
    "/v1/accounts/ada-spot/balances",
    "/v1/accounts/ada-spot/aggregates",
    "/v1/accounts/ada-spot/metrics?convention=365",
    f"{RETURNS}/{hour_ms(3)}/evidence",
    "/v1/key",
    "/v1/completeness",
]


def series() -> Series:
    periods = [
        Period(hour_ms(hour), 1, None if hour == 7 else Decimal(value_of(hour)),
               Flag(8) if hour == 7 else Flag(0), Decimal("1000.000000000000000001"))
        for hour in range(HOURS)
        if hour != 20
    ]  # fmt: skip
    return Series.of(periods)


def test_accounts_are_listed_with_what_was_disclosed(world: World) -> None:
    key, _ = world.key()
    found = world.get("/v1/accounts", key).json()["accounts"]
    assert [row["account"] for row in found] == ["ada-spot", "bob-perp"]
    assert found[0] == {
        "account": "ada-spot",
        "user": "ada",
        "venue": "binance",
        "environment": "test",
        "currency": "USDT",
        "start_ms": hour_ms(0),
        "end_ms": hour_ms(HOURS),
        "newest_leaf": 111,
    }


def test_returns_are_exact_texts_and_flags_stand_instead(world: World) -> None:
    key, _ = world.key()
    found = world.get(f"{RETURNS}?limit=1000", key).json()
    rows = {row["start_ms"]: row for row in found["returns"]}
    assert len(rows) == HOURS - 1
    assert found["next"] is None
    for hour in range(HOURS):
        if hour == 20:
            assert hour_ms(hour) not in rows
            continue
        row = rows[hour_ms(hour)]
        assert row["value"] == (None if hour == 7 else value_of(hour))
        assert row["closing"] == "1000.000000000000000001"
        assert row["end_ms"] == hour_ms(hour + 1)
        assert row["environment"] == "test"
    assert rows[hour_ms(7)]["why"] == ["gap"]


def test_a_span_of_time_is_what_is_listed(world: World) -> None:
    key, _ = world.key()
    path = f"{RETURNS}?from_ms={hour_ms(5)}&until_ms={hour_ms(9)}"
    found = world.get(path, key).json()["returns"]
    assert [row["start_ms"] for row in found] == [hour_ms(hour) for hour in range(5, 9)]


def test_balances_keep_every_digit(world: World) -> None:
    key, _ = world.key()
    found = world.get("/v1/accounts/ada-spot/balances?limit=2", key).json()["balances"]
    assert [row["equity"] for row in found] == [
        "1234567890123456789012.000000000000000001",
        "1234567890123456789013.000000000000000001",
    ]


@pytest.mark.parametrize("span", list(Span))
def test_aggregates_are_those_of_the_metrics_package(world: World, span: Span) -> None:
    key, _ = world.key()
    path = f"/v1/accounts/ada-spot/aggregates?span={span.value}"
    found = world.get(path, key).json()["aggregates"]
    expected = aggregate(series(), span).periods
    assert [(row["start_ms"], row["hours"], row["value"]) for row in found] == [
        (p.start_ms, p.hours, None if p.value is None else f"{p.value:f}") for p in expected
    ]


def test_aggregates_are_paged_without_a_seam(world: World) -> None:
    key, _ = world.key()
    path = "/v1/accounts/ada-spot/aggregates?span=day"
    whole = world.get(path, key).json()["aggregates"]
    rows, cursor = [], ""
    while True:
        page = world.get(f"{path}&limit=1{cursor}", key).json()
        rows += page["aggregates"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert rows == whole
    assert len(whole) > 2


def test_metrics_are_those_of_the_metrics_package(world: World) -> None:
    key, _ = world.key()
    path = "/v1/accounts/ada-spot/metrics?convention=8760&riskless=0.04"
    found = world.get(path, key).json()["metrics"]
    assert found == plain_metrics(measure(series(), Convention.HOURS, riskless=Decimal("0.04")))
    assert found["twr"] is None  # an hour of it has a gap


def test_what_takes_too_many_rows_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = world.key()
    path = "/v1/accounts/ada-spot/metrics?convention=365"
    monkeypatch.setattr(reading, "MAX_PERIODS", HOURS - 1)
    assert world.get(path, key).status_code == 200
    monkeypatch.setattr(reading, "MAX_PERIODS", HOURS - 2)
    answer = world.get(path, key)
    assert (answer.status_code, answer.json()["code"]) == (422, "range-too-long")
    assert world.get(f"{path}&from_ms={hour_ms(1)}", key).status_code == 200


def test_nothing_disclosed_of_a_time_is_said(world: World) -> None:
    key, _ = world.key()
    for path in ("metrics?convention=365&", "aggregates?"):
        answer = world.get(f"/v1/accounts/ada-spot/{path}until_ms=1", key)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert world.get(f"{RETURNS}/{hour_ms(20)}/evidence", key).status_code == 404


def test_each_question_is_a_short_transaction_that_only_reads(world: World) -> None:
    _, kept = world.key()
    with world.reader._seeing(kept.access) as connection:
        shown = [connection.execute(f"SHOW {name}").fetchone()
                 for name in ("transaction_read_only", "statement_timeout")]  # fmt: skip
    assert shown == [("on",), ("10s",)]


def test_evidence_leads_from_the_row_to_the_receipts_root(world: World) -> None:
    key, _ = world.key()
    for hour in (0, 3, 14, 22):  # 20 is missing, so 21 to 24 cannot be proved
        answer = world.get(f"{RETURNS}/{hour_ms(hour)}/evidence", key)
        if hour == 22:
            assert answer.status_code == 500
            assert answer.json()["code"] == "gateway-at-fault"
            continue
        found = answer.json()
        group = [f"ada-spot row {hour - hour % 5 + i}".encode() for i in range(5)]
        encoded = b64decode(found["encoded"])
        assert encoded == group[found["position"]]
        assert b64decode(found["receipt"]) == f"ada-spot receipt {hour // 5}".encode()
        assert (found["rows"], found["leaf_index"]) == (5, 100 + hour // 5)
        path = [bytes.fromhex(each) for each in found["row_path"]]
        verify_inclusion(leaf_hash(encoded), hour % 5, LogHead(5, root_of(group)), path)


def root_of(rows: list[bytes]) -> bytes:
    """RFC 6962, 2.1, as it is written there."""
    if len(rows) == 1:
        return sha256(b"\0" + rows[0]).digest()
    split = 1 << (len(rows) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(rows[:split]) + root_of(rows[split:])).digest()


def test_a_rows_and_receipts_bytes_are_passed_through(world: World) -> None:
    key, _ = world.key()
    for what, data in (("encoded", b"ada-spot row 3"), ("receipt", b"ada-spot receipt 0")):
        answer = world.get(f"{RETURNS}/{hour_ms(3)}/{what}", key)
        assert answer.content == data
        assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("path", JSON_PATHS)
def test_every_answer_says_what_completeness_means_and_does_not(world: World, path: str) -> None:
    key, _ = world.key()
    answer = world.get(path, key)
    assert answer.status_code == 200, answer.text
    said = answer.json()["completeness"]
    assert "first trade" in said["means"]
    assert any("no other account" in each for each in said["does_not_mean"])
    assert any("not 0" in each for each in said["does_not_mean"])
    assert '</v1/completeness>; rel="describedby"' in answer.headers["link"]


@pytest.mark.parametrize("path", JSON_PATHS)
def test_what_has_not_changed_is_not_sent_again(world: World, path: str) -> None:
    key, _ = world.key()
    first = world.get(path, key)
    tag = first.headers["etag"]
    again = world.get(path, key, **{"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert world.get(path, key, **{"If-None-Match": '"other"'}).content == first.content


def test_other_answers_have_other_tags(world: World) -> None:
    key, _ = world.key()
    tags = {world.get(f"{RETURNS}?limit={n}", key).headers["etag"] for n in (1, 2, 3)}
    assert len(tags) == 3


def test_the_log_is_passed_through_as_bytes_to_anybody(start: Callable[..., World]) -> None:
    class Log:
        def read(self, path: str) -> bytes | None:
            return {"checkpoint": b"a note\n", "tile/0/000": b"\0" * 32,
                    "boots/index": b"x\n"}.get(path)  # fmt: skip

    world = start(log=Log())
    answer = world.get("/v1/log/checkpoint")
    assert (answer.content, answer.headers["cache-control"]) == (b"a note\n", "public, no-cache")
    tile = world.get("/v1/log/tile/0/000")
    assert tile.content == bytes(32)
    assert "immutable" in tile.headers["cache-control"]
    assert world.get("/v1/log/boots/index").content == b"x\n"
    assert world.get("/v1/log/tail.0").status_code == 404
    assert start().get("/v1/log/checkpoint").status_code == 404


def test_without_a_log_nothing_is_proved(world: World) -> None:
    key, _ = world.key()
    answer = world.get(f"{RETURNS}/{hour_ms(3)}/proof", key)
    assert (answer.status_code, "no log" in answer.text) == (404, True)
    other, _ = world.key((Scope.RETURNS,))
    assert world.get(f"{RETURNS}/{hour_ms(3)}/proof", other).status_code == 403


def test_a_key_says_what_it_may_do(world: World) -> None:
    key, kept = world.key((Scope.RETURNS,), ("ada",))
    found = world.get("/v1/key", key).json()
    assert (found["scopes"], found["users"]) == (["returns"], ["ada"])
    assert (found["key"], found["expires_ms"]) == (kept.id, kept.expires_ms)


def test_a_page_that_takes_all_is_the_last(world: World) -> None:
    key, _ = world.key(scopes=(Scope.RETURNS, Scope.BALANCES))
    for listing in ("returns", "balances"):
        place = f"/v1/accounts/ada-spot/{listing}"
        whole = world.get(f"{place}?limit=1000", key).json()
        count = len(whole[listing])
        assert count > 2
        assert world.get(f"{place}?limit={count}", key).json() == whole
        assert world.get(f"{place}?limit={count - 1}", key).json()["next"]
