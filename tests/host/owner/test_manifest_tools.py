"""Drafting, lint, explanation and comparison of manifests."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.log.notes import SignatureType, VerifierKey
from strongroom_host.owner.errors import DocumentInvalid, UnknownManifestKey
from strongroom_host.owner.manifest_diff import Change, Effect, diff
from strongroom_host.owner.manifest_draft import (
    ALL_CALLS,
    finished,
    new_policy,
    next_version,
    owner_set,
    parse_client,
    parse_market,
    parse_money,
    parse_owner,
    parse_window,
    parse_witness,
    read_draft,
    rotated,
    with_key,
)
from strongroom_host.owner.manifest_explain import (
    explain_account,
    explain_clients,
    explain_key,
    explain_owners,
    explain_witnesses,
    span,
    worst_cases,
)
from strongroom_host.owner.manifest_lint import Severity, lint
from strongroom_wire.manifest import (
    Account,
    Client,
    Egress,
    Manifest,
    Market,
    OwnerChange,
    Tier,
    Window,
    Witness,
)
from strongroom_wire.statements import Budget

from tests.host.owner.samples import OwnerKeys, sample_manifest

OWNERS = OwnerKeys.new(3, 2)
BASE = sample_manifest(OWNERS)
edit = msgspec.structs.replace


def with_policy(index: int = 0, **changes: object) -> Manifest:
    """Returns the base with one key's policy changed."""
    keys = list(BASE.keys)
    keys[index] = edit(keys[index], policy=edit(keys[index].policy, **changes))
    return edit(BASE, keys=tuple(keys))


def with_first_key(**changes: object) -> Manifest:
    return edit(BASE, keys=(edit(BASE.keys[0], **changes), *BASE.keys[1:]))


def with_market(**changes: object) -> Manifest:
    markets = BASE.keys[0].policy.markets
    return with_policy(markets=(edit(markets[0], **changes), *markets[1:]))


def with_client(**changes: object) -> Manifest:
    return edit(BASE, clients=(BASE.clients[0], edit(BASE.clients[1], **changes)))


def with_egress(**changes: object) -> Manifest:
    return edit(BASE, egress=(edit(BASE.egress[0], **changes), BASE.egress[1]))


# --- drafting ------------------------------------------------------------------------------------


def test_the_sample_is_valid() -> None:
    assert Manifest.parse(BASE.serialise()) == BASE
    assert finished(BASE) == BASE


def test_options_are_read_exactly() -> None:
    assert parse_market("1:v3:sell,buy:0.05-0.950") == Market(
        "1", "v3", ("buy", "sell"), Decimal("0.05"), Decimal("0.950")
    )
    assert parse_window("60=0.000001") == Window(60, Decimal("0.000001"))
    assert parse_money("0.1", "x") == Decimal("0.1")
    assert parse_owner("ab" * 32) == "ab" * 32
    policy = new_policy((), order_notional="25", builder="0x" + "11" * 32)
    assert policy.builder == "11" * 32
    assert policy.metadata == "00" * 32


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        (parse_market, text)
        for text in ("", "1", "1:v2:buy", "1:v9:buy:0.1-0.2", "x:v2:buy:0.1-0.2",
                     "1:v2:hold:0.1-0.2", "1:v2::0.1-0.2", "1:v2:buy:0.1", "1:v2:buy:a-b",
                     "01:v2:buy:0.1-0.2", "-1:v2:buy:0.1-0.2", "٣:v2:buy:0.1-0.2")
    ]
    + [(parse_window, text) for text in ("", "60", "x=1", "60=x", "0=1", "60=-1", "60=1e3")]
    + [(parse_owner, text) for text in ("", "ab", "AB" * 32, "0x" + "ab" * 32)],
)  # fmt: skip
def test_malformed_options_are_refused(parser: Callable[[str], object], text: str) -> None:
    with pytest.raises(DocumentInvalid):
        parser(text)


@pytest.mark.parametrize("text", ["", "x", "-1", "NaN", "Infinity", "1e3", "1_000", "0x10"])
def test_money_is_plain_decimal(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        parse_money(text, "amount")


def test_a_client_is_named_by_its_card(tmp_path: Path) -> None:
    card = ClientIdentity.generate("bot").save(tmp_path)
    assert parse_client(str(card)).calls == ALL_CALLS
    assert parse_client(f"{card}=cancel,order").calls == ("order", "cancel")
    assert parse_client(f"{card}=").calls == ()
    with pytest.raises(DocumentInvalid, match="withdraw"):
        parse_client(f"{card}=order,withdraw")


def test_impossible_policies_and_owners_are_refused() -> None:
    with pytest.raises(DocumentInvalid):
        new_policy((), order_notional="25", builder="zz")
    with pytest.raises(DocumentInvalid):
        new_policy((), order_notional="25", max_skew=0)
    with pytest.raises(DocumentInvalid):
        new_policy((), order_notional="25", order_types="IOC")
    with pytest.raises(DocumentInvalid):
        owner_set((), 1)


@pytest.mark.parametrize(
    "broken",
    [
        with_first_key(venue="nowhere.example"),
        with_first_key(wallet="eoa"),
        with_first_key(per_boot=False),
        with_first_key(nonce_pool=4097),
        edit(BASE, keys=(BASE.keys[0], edit(BASE.keys[1], per_boot=False, nonce_pool=1))),
        with_market(max_price=Decimal(1)),
        with_market(min_price=Decimal("0.9")),
        edit(BASE, genesis=edit(BASE.genesis, quorum=4)),
        with_egress(development_roots=(b"der",)),
        with_policy(order_notional=Decimal("0.0000001")),
    ],
)
def test_what_the_enclave_would_refuse_is_not_drafted(broken: Manifest) -> None:
    with pytest.raises(DocumentInvalid, match="enclave would refuse"):
        finished(broken)


def test_a_key_and_its_venue_are_added_once() -> None:
    key = edit(BASE.keys[1], name="third")
    again = with_key(BASE, key, Egress("clob.polymarket.com", 443, (), ()))
    assert (len(again.keys), again.egress) == (3, BASE.egress)
    assert len(with_key(BASE, key, Egress("new.example", 443, (), ())).egress) == 3


def test_rotation_replaces_one_key_under_its_policy() -> None:
    after = rotated(BASE, "main", "main-2")
    assert after.version == 2
    assert [key.name for key in after.keys] == ["main-2", "other"]
    assert after.keys[0].policy == BASE.keys[0].policy
    with pytest.raises(UnknownManifestKey):
        rotated(BASE, "none", "x")
    with pytest.raises(DocumentInvalid):
        rotated(BASE, "main", "other")
    assert next_version(BASE).version == 2


def test_a_draft_may_be_written_loosely_but_not_wrongly(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(msgspec.json.encode(BASE))
    assert read_draft(path)[0] == BASE
    fields = msgspec.to_builtins(BASE)
    for broken in (b"", b"{", b"\xff", b"[" * 100_000, msgspec.json.encode({**fields, "extra": 1})):
        path.write_bytes(broken)
        with pytest.raises(DocumentInvalid):
            read_draft(path)


# --- lint ----------------------------------------------------------------------------------------


def texts(manifest: Manifest, data: bytes | None = None) -> str:
    return "\n".join(f"{f.severity.value} {f.where}: {f.text}" for f in lint(manifest, data))


def test_a_careful_manifest_has_few_findings() -> None:
    first, *others = BASE.clients
    calls = tuple(call for call in ALL_CALLS if call in (*first.calls, "log"))
    clients = (edit(first, calls=calls), *others)
    found = lint(edit(with_policy(), keys=BASE.keys[:1], egress=BASE.egress[:1], clients=clients))
    assert [f.severity for f in found] == []


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (edit(BASE, genesis=edit(BASE.genesis, keys=BASE.genesis.keys[:1], quorum=1)), "single"),
        (edit(BASE, genesis=edit(BASE.genesis, quorum=1)), "warning owners: any one of 3"),
        (edit(BASE, genesis=edit(BASE.genesis, quorum=3)), "note owners: all owners"),
        (edit(BASE, clients=()), "warning clients: no client"),
        (edit(BASE, clients=BASE.clients[:1] * 0 + (edit(BASE.clients[1], calls=("order",)),)),
         "warning clients: no client may cancel"),
        (BASE, "warning clients: no client may read the log"),
        (edit(BASE, clients=(edit(BASE.clients[0], calls=("order", "cancel")), BASE.clients[1])),
         "2 clients may ask for orders"),
        (edit(BASE, keys=()), "note keys: no trading key"),
        (edit(BASE, mode="development"), "note mode"),
        (with_egress(development_roots=(b"x",)), "error egress clob.polymarket.com"),
        (BASE, "note egress spare.example: no key trades there"),
        (BASE, "warning key other: an EOA key owns its funds"),
        (with_first_key(source="generate"), "controls the deposit wallet itself"),
        (with_first_key(source="import"), "copies may remain"),
        (with_policy(windows=()), "no limit by time window"),
        (with_policy(orders_per_minute=1000), "1000 orders a minute"),
        (with_policy(orders_per_minute=0), "no order at all"),
        (with_policy(markets=()), "no order at all"),
        (with_policy(order_types=()), "no order at all"),
        (with_policy(max_lifetime=30 * 86400), "30 days"),
        (with_policy(order_types=("GTC",)), "note key main: GTC orders rest"),
        (with_policy(windows=(Window(60, Decimal(1)),)), "smaller than one order"),
        (with_market(min_price=Decimal("0.01"), max_price=Decimal("0.99")), "nearly everything"),
        (with_first_key(venue="x.example"), "error key main"),
        (edit(BASE, witnesses=(), witness_quorum=0), "note witnesses: nobody outside"),
        (edit(BASE, witness_quorum=2), "note witnesses: all witnesses must cosign"),
        (edit(BASE, witness_quorum=3), "error witness quorum"),
    ],
)  # fmt: skip
def test_lint_says_what_is_unwise(manifest: Manifest, expected: str) -> None:
    assert expected in texts(manifest)


def test_lint_says_what_cannot_be_signed() -> None:
    assert "canonical" not in texts(BASE, BASE.serialise())
    assert "error file: the bytes are not the canonical form" in texts(
        BASE, msgspec.json.encode(BASE)
    )
    handover = edit(BASE, owner_changes=(OwnerChange(OwnerKeys.new(1, 1).spec, ()),))
    assert "error owner changes" in texts(handover)
    found = lint(handover)
    assert found[0].severity is Severity.ERROR
    assert all(finding.advice for finding in found)


# --- explain -------------------------------------------------------------------------------------


def test_a_key_is_explained_with_its_worst_case() -> None:
    summary = explain_key(BASE.keys[0], Budget("main", 500_000_000, 40))
    assert "cannot withdraw" not in summary.what
    assert "trade but not withdraw" in summary.what
    assert summary.per_order == "25 pUSD"
    assert summary.per_window == ("100 pUSD in any 1 hour", "400 pUSD in any 1 day")
    assert summary.per_permit == "500 pUSD, 40 orders"
    assert "buy and sell 111 on v2 at 0.2 to 0.8" in summary.may
    assert explain_key(BASE.keys[0]).per_permit.startswith("what each start permit allows")


def test_the_worst_day_is_the_tightest_limit() -> None:
    assert worst_cases(BASE.keys[0]) == (Decimal(25), Decimal(400))
    loose = with_policy(windows=(Window(50_000, Decimal(300)),)).keys[0]
    assert worst_cases(loose)[1] == Decimal(600)
    assert worst_cases(with_policy(windows=()).keys[0])[1] == Decimal(25 * 60 * 1440)
    assert worst_cases(with_policy(orders_per_minute=0).keys[0])[1] is None


def test_owners_and_clients_are_explained() -> None:
    assert "2 of 3 owners" in explain_owners(BASE)[0]
    assert explain_clients(BASE.clients[0]) == "may carry permits and owner orders, cancel orders"
    assert explain_clients(Client("x", b"x", "aa" * 32, ())) == "may ask for nothing"
    assert explain_clients(Client("x", b"x", "aa" * 32, ALL_CALLS))


def test_witnesses_are_explained() -> None:
    assert "1 of 2 have cosigned it: w/a (dadadada…), w/b" in explain_witnesses(BASE)
    assert "Nobody outside" in explain_witnesses(edit(BASE, witnesses=(), witness_quorum=0))


def test_a_witness_is_named_by_its_vkey() -> None:
    key = VerifierKey("witness.example/w", bytes(31) + b"\1", SignatureType.COSIGNATURE)
    assert parse_witness(str(key)) == Witness("witness.example/w", "00" * 31 + "01")
    log = VerifierKey("witness.example/w", bytes(32))
    foreign = VerifierKey("wïtness", bytes(32), SignatureType.COSIGNATURE)
    for text in (str(log), str(foreign), str(key)[:-4], "", "w", "\ud800+00000000+AA=="):
        with pytest.raises(DocumentInvalid):
            parse_witness(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 second"), (90, "90 seconds"), (60, "1 minute"), (7200, "2 hours"), (86400, "1 day")],
)
def test_spans_are_readable(seconds: int, text: str) -> None:
    assert span(seconds) == text


# --- diff ----------------------------------------------------------------------------------------

MARKET = BASE.keys[0].policy.markets[0]
WIDER: list[Any] = [
    with_policy(order_notional=Decimal(26)),
    with_policy(orders_per_minute=61),
    with_policy(max_lifetime=3601),
    with_policy(max_skew=31),
    with_policy(order_types=("GTC", "GTD", "FOK")),
    with_policy(windows=BASE.keys[0].policy.windows[:1]),
    with_policy(windows=(Window(3600, Decimal(101)), Window(86400, Decimal(400)))),
    with_policy(markets=(*BASE.keys[0].policy.markets, edit(MARKET, token="333"))),
    with_market(max_price=Decimal("0.81")),
    with_market(min_price=Decimal("0.19")),
    with_market(exchange="v3"),
    with_first_key(funder="0x" + "44" * 20),
    with_first_key(venue="spare.example"),
    with_first_key(chain_id=80002),
    with_first_key(source="import"),
    with_first_key(wallet="proxy"),
    with_first_key(nonce_pool=1),
    edit(BASE, keys=(BASE.keys[0], edit(BASE.keys[1], name="new"))),
    edit(BASE, keys=(*BASE.keys, edit(BASE.keys[1], name="new"))),
    with_client(calls=("order", "template", "cancel", "query")),
    with_client(frame_key="dd" * 32),
    with_client(certificate=b"other"),
    edit(BASE, clients=(*BASE.clients, Client("new", b"n", "ee" * 32, ()))),
    with_egress(port=444),
    with_egress(roots=()),
    with_egress(roots=("cc" * 32, "dd" * 32)),
    with_egress(development_roots=(b"x",)),
    edit(BASE, egress=(*BASE.egress, Egress("more.example", 443, (), ()))),
    edit(BASE, mode="development"),
    edit(BASE, genesis=edit(BASE.genesis, quorum=1)),
    edit(BASE, owner_changes=(OwnerChange(OwnerKeys.new(1, 1).spec, ()),)),
    edit(BASE, witnesses=(), witness_quorum=0),
    edit(BASE, witnesses=(*BASE.witnesses, Witness("w/c", "dc" * 32))),
    edit(BASE, witnesses=(BASE.witnesses[0], Witness("w/b", "dd" * 32))),
]
NARROWER: list[Any] = [
    with_policy(order_notional=Decimal(24)),
    with_policy(orders_per_minute=59),
    with_policy(order_types=("GTD",)),
    with_policy(windows=(*BASE.keys[0].policy.windows, Window(60, Decimal(50)))),
    with_policy(windows=(Window(3600, Decimal(99)), Window(86400, Decimal(400)))),
    with_policy(markets=BASE.keys[0].policy.markets[:1]),
    with_market(sides=("buy",)),
    with_market(max_price=Decimal("0.79")),
    with_market(min_price=Decimal("0.21")),
    edit(BASE, keys=BASE.keys[:1]),
    edit(BASE, keys=(BASE.keys[0], edit(BASE.keys[1], per_boot=True))),
    with_client(calls=("order",)),
    edit(BASE, clients=BASE.clients[:1]),
    edit(BASE, egress=BASE.egress[:1]),
    edit(BASE, witnesses=BASE.witnesses[:1]),
    edit(BASE, witness_quorum=2),
]
OTHER: list[Any] = [
    edit(BASE, version=2),
    edit(BASE, account="other"),
    with_policy(builder="11" * 32),
    with_policy(metadata="11" * 32),
    with_policy(order_notional=Decimal("25.0")),
    with_market(min_price=Decimal("0.20")),
    with_client(calls=("cancel", "order", "query")),
    edit(BASE, keys=BASE.keys[::-1]),
    edit(BASE, clients=BASE.clients[::-1]),
    edit(BASE, egress=BASE.egress[::-1]),
    edit(BASE, witnesses=BASE.witnesses[::-1]),
    with_policy(markets=BASE.keys[0].policy.markets[::-1]),
    with_policy(windows=BASE.keys[0].policy.windows[::-1]),
    with_market(sides=("sell", "buy")),
]


ACCOUNT = Account(
    "main", "ada", "binance", "live", "USDT", 3_600_000, Tier(8, 5, Decimal("0.001"), True, 48)
)
KEPT = edit(BASE, accounts=(ACCOUNT, edit(ACCOUNT, name="second")))


def with_account(**changes: object) -> Manifest:
    return edit(KEPT, accounts=(edit(ACCOUNT, **changes), KEPT.accounts[1]))


def with_tier(**changes: object) -> Manifest:
    return with_account(tier=edit(ACCOUNT.tier, **changes))


SHOWS_MORE: list[Any] = [
    edit(KEPT, accounts=(*KEPT.accounts, edit(ACCOUNT, name="third"))),
    with_account(since_ms=0),
    with_tier(hours=1),
    with_tier(least_trades=4),
    with_tier(grid=Decimal("0.0009")),
    with_tier(grid=None),
    with_tier(longest=47),
    with_tier(embargo=False, longest=0),
]
SHOWS_LESS: list[Any] = [
    edit(KEPT, accounts=KEPT.accounts[:1]),
    with_account(since_ms=7_200_000),
    with_tier(hours=24),
    with_tier(least_trades=6),
    with_tier(grid=Decimal("0.0011")),
    with_tier(longest=49),
    with_tier(longest=0),
]


@pytest.mark.parametrize("after", SHOWS_MORE)
def test_what_shows_more_of_an_account_is_wider_only(after: Manifest) -> None:
    assert effects(diff(KEPT, after)) == {Effect.WIDER}
    assert effects(diff(after, KEPT)) == {Effect.NARROWER}


@pytest.mark.parametrize("after", SHOWS_LESS)
def test_what_shows_less_of_an_account_is_narrower_only(after: Manifest) -> None:
    assert effects(diff(KEPT, after)) == {Effect.NARROWER}
    assert effects(diff(after, KEPT)) == {Effect.WIDER}


@pytest.mark.parametrize(
    "change",
    [{"user": "bob"}, {"venue": "kraken"}, {"environment": "paper"}, {"currency": "EUR"}],
)
def test_another_account_under_the_same_name_is_wider_both_ways(change: dict[str, str]) -> None:
    assert effects(diff(KEPT, with_account(**change))) == {Effect.WIDER}
    assert effects(diff(with_account(**change), KEPT)) == {Effect.WIDER}


def test_what_shows_the_same_of_an_account_is_still_a_change() -> None:
    for after in (edit(KEPT, accounts=KEPT.accounts[::-1]), with_tier(grid=Decimal("0.0010"))):
        assert effects(diff(KEPT, after)) == {Effect.OTHER}


def test_an_account_is_explained() -> None:
    assert explain_account(ACCOUNT) == (
        "at binance, of ada, in USDT, from 1970-01-01 01:00 UTC on. Readers see spans of 8 hours"
        " with at least 5 trades, rounded to 0.001, once what was opened in them is closed or 48"
        " hours later"
    )
    paper = edit(ACCOUNT, environment="paper", since_ms=0, tier=Tier(1, 0, None))
    assert explain_account(paper) == (
        "at binance, with paper money, of ada, in USDT, from the first event that the venue tells"
        " of. Readers see each hour, exact"
    )


def test_lint_looks_at_accounts() -> None:
    assert "account" not in texts(KEPT)
    assert "no key trades there" not in texts(KEPT)
    assert "no trading key" not in texts(edit(KEPT, keys=()))
    assert "warning account main: every hour is shown exactly" in texts(
        with_account(tier=Tier(1, 0, None))
    )
    assert "note account main: test" in texts(
        edit(with_account(environment="test"), mode="development")
    )
    assert "error account main: refused by the enclave" in texts(with_account(venue="ftx"))


def effects(changes: list[Change]) -> set[Effect]:
    return {change.effect for change in changes}


def test_the_same_manifest_has_no_difference() -> None:
    assert diff(BASE, BASE) == []


@pytest.mark.parametrize("after", WIDER)
def test_what_makes_more_possible_is_wider(after: Manifest) -> None:
    assert diff(BASE, after)[0].effect is Effect.WIDER


@pytest.mark.parametrize("after", NARROWER)
def test_what_takes_away_is_narrower_only(after: Manifest) -> None:
    assert effects(diff(BASE, after)) == {Effect.NARROWER}


@pytest.mark.parametrize("after", NARROWER)
def test_undoing_a_restriction_is_wider(after: Manifest) -> None:
    assert Effect.WIDER in effects(diff(after, BASE))


def test_first_witnesses_take_away_and_the_last_ones_gone_give_back() -> None:
    none = edit(BASE, witnesses=(), witness_quorum=0)
    assert effects(diff(none, BASE)) == {Effect.NARROWER}
    assert effects(diff(BASE, none)) == {Effect.WIDER}
    assert effects(diff(edit(BASE, witness_quorum=2), BASE)) == {Effect.WIDER}


@pytest.mark.parametrize("after", OTHER)
def test_what_changes_no_power_is_still_shown(after: Manifest) -> None:
    assert after.serialise() != BASE.serialise()
    assert effects(diff(BASE, after)) == {Effect.OTHER}


def test_every_field_of_the_schema_is_compared() -> None:
    """Fields by name: a new one in the wire schema must show up in a list above."""
    fields: dict[str, tuple[str, ...]] = {
        name: kind.__struct_fields__
        for name, kind in {"manifest": Manifest, "market": Market, "client": Client,
                           "egress": Egress, "window": Window}.items()
    }  # fmt: skip
    assert fields["manifest"] == (
        "format", "version", "mode", "account", "genesis", "owner_changes", "clients", "keys",
        "egress", "accounts", "witnesses", "witness_quorum",
    )  # fmt: skip
    assert Account.__struct_fields__ == (
        "name", "user", "venue", "environment", "currency", "since_ms", "tier",
    )  # fmt: skip
    assert Tier.__struct_fields__ == ("hours", "least_trades", "grid", "embargo", "longest")
    assert Witness.__struct_fields__ == ("name", "key")
    assert fields["market"] == ("token", "exchange", "sides", "min_price", "max_price")
    assert fields["client"] == ("name", "certificate", "frame_key", "calls")
    assert fields["egress"] == ("host", "port", "roots", "development_roots")
    assert fields["window"] == ("seconds", "notional")
    assert type(BASE.keys[0]).__struct_fields__ == (
        "name", "source", "wallet", "funder", "chain_id", "venue", "per_boot", "policy",
        "nonce_pool",
    )  # fmt: skip
    assert type(BASE.keys[0].policy).__struct_fields__ == (
        "markets", "order_types", "order_notional", "windows", "orders_per_minute",
        "max_lifetime", "max_skew", "builder", "metadata",
    )  # fmt: skip
