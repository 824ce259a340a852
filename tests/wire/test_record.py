"""Receipts, published rows and credentials: one spelling, and every flaw refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.errors import Malformed, TooLarge, WireError
from strongroom_wire.record import (
    UNCHAINED,
    Credentials,
    PublishedHour,
    ReturnsReceipt,
    SyncReceipt,
)

Value = SyncReceipt | ReturnsReceipt | PublishedHour | Credentials
HEX = "0123456789abcdef" * 4
SYNC = SyncReceipt("ada", "binance", "live", 1, HEX, (2, HEX), (0, HEX), 5, 7, 6, 0)
RETURNS = ReturnsReceipt(
    "ada",
    "binance",
    "paper",
    0,
    UNCHAINED,
    HEX,
    "production",
    "USDT",
    '{"hours":24}',
    "with-gaps",
    3,
    3_600_000,
    7_200_000,
    1,
    HEX,
)
MONEY = "-12.000000000000000001"
HOUR = PublishedHour(
    3_600_000,
    1,
    "0.000000000000",
    MONEY,
    8,
    (None, MONEY, MONEY, MONEY, MONEY, MONEY, MONEY, 4, 0),
    HEX[:32],
)
CREDENTIALS = Credentials("ada", "binance", "key", '-----BEGIN\nx\\"\n', "")
SAMPLES = [SYNC, RETURNS, HOUR, CREDENTIALS]

NUMBERS = st.integers(0, 2**63 - 1)
HEX32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,31}\Z")
TIPS = st.tuples(NUMBERS, HEX32)
TEXTS = st.text("\n abcXYZ'\"\\{}~", max_size=40)
ENVIRONMENTS = st.sampled_from(["live", "paper", "test"])


def digits(places: int) -> st.SearchStrategy[str | None]:
    def written(number: int) -> str:
        whole, rest = divmod(abs(number), 10**places)
        return f"{'-' if number < 0 else ''}{whole}.{rest:0{places}}"

    return st.none() | st.integers(-(10**60), 10**60).map(written)


CHAINED = (NAMES, NAMES, ENVIRONMENTS, NUMBERS, HEX32)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.builds(SyncReceipt, *CHAINED, TIPS, TIPS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.builds(
        ReturnsReceipt,
        *CHAINED,
        HEX32,
        st.sampled_from(["production", "development"]),
        TEXTS,
        TEXTS,
        st.sampled_from(["unbroken", "since-opening", "with-gaps"]),
        st.integers(1, 2**63 - 1),
        NUMBERS,
        NUMBERS,
        NUMBERS,
        HEX32,
    ),
    st.builds(
        PublishedHour,
        NUMBERS,
        st.integers(1, 2**31 - 1),
        digits(12),
        digits(18),
        st.integers(0, 2**31 - 1),
        st.none() | st.tuples(*[digits(18)] * 7, NUMBERS, NUMBERS),
        st.binary(min_size=16, max_size=16).map(bytes.hex),
    ),
    st.builds(Credentials, NAMES, NAMES, TEXTS, TEXTS, TEXTS),
)


@given(VALUES)
def test_what_is_written_is_read_and_has_one_spelling(value: Value) -> None:
    data = value.serialise()
    assert type(value).parse(data) == value
    assert type(value).parse(data).serialise() == data


@given(VALUES, VALUES)
def test_two_values_never_have_the_same_bytes(one: Value, other: Value) -> None:
    assert (one == other) == (one.serialise() == other.serialise())


def test_layouts_are_the_documented_ones() -> None:
    assert (
        SYNC.serialise()
        == (
            '{"format":"strongroom-sync/1","account":"ada","venue":"binance","environment":"live",'
            f'"number":1,"previous":"{HEX}","trades":[2,"{HEX}"],"flows":[0,"{HEX}"],'
            '"since_ms":5,"until_ms":7,"balanced_ms":6,"gaps":0}'
        ).encode()
    )
    assert (
        RETURNS.serialise()
        == (
            '{"format":"strongroom-returns/1","account":"ada","venue":"binance",'
            f'"environment":"paper","number":0,"previous":"{UNCHAINED}","sync":"{HEX}",'
            '"mode":"production","currency":"USDT","tier":"{\\"hours\\":24}",'
            '"completeness":"with-gaps","accounts":3,"first_ms":3600000,"end_ms":7200000,'
            f'"count":1,"root":"{HEX}"}}'
        ).encode()
    )
    money = ",".join([f'"{MONEY}"'] * 6)
    assert (
        HOUR.serialise()
        == (
            '{"format":"strongroom-hour/1","start_ms":3600000,"hours":1,"value":"0.000000000000",'
            f'"closing":"{MONEY}","flags":8,"exact":[null,{money},4,0],"salt":"{HEX[:32]}"}}'
        ).encode()
    )
    assert json.loads(CREDENTIALS.serialise())["format"] == "strongroom-credentials/1"


def test_none_passes_for_another() -> None:
    for value in SAMPLES:
        for other in {type(each) for each in SAMPLES} - {type(value)}:
            with pytest.raises(Malformed):
                other.parse(value.serialise())


def _respelled(data: bytes) -> dict[str, bytes]:
    content = json.loads(data)
    pairs = list(content.items())
    return {
        "spaces": json.dumps(content).encode(),
        "another order": json.dumps(dict(reversed(pairs)), separators=(",", ":")).encode(),
        "a member twice": data[:-1] + b',"account":"ada"}',
        "a member more": data[:-1] + b',"more":1}',
        "a newline": data + b"\n",
        "an escape": data.replace(b"strongroom", b"\\u0073trongroom"),
        "a fraction": data.replace(b":1,", b":1.0,").replace(b":5,", b":5e0,"),
        "cut": data[:-1],
        "no UTF-8": data.replace(b"ada", b"\xff\xfe\xfa"),
        "no object": b"[]",
        "nothing": b"",
    }


@pytest.mark.parametrize("how", _respelled(SYNC.serialise()))
def test_another_spelling_is_refused(how: str) -> None:
    with pytest.raises(Malformed):
        SyncReceipt.parse(_respelled(SYNC.serialise())[how])


def test_no_member_may_be_missing() -> None:
    for value in SAMPLES:
        content = json.loads(value.serialise())
        for name in content:
            less = {key: each for key, each in content.items() if key != name}
            with pytest.raises(Malformed):
                type(value).parse(json.dumps(less, separators=(",", ":")).encode())


FLAWS: list[tuple[Value, dict[str, Any]]] = [
    (SYNC, {"account": "Ada"}),
    (SYNC, {"account": ""}),
    (SYNC, {"venue": "bin ance"}),
    (SYNC, {"environment": "real"}),
    (SYNC, {"number": -1}),
    (SYNC, {"number": 1 << 63}),
    (SYNC, {"previous": HEX[:-1]}),
    (SYNC, {"previous": HEX.upper()}),
    (SYNC, {"trades": (1,)}),
    (SYNC, {"trades": (-1, HEX)}),
    (SYNC, {"flows": (1, "")}),
    (SYNC, {"gaps": -1}),
    (RETURNS, {"mode": "test"}),
    (RETURNS, {"completeness": "complete"}),
    (RETURNS, {"accounts": 0}),
    (RETURNS, {"currency": "\x7f"}),
    (RETURNS, {"tier": "ä"}),
    (RETURNS, {"tier": "x" * 4097}),
    (RETURNS, {"root": "g" * 64}),
    (HOUR, {"hours": 0}),
    (HOUR, {"hours": 1 << 31}),
    (HOUR, {"flags": -1}),
    (HOUR, {"salt": HEX}),
    (HOUR, {"value": "0.0"}),
    (HOUR, {"value": "-0.000000000000"}),
    (HOUR, {"value": "00.000000000000"}),
    (HOUR, {"value": ".000000000000"}),
    (HOUR, {"value": "1.000000000000\n"}),
    (HOUR, {"value": "NaN"}),
    (HOUR, {"value": "1e5"}),
    (HOUR, {"value": "+1.000000000000"}),
    (HOUR, {"value": "\u0661.000000000000"}),
    (HOUR, {"closing": "0.000000000000"}),
    (HOUR, {"closing": "-0.000000000000000000"}),
    (HOUR, {"closing": "1" * 401 + ".000000000000000000"}),
    (HOUR, {"exact": (MONEY,) * 7}),
    (HOUR, {"exact": (MONEY,) * 7 + (1, -1)}),
    (HOUR, {"exact": (MONEY,) * 6 + ("1", 1, 1)}),
    (CREDENTIALS, {"secret": "\x00"}),
    (CREDENTIALS, {"key": "k" * 4097}),
]


@pytest.mark.parametrize(("value", "flaw"), FLAWS)
def test_flawed_values_are_neither_written_nor_read(value: Value, flaw: dict[str, Any]) -> None:
    made = msgspec.structs.replace(value, **flaw)
    with pytest.raises(WireError):
        made.serialise()
    with pytest.raises(Malformed):
        type(value).parse(msgspec.json.encode(made))


def test_size_is_bounded_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        SyncReceipt.parse(b" " * ((1 << 20) + 1))


def test_neither_credentials_nor_what_is_wrong_with_them_are_shown() -> None:
    assert "key" not in repr(CREDENTIALS)
    assert "BEGIN" not in f"{CREDENTIALS}"
    data = CREDENTIALS.serialise().replace(b"BEGIN", b"PLANTED\xff")
    with pytest.raises(Malformed) as caught:
        Credentials.parse(data)
    error: BaseException | None = caught.value
    while error is not None:
        assert "PLANTED" not in f"{error!r} {error}"
        error = error.__cause__
