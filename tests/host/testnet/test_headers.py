"""L1 and L2 headers: one good request, then one change at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from strongroom_host.testnet.auth import Authenticator
from strongroom_host.testnet.contracts import address_from
from strongroom_host.testnet.errors import KeyRefused, L1Rejected, Unauthorized

from tests.host.testnet.traders import Trader, clob, clob_auth_headers

NOW_S = 1_790_000_000
SECRET = "0x" + "11" * 32
CHAIN = 80002
STRANGER = "0x" + "5a" * 20
Change = Callable[[dict[str, str]], object]


def authenticator() -> Authenticator:
    return Authenticator(bytes(32), CHAIN, l1_skew_s=60, l2_skew_s=60)


def l1_headers() -> dict[str, str]:
    return clob_auth_headers(SECRET, timestamp=NOW_S, nonce=7, chain_id=CHAIN)


def test_l1_headers_prove_their_address_and_nonce() -> None:
    headers = l1_headers()
    assert authenticator().l1(headers, NOW_S) == (headers["POLY_ADDRESS"], 7)
    assert authenticator().l1(headers, NOW_S + 60)[1] == 7
    assert authenticator().l1(headers, NOW_S - 60)[1] == 7


L1_CHANGES: dict[str, Change] = {
    "another address": lambda h: h.update(POLY_ADDRESS=STRANGER),
    "another nonce": lambda h: h.update(POLY_NONCE="8"),
    "another timestamp": lambda h: h.update(POLY_TIMESTAMP=str(NOW_S + 1)),
    "no signature": lambda h: h.pop("POLY_SIGNATURE"),
    "no address": lambda h: h.pop("POLY_ADDRESS"),
    "a cut signature": lambda h: h.update(POLY_SIGNATURE=h["POLY_SIGNATURE"][:-2]),
    "a signature that is no hex": lambda h: h.update(POLY_SIGNATURE="0x" + "zz" * 65),
    "a signature without 0x": lambda h: h.update(POLY_SIGNATURE=h["POLY_SIGNATURE"][2:]),
    "a recovery id of 0": lambda h: h.update(POLY_SIGNATURE=h["POLY_SIGNATURE"][:-2] + "00"),
    "a nonce with a sign": lambda h: h.update(POLY_NONCE="+7"),
    "a timestamp in hex": lambda h: h.update(POLY_TIMESTAMP="0x6ab1"),
}


@pytest.mark.parametrize("change", L1_CHANGES)
def test_l1_refuses(change: str) -> None:
    headers = l1_headers()
    L1_CHANGES[change](headers)
    with pytest.raises(L1Rejected):
        authenticator().l1(headers, NOW_S)


@pytest.mark.parametrize("now_s", [NOW_S - 61, NOW_S + 61])
def test_l1_refuses_a_timestamp_outside_the_window(now_s: int) -> None:
    with pytest.raises(L1Rejected):
        authenticator().l1(l1_headers(), now_s)


def test_l1_is_bound_to_the_chain_and_the_message() -> None:
    for wrong in (
        clob_auth_headers(SECRET, timestamp=NOW_S, nonce=7, chain_id=137),
        clob_auth_headers(SECRET, timestamp=NOW_S, nonce=7, chain_id=CHAIN, message="Hello"),
    ):
        with pytest.raises(L1Rejected):
            authenticator().l1(wrong, NOW_S)


def test_the_same_nonce_names_the_same_key_and_creates_it_once() -> None:
    auth, address = authenticator(), address_from(STRANGER)
    with pytest.raises(KeyRefused, match="Could not derive"):
        auth.derive(address, 0)
    first = auth.create(address, 0)
    assert auth.derive(address, 0) == first
    with pytest.raises(KeyRefused, match="Could not create"):
        auth.create(address, 0)
    second = auth.create(address, 1)
    assert {first.key, second.key} == set(auth.keys_of(address))
    assert first.key != second.key
    assert first.secret != second.secret
    auth.delete(first)
    assert auth.keys_of(address) == (second.key,)
    assert auth.create(address, 0) == first


def test_l2_headers_authenticate_exactly_their_request() -> None:
    venue = clob()
    trader = Trader(venue, SECRET)
    headers = trader.l2("POST", "/order", b'{"a":1}')

    def check(
        method: str = "POST",
        path: str = "/order",
        body: bytes = b'{"a":1}',
        now_s: int = NOW_S,
    ) -> object:
        return venue.auth.l2(headers, method, path, body, now_s)

    assert check() == trader.api
    assert check(now_s=NOW_S + 60) == trader.api
    wrong: list[dict[str, Any]] = [
        {"method": "DELETE"},
        {"path": "/orders"},
        {"body": b'{"a": 1}'},
        {"body": b""},
        {"now_s": NOW_S + 61},
        {"now_s": NOW_S - 61},
    ]
    for change in wrong:
        with pytest.raises(Unauthorized):
            check(**change)


L2_CHANGES: dict[str, Change] = {
    "an unknown key": lambda h: h.update(POLY_API_KEY="00000000-0000-0000-0000-000000000000"),
    "another address": lambda h: h.update(POLY_ADDRESS=STRANGER),
    "another passphrase": lambda h: h.update(POLY_PASSPHRASE="0" * 64),
    "another timestamp": lambda h: h.update(POLY_TIMESTAMP=str(NOW_S + 1)),
    "a timestamp with a sign": lambda h: h.update(POLY_TIMESTAMP="+" + str(NOW_S)),
    "a signature without padding": lambda h: h.update(
        POLY_SIGNATURE=h["POLY_SIGNATURE"].rstrip("=")
    ),
    "plain base64": lambda h: h.update(POLY_SIGNATURE="+" + h["POLY_SIGNATURE"][1:]),
    "no passphrase": lambda h: h.pop("POLY_PASSPHRASE"),
    "no signature": lambda h: h.pop("POLY_SIGNATURE"),
    "no timestamp": lambda h: h.pop("POLY_TIMESTAMP"),
}


@pytest.mark.parametrize("change", L2_CHANGES)
def test_l2_refuses(change: str) -> None:
    venue = clob()
    headers = Trader(venue, SECRET).l2("GET", "/data/orders")
    L2_CHANGES[change](headers)
    with pytest.raises(Unauthorized):
        venue.auth.l2(headers, "GET", "/data/orders", b"", NOW_S)


def test_one_traders_secret_does_not_open_anothers_key() -> None:
    venue = clob()
    alice, mallory = Trader(venue, SECRET), Trader(venue, "0x" + "22" * 32)
    headers = mallory.l2("GET", "/data/orders") | {
        "POLY_API_KEY": alice.api.key,
        "POLY_PASSPHRASE": alice.api.passphrase,
        "POLY_ADDRESS": alice.address,
    }
    with pytest.raises(Unauthorized):
        venue.auth.l2(headers, "GET", "/data/orders", b"", NOW_S)


def test_a_deleted_key_no_longer_authenticates() -> None:
    venue = clob()
    trader = Trader(venue, SECRET)
    headers = trader.l2("GET", "/data/orders")
    venue.auth.l2(headers, "GET", "/data/orders", b"", NOW_S)
    venue.auth.delete(trader.api)
    with pytest.raises(Unauthorized):
        venue.auth.l2(headers, "GET", "/data/orders", b"", NOW_S)
