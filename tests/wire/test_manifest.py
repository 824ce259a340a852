"""The manifest: canonical to the byte, strict to the field, and signed by those who own it."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.errors import (
    BadSignature,
    Code,
    ManifestInvalid,
    QuorumMissing,
    TooLarge,
)
from strongroom_wire.manifest import (
    MAX_MANIFEST,
    Client,
    Egress,
    Key,
    Manifest,
    Market,
    OwnerChange,
    OwnerSet,
    Policy,
    Tier,
    Window,
    Witness,
    micro,
    owner_change_message,
    verify_manifest,
)
from strongroom_wire.owners import Statement

from tests.wire.samples import (
    handed_over,
    manifest,
    owners,
    owners_of,
    public,
    signed_manifest,
)
from tests.wire.test_encoding import packed

replace: Any = msgspec.structs.replace
Tree = dict[str, Any]


def _tree() -> Tree:
    tree = json.loads(manifest().serialise())
    assert isinstance(tree, dict)
    return tree


def _written(tree: object) -> bytes:
    return json.dumps(tree, indent=2, ensure_ascii=False).encode() + b"\n"


def test_the_canonical_form_is_plain_two_space_json() -> None:
    data = manifest().serialise()
    assert data == _written(json.loads(data))
    assert data.startswith(b'{\n  "format": "strongroom-manifest/1",\n  "version": 7,\n')
    assert b'"order_notional": "250",' in data
    assert b'"min_price": "0.05",' in data


def test_round_trip() -> None:
    data = manifest().serialise()
    assert Manifest.parse(data) == manifest()
    assert Manifest.parse(data).serialise() == data


def _bytewise() -> dict[str, bytes]:
    """Other spellings of the same document; a lenient reader would take every one."""
    data = manifest().serialise()

    def put(old: bytes, new: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return {
        "no newline": data[:-1],
        "two newlines": data + b"\n",
        "carriage return": data.replace(b"\n", b"\r\n"),
        "byte order mark": b"\xef\xbb\xbf" + data,
        "compact": json.dumps(json.loads(data), separators=(",", ":")).encode(),
        "four spaces": json.dumps(json.loads(data), indent=4).encode() + b"\n",
        "leading space": b" " + data,
        "trailing space": put(b'"version": 7,', b'"version": 7, '),
        "duplicate key, same value": put(b'"version": 7,', b'"version": 7,\n  "version": 7,'),
        "duplicate key, other first": put(b'"version": 7,', b'"version": 8,\n  "version": 7,'),
        "duplicate key, other last": put(b'"version": 7,', b'"version": 7,\n  "version": 8,'),
        "escaped value": put(b'"acme"', b'"\\u0061cme"'),
        "escaped key": put(b'"account"', b'"\\u0061ccount"'),
        "escaped slash": put(b"strongroom-manifest/1", b"strongroom-manifest\\/1"),
        "integer as float": put(b'"version": 7', b'"version": 7.0'),
        "integer with exponent": put(b'"version": 7', b'"version": 7e0'),
        "integer as string": put(b'"version": 7', b'"version": "7"'),
        "leading zero": put(b'"version": 7', b'"version": 07'),
        "minus zero": put(b'"orders_per_minute": 60', b'"orders_per_minute": -0'),
        "amount as number": put(b'"notional": "1000.5"', b'"notional": 1000.5'),
        "amount as integer": put(b'"order_notional": "250"', b'"order_notional": 250'),
        "amount with exponent": put(b'"250"', b'"2.5E+2"'),
        "amount with small e": put(b'"250"', b'"2.5e2"'),
        "amount with plus": put(b'"250"', b'"+250"'),
        "amount with space": put(b'"250"', b'" 250"'),
        "amount with underscore": put(b'"250"', b'"2_50"'),
        "amount with leading zero": put(b'"250"', b'"0250"'),
        "amount with leading point": put(b'"0.5"', b'".5"'),
        "amount with trailing point": put(b'"250"', b'"250."'),
        "amount in other digits": put(b'"250"', '"٢٥٠"'.encode()),
        "base64 with other spare bits": put(b'F0ZQ=="', b'F0ZR=="'),
        "base64 without padding": put(b'F0ZQ=="', b'F0ZQ"'),
        "base64 of the url kind": put(b"MIJjZXJ0", b"MIJjZX-0"),
        "base64 with newline": put(b"MIJjZXJ0", b"MIJj\\nZXJ0"),
        "hex in upper case": data.replace(b'"abab', b'"ABab', 1),
        "a comment": put(b'"version": 7,', b'"version": 7, // seven'),
        "a trailing comma": put(b'"egress": [', b'"egress": [,'),
        "fields in another order": _written(dict(reversed(_tree().items()))),
        "an array for an object": _written(list(_tree().values())),
        "null": b"null\n",
        "empty": b"",
        "not UTF-8": put(b'"acme"', b'"ac\xffme"'),
        "lone surrogate": put(b'"acme"', b'"\\ud800"'),
        "not JSON": b"{]\n",
        "trailing document": data + data,
        "deep nesting": b"[" * 100_000,
        "deep nesting in a field": put(b'"egress": [', b'"egress": [' + b"[" * 100_000),
        "very long integer": put(b'"version": 7', b'"version": ' + b"9" * 100_000),
        "very long float": put(b'"version": 7', b'"version": 7.' + b"0" * 100_000),
        "very large exponent": put(b'"version": 7', b'"version": 7e999999999'),
        "very long amount": put(b'"250"', b'"' + b"9" * 100_000 + b'"'),
        "very long number": put(b'"250"', b"9" * 100_000),
    }


@pytest.mark.parametrize("data", _bytewise().values(), ids=_bytewise())
def test_every_other_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestInvalid) as caught:
        Manifest.parse(data)
    assert caught.value.code is Code.MANIFEST_INVALID


def _paths(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the objects in a document are, outermost first."""
    if isinstance(value, list):
        return [path for n, entry in enumerate(value) for path in _paths(entry, (*at, n))]
    if isinstance(value, dict):
        return [at] + [path for key in value for path in _paths(value[key], (*at, key))]
    return []


def _at(tree: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


OBJECTS = _paths(_tree())


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)) or "top")
def test_fields_are_all_there_and_no_other(path: tuple[str | int, ...]) -> None:
    for name in _at(_tree(), path):
        tree = _tree()
        del _at(tree, path)[name]
        with pytest.raises(ManifestInvalid):
            Manifest.parse(_written(tree))
        tree = _tree()
        _at(tree, path)[name] = None
        if name != "grid":  # which may be none
            with pytest.raises(ManifestInvalid):
                Manifest.parse(_written(tree))
    tree = _tree()
    _at(tree, path)["comment"] = ""
    with pytest.raises(ManifestInvalid, match="unknown field `comment`"):
        Manifest.parse(_written(tree))


KEY, MARKET = ("keys", 0), ("keys", 0, "policy", "markets", 0)
WITNESS = ("witnesses", 0)
POLICY, EGRESS = ("keys", 0, "policy"), ("egress", 1)
ACCOUNT, TIER = ("accounts", 0), ("accounts", 1, "tier")

BAD_VALUES: list[tuple[tuple[str | int, ...], list[object]]] = [
    (("format",), ["strongroom-manifest/2", "strongroom-manifest/1 ", "", 1]),
    (("version",), [0, -1, 1 << 53, 1 << 64, 1.5, True, "1"]),
    (("mode",), ["Production", "test", ""]),
    (("account",), ["", "A", "a" * 33, "-a", "a b", "a\n", "\na", "ä", "a_b", "a\u0000"]),
    (("genesis", "keys"), [[], ["00" * 31], ["00" * 33], ["0g" * 32], ["00" * 32 + "\n"]]),
    (("genesis", "keys"), [[f"{n:064x}" for n in range(33)], [public(1).hex().upper()]]),
    (("genesis", "keys"), [[public(1).hex()] * 2, [public(1).hex(), public(2).hex()] * 2]),
    (("genesis", "quorum"), [0, -1, 4, 33, True]),
    (("clients", 0, "name"), ["", "Strategy", "x" * 33]),
    (("clients", 0, "certificate"), ["", "A", "A===", "MIJj*XJ0", "A" * 5464]),
    (("clients", 0, "frame_key"), ["", "0x" + "00" * 32, "00" * 31, public(9).hex().upper()]),
    (("clients", 0, "calls"), [["sign"], ["Order"], [""], "order", [None]]),
    ((*KEY, "name"), ["", "own", "session", "m" * 33]),
    ((*KEY, "source"), ["generated", "", "session"]),
    ((*KEY, "wallet"), ["eoa", "EOA", ""]),
    ((*KEY, "funder"), ["", "0x", "1f" * 20, "0x" + "1f" * 19, "0x" + "1F" * 20]),
    ((*KEY, "funder"), ["0x" + "1f" * 20 + "\n", "\n0x" + "1f" * 20, "0x" + "1f" * 21]),
    ((*KEY, "chain_id"), [1, 0, "137", 137.5, 80001]),
    ((*KEY, "venue"), ["", "elsewhere.example", "clob.polymarket.com.", "CLOB.polymarket.com"]),
    ((*KEY, "per_boot"), [0, 1, "false"]),
    (("keys", 1, "per_boot"), [False]),
    (("keys", 1, "wallet"), ["proxy", "safe"]),
    (("keys", 2, "funder"), ["0x" + "1f" * 20]),
    ((*POLICY, "order_types"), [["gtc"], ["IOC"], "GTC"]),
    ((*POLICY, "orders_per_minute"), [-1, 1_000_001]),
    ((*POLICY, "max_lifetime"), [-1, 31 * 86400 + 1]),
    ((*POLICY, "max_skew"), [0, -1, 601]),
    ((*POLICY, "builder"), ["", "0x" + "00" * 32, "00" * 31, "AB" * 32]),
    ((*POLICY, "metadata"), ["", "00" * 33, "zz" * 32]),
    ((*POLICY, "order_notional"), ["-1", "-0", "NaN", "sNaN", "Infinity", "-Infinity", ""]),
    ((*POLICY, "order_notional"), ["0.0000001", "1E-7", "0E-7", "1E+3", "1E+999999999"]),
    ((*POLICY, "order_notional"), ["18446744073709.551616", "99999999999999", "1" * 15]),
    ((*POLICY, "order_notional"), ["1E-999999999", "0E+999999999", "1.0000000", "9" * 5000]),
    ((*POLICY, "windows", 0, "seconds"), [0, -1, 31 * 86400 + 1]),
    ((*POLICY, "windows", 0, "notional"), ["-1", "NaN", "0.0000001", "1E+30"]),
    ((*POLICY, "windows"), [[{"seconds": 1, "notional": "1"}] * 9]),
    ((*MARKET, "token"), ["", "00", "01", "-1", "0x1", "1" * 79, str(1 << 256), "1\n", "11" * 30]),
    ((*MARKET, "exchange"), ["v1", "V2", ""]),
    ((*MARKET, "sides"), [[], ["buy", "buy"], ["Buy"], ["buy", "sell", "buy"], "buy"]),
    ((*MARKET, "min_price"), ["0", "0.96", "1", "-0.1", "0.0000001", "NaN", "5E-2"]),
    ((*MARKET, "max_price"), ["0", "0.04", "1", "1.5", "0.9500001", "Infinity"]),
    ((*EGRESS, "host"), ["", "a..b", ".a", "a.", "A", "a b", "a/b", "a:1", "a" * 254]),
    ((*EGRESS, "host"), ["a\n", "\na"]),
    ((*EGRESS, "port"), [0, -1, 65536, "443"]),
    ((*EGRESS, "roots"), [["00"], ["00" * 31], [public(1).hex().upper()]]),
    ((*EGRESS, "development_roots"), [["AA=="], ["*"], "AA=="]),
    ((*ACCOUNT, "name"), ["", "other", "Main", "a" * 33, "a\n"]),
    ((*ACCOUNT, "user"), ["", "Ada", "a b", "a" * 33]),
    ((*ACCOUNT, "venue"), ["", "Binance", "api.binance.com", "a" * 33]),
    ((*ACCOUNT, "environment"), ["test", "Live", "", "demo"]),
    ((*ACCOUNT, "currency"), ["", "U", "usdt", "USD ", "A" * 11, "USDT\n", "\nUSDT", "ÜSD"]),
    ((*ACCOUNT, "since_ms"), [-3_600_000, 1, 3_599_999, 1_699_999_200_001, 1 << 53, "0", True]),
    ((*ACCOUNT, "since_ms"), [((1 << 53) // 3_600_000 + 1) * 3_600_000]),
    ((*TIER, "hours"), [0, -1, 5, 7, 16, 48, "1", 1.5]),
    ((*TIER, "least_trades"), [-1, 1 << 31, "0", 0.5]),
    ((*TIER, "grid"), ["0", "0.000000", "-0.1", "1.000001", "2", "1E-7", "0.0000001", "NaN", ""]),
    ((*TIER, "grid"), ["Infinity", 0.5, "1E-1", "+0.1", "9" * 5000]),
    ((*TIER, "embargo"), [False, 1, "true"]),
    ((*TIER, "longest"), [-1, 1 << 31, "1"]),
    ((*WITNESS, "name"), ["", "a b", "a+b", "a\n", "\na", "ä", "a\u007f", "\u0000", "a" * 129]),
    ((*WITNESS, "name"), ["witness.example/two"]),
    ((*WITNESS, "key"), ["", "a2" * 32, "a1" * 31, "A1" * 32, "a1" * 32 + "\n", "\n" + "a1" * 32]),
    (("witness_quorum",), [0, 3, -1, "1", True, 1.0]),
    (("witnesses",), [[]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, values in BAD_VALUES for value in values],
    ids=lambda part: repr(part)[:60],
)
def test_a_wrong_value_is_refused(path: tuple[str | int, ...], value: object) -> None:
    tree = _tree()
    *parent, last = path
    assert repr(_at(tree, path)) != repr(value)
    _at(tree, tuple(parent))[last] = value
    with pytest.raises(ManifestInvalid):
        Manifest.parse(_written(tree))


def test_a_nonce_pool_is_for_keys_of_one_boot() -> None:
    for source in ("generate", "session", "import"):
        for per_boot in (False, True):
            for pool in (None, 0, 1, 4096, 4097, -1, "1", True):
                tree = _tree()
                key = tree["keys"][1]
                key["source"], key["per_boot"] = source, per_boot
                if pool is not None:
                    key["nonce_pool"] = pool
                allowed = per_boot and source != "import"
                fine = pool is None or (pool in (1, 4096) and pool is not True and allowed)
                if source == "session" and not per_boot:
                    fine = False
                if fine:
                    assert Manifest.parse(_written(tree)).keys[1].nonce_pool == (pool or 0)
                else:
                    with pytest.raises(ManifestInvalid):
                        Manifest.parse(_written(tree))


GOOD_VALUES: list[tuple[tuple[str | int, ...], list[object]]] = [
    (("version",), [1, (1 << 53) - 1]),
    (("account",), ["a", "0", "a" * 32, "a-b"]),
    (("genesis", "quorum"), [1, 3]),
    (("clients",), [[]]),
    (
        ("clients", 0, "calls"),
        [[], ["order", "template", "cancel", "heartbeat", "query", "health"]],
    ),
    (("keys",), [[]]),
    ((*KEY, "venue"), ["clob.polymarket.com"]),
    ((*POLICY, "markets"), [[]]),
    ((*POLICY, "order_notional"), ["0", "0.000001", "18446744073709.551615", "1.50", "0.0"]),
    ((*POLICY, "orders_per_minute"), [0, 1_000_000]),
    ((*MARKET, "token"), ["0", "1", str((1 << 256) - 1)]),
    ((*MARKET, "min_price"), ["0.000001", "0.95"]),
    ((*MARKET, "max_price"), ["0.999999", "0.05"]),
    ((*EGRESS, "host"), ["a", "a-b.example", "127.0.0.1", "xn--a.example", "a" * 253]),
    ((*EGRESS, "port"), [1, 65535]),
    ((*EGRESS, "roots"), [["00" * 32]]),
    ((*ACCOUNT, "environment"), ["paper"]),
    ((*ACCOUNT, "currency"), ["A1", "0123456789"]),
    ((*ACCOUNT, "since_ms"), [0, 3_600_000, (1 << 53) // 3_600_000 * 3_600_000]),
    (("accounts",), [[]]),
    ((*TIER, "hours"), [2, 3, 4, 6, 8, 12, 24]),
    ((*TIER, "least_trades"), [0, (1 << 31) - 1]),
    ((*TIER, "grid"), ["0.000001", "1", "0.10", "1.000000"]),
    ((*TIER, "longest"), [0, (1 << 31) - 1]),
    ((*WITNESS, "name"), ["!", "~", "a" * 128, "example.com/w#1", "*,-"]),
    (("witness_quorum",), [1, 2]),
]


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, values in GOOD_VALUES for value in values],
    ids=lambda part: repr(part)[:60],
)
def test_the_bounds_themselves_are_fine(path: tuple[str | int, ...], value: object) -> None:
    tree = _tree()
    *parent, last = path
    _at(tree, tuple(parent))[last] = value
    assert Manifest.parse(_written(tree)).serialise() == _written(tree)


def _second_client(**changes: object) -> Manifest:
    other = Client("other", b"other", public(10).hex(), ())
    clients = (*manifest().clients, replace(other, **changes))
    return msgspec.structs.replace(manifest(), clients=clients)


def test_parts_that_repeat_are_refused() -> None:
    base = manifest()
    _second_client().check()
    for flawed in (
        _second_client(name="strategy"),
        _second_client(certificate=base.clients[0].certificate),
        _second_client(frame_key=base.clients[0].frame_key),
        replace(base, keys=(*base.keys, base.keys[0])),
        replace(base, egress=(*base.egress, replace(base.egress[0], port=444))),
        replace(base, accounts=(*base.accounts, replace(base.accounts[1], name="main"))),
        replace(base, witnesses=(*base.witnesses, replace(base.witnesses[0], key="ff" * 32))),
        replace(base, witnesses=(*base.witnesses, replace(base.witnesses[0], name="w"))),
    ):
        with pytest.raises(ManifestInvalid):
            flawed.check()
        with pytest.raises(ManifestInvalid):
            Manifest.parse(flawed.serialise())


def _too_many() -> dict[str, tuple[Manifest, int]]:
    base, window = manifest(), Window(60, Decimal(1))
    set_of_32 = OwnerSet(tuple(f"{n:064x}" for n in range(33)), 1)
    change = OwnerChange(owners_of(4, quorum=1), (("00" * 32, "00" * 64),) * 33)
    client, key, venue = base.clients[0], base.keys[2], base.egress[0]
    clients = [
        replace(client, name=f"c{n}", certificate=b"%d" % n, frame_key=f"{n:064x}")
        for n in range(65)
    ]
    keys = tuple(replace(key, name=f"k{n}") for n in range(65))
    witnesses = tuple(Witness(f"w{n}", f"{n:064x}") for n in range(17))
    accounts = tuple(replace(base.accounts[0], name=f"a{n}") for n in range(65))
    hosts = tuple(replace(venue, host=f"h{n}.example") for n in range(16))
    windows = replace(key, policy=replace(key.policy, windows=(window,) * 9))
    return {
        "owners": (replace(base, genesis=set_of_32), 32),
        "owner changes": (replace(base, owner_changes=(replace(change, signatures=()),) * 65), 64),
        "signatures": (replace(base, owner_changes=(change,)), 32),
        "clients": (replace(base, clients=tuple(clients)), 64),
        "keys": (replace(base, keys=keys), 64),
        "windows": (replace(base, keys=(windows,)), 8),
        "egress": (replace(base, egress=(venue, *hosts)), 16),
        "witnesses": (replace(base, witnesses=witnesses), 16),
        "accounts": (replace(base, accounts=accounts), 64),
    }


@pytest.mark.parametrize(("flawed", "limit"), _too_many().values(), ids=_too_many())
def test_every_list_has_a_limit(flawed: Manifest, limit: int) -> None:
    with pytest.raises(ManifestInvalid, match=f"length <= {limit}"):
        Manifest.parse(flawed.serialise())


def test_a_witness_quorum_is_none_exactly_where_there_are_no_witnesses() -> None:
    base = manifest()
    for witnesses, quorum, fine in (
        ((), 0, True),
        ((), 1, False),
        (base.witnesses, 0, False),
        (base.witnesses, 1, True),
        (base.witnesses, 2, True),
        (base.witnesses, 3, False),
    ):
        document = replace(base, witnesses=witnesses, witness_quorum=quorum)
        if fine:
            assert Manifest.parse(document.serialise()) == document
        else:
            with pytest.raises(ManifestInvalid, match="witness quorum"):
                document.check()


def test_later_owner_sets_are_held_to_the_same_rules() -> None:
    handed_over(manifest(), owners_of(4, 5, quorum=2), 1, 2).check()
    for wrong in (owners_of(4, 5, quorum=3), owners_of(4, 4, quorum=1)):
        flawed = replace(manifest(), owner_changes=(OwnerChange(wrong, ()),))
        with pytest.raises(ManifestInvalid):
            Manifest.parse(flawed.serialise())


def test_development_roots_are_for_development() -> None:
    own = replace(manifest().egress[0], development_roots=(b"root",))
    flawed = replace(manifest(), egress=(own,))
    with pytest.raises(ManifestInvalid):
        Manifest.parse(flawed.serialise())
    fine = replace(flawed, mode="development")
    assert Manifest.parse(fine.serialise()) == fine


def test_test_venues_are_for_development() -> None:
    own = replace(manifest().accounts[0], environment="test")
    flawed = replace(manifest(), accounts=(own,))
    with pytest.raises(ManifestInvalid, match="account main"):
        Manifest.parse(flawed.serialise())
    fine = replace(flawed, mode="development")
    assert Manifest.parse(fine.serialise()) == fine


@pytest.mark.parametrize(
    "flawed",
    [
        {"grid": Decimal(0)},
        {"grid": Decimal("1.000001")},
        {"grid": Decimal("0.0000001")},
        {"grid": Decimal("NaN")},
        {"longest": 1},
    ],
)
def test_a_tier_that_contradicts_itself_is_not_made(flawed: dict[str, Any]) -> None:
    with pytest.raises(ManifestInvalid):
        Tier(**flawed)


def test_manifests_above_256_kib_are_refused_before_they_are_read() -> None:
    with pytest.raises(TooLarge):
        Manifest.parse(bytes(MAX_MANIFEST + 1))
    with pytest.raises(ManifestInvalid):
        Manifest.parse(bytes(MAX_MANIFEST))


@pytest.mark.parametrize(
    ("amount", "millionths"),
    [
        ("0", 0),
        ("0.000001", 1),
        ("1", 10**6),
        ("1.000000", 10**6),
        ("0.10", 10**5),
        ("18446744073709.551615", 2**64 - 1),
    ],
)
def test_amounts_are_exact(amount: str, millionths: int) -> None:
    assert micro(Decimal(amount)) == millionths


@given(st.integers(0, 2**64 - 1))
def test_every_amount_has_its_millionths(millionths: int) -> None:
    whole, part = divmod(millionths, 10**6)
    assert micro(Decimal(f"{whole}.{part:06d}")) == millionths


@pytest.mark.parametrize(
    "amount",
    [
        "-1",
        "-0",
        "-0.0",
        "1E+3",
        "1E-7",
        "0E-7",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "18446744073709.551616",
        "1e20",
        "1E+999999999",
        "1E-999999999",
        "0E+999999999999999999",
        "0.0000001",
        "1.0000000",
    ],
)
def test_amounts_that_are_no_amounts_are_refused(amount: str) -> None:
    with pytest.raises(ManifestInvalid):
        micro(Decimal(amount))


def test_it_takes_a_quorum_of_its_owners() -> None:
    document = manifest()
    verified = verify_manifest(signed_manifest(document, 1, 3))
    assert verified.manifest == document
    assert verified.digest == sha256(document.serialise()).digest()
    assert verified.owners == owners(1, 2, 3, quorum=2)
    for signers in ((), (1,), (1, 1), (4, 5), (1, 4)):
        with pytest.raises(QuorumMissing):
            verify_manifest(signed_manifest(document, *signers))
    other = replace(document, version=8)
    with pytest.raises(BadSignature):
        verify_manifest(_with_payload(signed_manifest(document, 1, 2), other.serialise()))


def _with_payload(statement: Statement, payload: bytes) -> Statement:
    return Statement(payload, statement.signatures)


def test_what_is_signed_is_parsed_strictly_first() -> None:
    statement = signed_manifest(manifest(), 1, 2)
    with pytest.raises(ManifestInvalid):
        verify_manifest(_with_payload(statement, statement.payload + b" "))


def test_the_owner_root_is_that_of_genesis() -> None:
    root = owners(1, 2, 3, quorum=2).root
    assert manifest().owner_root == root
    later = handed_over(manifest(), owners_of(4, quorum=1), 1, 2)
    assert later.owner_root == root
    assert replace(manifest(), genesis=owners_of(1, 2, 3, quorum=3)).owner_root != root


def test_a_hand_over_names_account_and_whole_lineage() -> None:
    first = handed_over(manifest(), owners_of(4, 5, quorum=2), 1, 2)
    second = handed_over(first, owners_of(6, quorum=1), 4, 5)
    roots = [
        owners(1, 2, 3, quorum=2).root,
        owners(4, 5, quorum=2).root,
        owners(6, quorum=1).root,
    ]
    domain = b"strongroom/owner-change/v1"
    for index in (0, 1):
        by_hand = packed(domain, b"acme", *roots[: index + 2])
        assert owner_change_message(second, index) == sha256(by_hand).digest()


def test_hand_overs_pass_the_manifest_on() -> None:
    first = handed_over(manifest(), owners_of(4, 5, quorum=2), 1, 2)
    assert first.owners() == owners(4, 5, quorum=2)
    second = handed_over(first, owners_of(6, quorum=1), 4, 5)
    assert Manifest.parse(second.serialise()).owners() == owners(6, quorum=1)
    assert verify_manifest(signed_manifest(second, 6)).owners == owners(6, quorum=1)
    for gone in ((1, 2), (4, 5), (1, 2, 3)):
        with pytest.raises(QuorumMissing):
            verify_manifest(signed_manifest(second, *gone))


@pytest.mark.parametrize("signers", [(), (1,), (1, 1), (4, 5), (1, 4)])
def test_a_hand_over_takes_a_quorum_of_the_owners_before(signers: tuple[int, ...]) -> None:
    taken = handed_over(manifest(), owners_of(4, 5, quorum=2), *signers)
    with pytest.raises(QuorumMissing):
        verify_manifest(signed_manifest(taken, 4, 5))


def _relocated() -> dict[str, Callable[[Manifest, Manifest], Manifest]]:
    """A hand-over, signed for one lineage, moved to another."""
    return {
        "another account": lambda first, _: replace(first, account="other"),
        "another genesis quorum": lambda first, _: replace(
            first, genesis=owners_of(1, 2, 3, quorum=1)
        ),
        "another genesis set": lambda first, _: replace(first, genesis=owners_of(1, 2, quorum=2)),
        "another step": lambda first, second: replace(
            first, owner_changes=second.owner_changes[1:]
        ),
        "twice": lambda first, _: replace(first, owner_changes=first.owner_changes * 2),
        "other owners": lambda first, _: replace(
            first,
            owner_changes=(replace(first.owner_changes[0], owners=owners_of(1, 7, quorum=1)),),
        ),
    }


@pytest.mark.parametrize("move", _relocated().values(), ids=_relocated())
def test_a_hand_over_is_worth_nothing_elsewhere(
    move: Callable[[Manifest, Manifest], Manifest],
) -> None:
    # All sets share owners 1 and 2, so only what they signed can tell the lineages apart.
    first = handed_over(manifest(), owners_of(1, 2, quorum=2), 1, 2)
    second = handed_over(first, owners_of(1, 2, 8, quorum=2), 1, 2)
    assert second.owners() == owners(1, 2, 8, quorum=2)
    with pytest.raises(BadSignature):
        move(first, second).owners()


def test_a_branch_does_not_lend_its_hand_overs() -> None:
    # Both branches let 1 and 2 hand on; what they signed on one must not end the other.
    left = handed_over(manifest(), owners_of(1, 2, quorum=2), 1, 2)
    right = handed_over(manifest(), owners_of(1, 2, 7, quorum=2), 1, 2)
    left = handed_over(left, owners_of(8, quorum=1), 1, 2)
    mixed = replace(right, owner_changes=(right.owner_changes[0], left.owner_changes[1]))
    with pytest.raises(BadSignature):
        mixed.owners()


def test_a_stray_signature_spoils_a_hand_over() -> None:
    taken = handed_over(manifest(), owners_of(4, quorum=1), 1, 2)
    change = taken.owner_changes[0]
    spoiled = replace(change, signatures=(*change.signatures, (public(3).hex(), "00" * 64)))
    with pytest.raises(BadSignature):
        replace(taken, owner_changes=(spoiled,)).owners()


def test_schema_patterns_are_anchored_at_both_ends() -> None:
    # msgspec searches for a pattern anywhere unless it says otherwise.
    def patterns(kind: Any) -> list[str]:
        return re.findall(r"pattern='([^']*)'|pattern=\"([^\"]*)\"", repr(kind))

    found = set()
    for struct in (
        Manifest,
        OwnerSet,
        OwnerChange,
        Client,
        Key,
        Egress,
        Market,
        Policy,
        Window,
        Witness,
    ):
        for field in msgspec.structs.fields(struct):
            found |= {"".join(pair) for pair in patterns(field.type)}
    assert len(found) >= 5
    for pattern in found:
        assert pattern.startswith("^")
        assert pattern.endswith("Z")
        assert "|" not in re.sub(r"\([^()]*\)", "", pattern)
