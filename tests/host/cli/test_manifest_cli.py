"""`strongroom manifest` without an enclave: new, lint, explain, diff, rotation, hand-over."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_host.log.notes import SignatureType, VerifierKey
from strongroom_host.owner.signed import read_manifest
from strongroom_host.testnet.certificates import issue
from strongroom_wire.manifest import Account, Egress, Manifest, Tier

from tests.host.cli.world import Machine

MARKET = "1234:v2:buy,sell:0.2-0.8"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.run("owner", "init", "--no-passphrase")
    made.run("manifest", "new", "--account", "fund", "--out", tmp_path / "m.json", "--source",
             "session", "--funder", "0x" + "AB" * 20, "--market", MARKET, "--order-notional", "25",
             "--window", "3600=100")  # fmt: skip
    return made


def test_a_new_manifest_is_valid_and_careful(machine: Machine) -> None:
    manifest = Manifest.parse((machine.folder / "m.json").read_bytes())
    assert manifest.keys[0].funder == "0x" + "ab" * 20
    assert manifest.clients[0].calls == ("owner", "cancel", "query", "health")
    findings = machine.run("manifest", "lint", machine.folder / "m.json", "--json").json
    assert {finding["where"] for finding in findings} == {
        "owners",
        "key main",
        "witnesses",
        "clients",
    }
    assert all(finding["severity"] != "error" for finding in findings)


def test_a_nonce_pool_is_asked_for_by_key_and_warned_of(machine: Machine) -> None:
    path, pooled = machine.folder / "m.json", machine.folder / "pooled.json"
    options = ("manifest", "new", "--account", "fund", "--template", path, "--out")
    machine.run(*options, pooled, "--nonce-pool", "main=64")
    assert Manifest.parse(pooled.read_bytes()).keys[0].nonce_pool == 64
    assert b'"nonce_pool": 64' in pooled.read_bytes()
    assert b"nonce_pool" not in path.read_bytes(), "off unless asked for"
    findings = machine.run("manifest", "lint", pooled, "--json").json
    (warned,) = [finding for finding in findings if "nonces" in finding["text"]]
    assert (warned["severity"], warned["where"]) == ("warning", "key main")
    assert "private key" in warned["text"]
    assert "64 nonces made ahead" in machine.run("manifest", "explain", pooled).out
    assert "nonces" not in machine.run("manifest", "explain", path).out
    wider = machine.run("manifest", "diff", path, pooled).out
    assert "WIDER" in wider
    assert "nonces made ahead" in wider
    machine.run(*options, machine.folder / "off.json", "--nonce-pool", "main=0")
    assert (machine.folder / "off.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("main", "KEY=N"), ("main=", "KEY=N"), ("main=x", "KEY=N"), ("main=-1", "KEY=N"),
        ("main=4097", "0 to 4096"), ("main=1.5", "KEY=N"), ("other=8", "main"), ("=8", "main"),
    ],
)  # fmt: skip
def test_a_nonce_pool_that_is_none_is_explained(machine: Machine, text: str, says: str) -> None:
    options = ("manifest", "new", "--account", "fund", "--template", machine.folder / "m.json")
    refused = machine.run(*options, "--out", machine.folder / "n.json", "--nonce-pool", text,
                          expect=2)  # fmt: skip
    assert says in refused.err
    assert not (machine.folder / "n.json").exists()


def test_lint_fixes_the_spelling_and_nothing_else(machine: Machine) -> None:
    path = machine.folder / "m.json"
    canonical = path.read_bytes()
    path.write_bytes(canonical.replace(b"  ", b" "))
    refused = machine.run("manifest", "lint", path, expect=2)
    assert "canonical" in refused.out
    assert "enclave would refuse" in refused.err
    machine.run("manifest", "lint", path, "--fix")
    assert path.read_bytes() == canonical


def test_explain_speaks_plainly(machine: Machine) -> None:
    shown = machine.run("manifest", "explain", machine.folder / "m.json").out
    assert "Any single owner can stop signing at once" in shown
    assert "per order: 25 pUSD" in shown
    assert "per day: 2400 pUSD" in shown
    data = machine.run("manifest", "explain", machine.folder / "m.json", "--json").json
    assert data["keys"][0]["per_window"] == ["100 pUSD in any 1 hour"]


def test_rotation_is_a_new_version_with_a_visible_difference(machine: Machine) -> None:
    path, after = machine.folder / "m.json", machine.folder / "n.json"
    shown = machine.run("manifest", "next", path, "--out", after, "--rotate", "main=main-2")
    assert "WIDER" in shown.out
    changes = machine.run("manifest", "diff", path, after, "--json").json
    assert [(c["effect"], c["where"]) for c in changes] == [
        ("WIDER", "key main-2"), ("narrower", "key main"), ("changed", "version"),
    ]  # fmt: skip
    assert "no difference" in machine.run("manifest", "diff", after, after).out
    machine.run("manifest", "next", path, "--out", after, "--rotate", "main", expect=2)
    machine.run("manifest", "next", path, "--out", after, "--rotate", "none=x", expect=2)


def test_a_template_gives_keys_and_venues(machine: Machine) -> None:
    after = machine.folder / "t.json"
    machine.run("manifest", "new", "--account", "second", "--template", machine.folder / "m.json",
                "--out", after)  # fmt: skip
    one, two = (
        Manifest.parse((machine.folder / name).read_bytes()) for name in ("m.json", "t.json")
    )
    assert (two.account, two.keys, two.egress) == ("second", one.keys, one.egress)


def test_witnesses_are_named_by_vkey_and_travel_with_a_template(machine: Machine) -> None:
    keys = [
        VerifierKey(f"witness.example/{n}", bytes([n]) * 32, SignatureType.COSIGNATURE)
        for n in range(1, 4)
    ]
    named = [text for key in keys for text in ("--witness", str(key))]
    first, second = machine.folder / "w.json", machine.folder / "v.json"
    template = ("--account", "fund", "--template", machine.folder / "m.json")
    machine.run("manifest", "new", *template, *named, "--out", first)
    manifest = Manifest.parse(first.read_bytes())
    assert [(w.name, w.key) for w in manifest.witnesses] == [(k.name, k.key.hex()) for k in keys]
    assert manifest.witness_quorum == 2, "a majority, when nothing else is said"
    again = ("--account", "fund", "--template", first)
    machine.run("manifest", "new", *again, "--witness-quorum", "3", "--out", second)
    kept = Manifest.parse(second.read_bytes())
    assert (kept.witnesses, kept.witness_quorum) == (manifest.witnesses, 3)
    machine.run("manifest", "new", *again, "--witness-quorum", "4", "--out", second, expect=2)
    machine.run("manifest", "new", *template, *named[:2] * 2, "--out", second, expect=2)
    log = str(VerifierKey("witness.example/1", bytes(32)))
    refused = machine.run("manifest", "new", *template, "--witness", log, "--out", second, expect=2)
    assert "a log's key, not a witness's" in refused.err
    shown = machine.run("manifest", "explain", first).out
    assert "2 of 3 have cosigned it: witness.example/1" in " ".join(shown.split())
    data = machine.run("manifest", "explain", first, "--json").json
    assert (len(data["witnesses"]), data["witness_quorum"]) == (3, 2)
    assert "witness quorum" in machine.run("manifest", "diff", first, machine.folder / "m.json").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chain", "1"], "chain_id"),
        (["--wallet", "eoa"], "enclave would refuse"),
        (["--mode", "test"], "mode"),
        (["--market", "1:v2:buy:0.5"], "not a market"),
        (["--market", "1:v2:buy:0-0.5"], "enclave would refuse"),
        (["--order-notional", "1e3"], "not an amount"),
        (["--window", "hour=5"], "not a window"),
        (["--funder", "0x12"], "funder"),
        (["--venue", "clob.polymarket.com:x"], "not a venue"),
        (["--builder", "0x12"], "builder"),
        (["--owner-key", "12"], "not an owner's public key"),
        (["--quorum", "2"], "enclave would refuse"),
        (["--witness", "w+00000000+AA=="], "not a witness's key"),
        (["--witness-quorum", "1"], "enclave would refuse"),
        (["--client", "/none/card.json"], "cannot read"),
        (["--development-root", "/none/ca.pem"], "cannot read"),
    ],
)
def test_bad_options_are_named(machine: Machine, options: list[str], message: str) -> None:
    base = ["--account", "x", "--out", machine.folder / "x.json", "--funder", "0x" + "ab" * 20]
    if "--market" not in options:
        base += ["--market", MARKET]
    if "--order-notional" not in options:
        base += ["--order-notional", "25"]
    done = machine.run("manifest", "new", *base, *options, expect=2)
    assert message in done.err
    assert not (machine.folder / "x.json").exists()


def test_owners_hand_over(tmp_path: Path) -> None:
    old, heir = Machine(tmp_path / "old"), Machine(tmp_path / "heir")
    for machine in (old, heir):
        machine.run("owner", "init", "--no-passphrase")
    key = heir.run("owner", "show", "--json").json["owner_key"]
    old.run("manifest", "new", "--account", "fund", "--out", old.folder / "m.json", "--funder",
            "0x" + "ab" * 20, "--market", MARKET, "--order-notional", "25")  # fmt: skip
    old.run("manifest", "sign", old.folder / "m.json")
    shown = old.run("manifest", "change-owners", old.folder / "m.json", "--new-owner", key,
                    "--quorum", 1, "--out", old.folder / "next.json")  # fmt: skip
    assert "WIDER" in shown.out
    old.give("next.json", heir)
    heir.run("manifest", "sign", heir.folder / "next.json", expect=3)
    heir.run("manifest", "sign-change", heir.folder / "next.json", expect=2)
    old.run("manifest", "sign-change", old.folder / "next.json")
    old.give("next.json", heir)
    refused = old.run("manifest", "sign", old.folder / "next.json", expect=2)
    assert "not among the owners" in refused.err
    heir.run("manifest", "sign", heir.folder / "next.json")
    verified, _ = read_manifest(heir.folder / "next.signed.json")
    before, _ = read_manifest(old.folder / "m.signed.json")
    assert verified.manifest.owner_root == before.manifest.owner_root
    assert verified.owners.keys == (bytes.fromhex(key),)


def test_a_wrong_passphrase_is_one_message(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, text in ((good, "correct horse"), (bad, "wrong horse")):
        path.write_text(text)
        path.chmod(0o600)
    machine.run("owner", "init", "--passphrase-file", good)
    machine.run("manifest", "new", "--account", "x", "--out", tmp_path / "m.json", "--funder",
                "0x" + "ab" * 20, "--market", MARKET, "--order-notional", "25")  # fmt: skip
    refused = machine.run(
        "manifest", "sign", tmp_path / "m.json", "--passphrase-file", bad, expect=2
    )
    assert "passphrase does not open" in refused.err
    machine.run("manifest", "sign", tmp_path / "m.json", "--passphrase-file", good)
    good.chmod(0o644)
    exposed = machine.run(
        "manifest", "sign", tmp_path / "m.json", "--passphrase-file", good, expect=2
    )
    assert "other users may read" in exposed.err


def test_an_account_is_added_with_what_readers_see_of_it(machine: Machine) -> None:
    path = machine.folder / "m.json"
    shown = machine.run("manifest", "add-account", path, "--name", "main", "--venue", "binance",
                        "--currency", "USDT", "--since", "2026-01-01T01:00+01:00", "--hours", "8",
                        "--grid", "0.001", "--embargo", "--longest", "48",
                        "--user", "ada")  # fmt: skip
    assert "from 2026-01-01 00:00 UTC on" in " ".join(shown.out.split())
    (account,) = Manifest.parse(path.read_bytes()).accounts
    tier = Tier(8, 0, Decimal("0.001"), True, 48)
    since = 1_767_225_600_000
    assert account == Account("main", "ada", "binance", "live", "USDT", since, tier)
    machine.run("manifest", "add-account", path, "--name", "second", "--venue", "kraken",
                "--currency", "EUR", "--environment", "paper", "--grid", "exact")  # fmt: skip
    second = Manifest.parse(path.read_bytes()).accounts[1]
    assert (second.user, second.since_ms, second.tier) == ("fund", 0, Tier(grid=None))
    explained = " ".join(machine.run("manifest", "explain", path).out.split())
    assert "The track record of second is kept, at kraken, with paper money" in explained


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--name", "main", "accounts: name"),
        ("--name", "Main", "account Main"),
        ("--currency", "usdt", "account"),
        ("--environment", "demo", "live, paper or test"),
        ("--venue", "ftx", "expected alpaca, binance, bitget, bybit, coinbase, ibkr, kraken, mexc"),
        ("--venue", "Binance", "no account at 'Binance'"),
        ("--hours", "5", "hours divide a day"),
        ("--grid", "2", "tier"),
        ("--grid", "1e-3", "grid"),
        ("--longest", "5", "tier"),
        ("--since", "2026-01-01", "time zone"),
        ("--since", "2026-01-01T00:30+00:00", "full hour"),
        ("--since", "yesterday", "not a time"),
    ],
)
def test_an_account_that_is_none_leaves_the_draft(
    machine: Machine, option: str, value: str, words: str
) -> None:
    path = machine.folder / "m.json"
    good = {"--name": "other", "--venue": "binance", "--currency": "USDT"}
    first = {**good, "--name": "main"}
    machine.run("manifest", "add-account", path, *(part for pair in first.items() for part in pair))
    before = path.read_bytes()
    options = [part for pair in {**good, option: value}.items() for part in pair]
    refused = machine.run("manifest", "add-account", path, *options, expect=2)
    assert words in refused.err
    assert path.read_bytes() == before


def test_an_account_at_a_local_exchange_has_its_root_on_every_host(
    machine: Machine, tmp_path: Path
) -> None:
    path, root = tmp_path / "local.json", issue(tmp_path, ("a.example",), datetime.now(UTC)).ca
    machine.run("manifest", "new", "--account", "fund", "--mode", "development", "--no-key",
                "--out", path)  # fmt: skip
    options = ["--venue", "binance", "--currency", "USDT", "--environment", "test",
               "--development-root", str(root)]  # fmt: skip
    for name in ("main", "second"):
        machine.run("manifest", "add-account", path, "--name", name, *options)
    der = x509.load_pem_x509_certificate(root.read_bytes()).public_bytes(Encoding.DER)
    hosts = ("api.binance.com", "fapi.binance.com")
    added = Manifest.parse(path.read_bytes()).egress
    assert added == tuple(Egress(host, 443, (), (der,)) for host in hosts)
    root.write_text("none")
    machine.run("manifest", "add-account", path, "--name", "third", *options, expect=2)


def test_a_manifest_may_be_for_accounts_alone(machine: Machine) -> None:
    path = machine.folder / "accounts.json"
    machine.run("manifest", "new", "--account", "fund", "--no-key", "--out", path)
    machine.run("manifest", "add-account", path, "--name", "main", "--venue", "mexc",
                "--currency", "USDT")  # fmt: skip
    manifest = Manifest.parse(path.read_bytes())
    assert (manifest.keys, manifest.egress, len(manifest.accounts)) == ((), (), 1)
    findings = machine.run("manifest", "lint", path, "--json").json
    assert not [finding for finding in findings if finding["severity"] == "error"]
    assert "Trading keys" not in machine.run("manifest", "explain", path).out
