"""Session keys come and go by the owner's signature over real calldata, and stop when they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.contracts import address_from
from strongroom_host.testnet.errors import (
    ChainCallRefused,
    ConfigError,
    InvalidSignature,
    WrongOrderSigner,
)
from strongroom_host.testnet.records import OrderStatus
from strongroom_host.testnet.wallets import (
    AUTHORIZE_SELECTOR,
    REVOKE_SELECTOR,
    Batch,
    WalletKind,
    Wallets,
    authorize_calldata,
    revoke_calldata,
)

from tests.host.testnet.traders import Clock, Trader, clob

CLOB_SCOPE = frozenset({"CLOB"})


class Desk:
    """An owner with a deposit wallet, and a second key that is to become a session key."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.venue: Clob = clob(self.clock)
        self.owner = Trader.funded(self.venue, 1, WalletKind.DEPOSIT)
        self.session = Trader(self.venue, "0x" + "33" * 32, WalletKind.DEPOSIT, self.owner.maker)
        self.token = self.venue.config.markets[0].tokens[0]

    def authorize(self, scopes: frozenset[str] = CLOB_SCOPE, seconds: int = 600) -> None:
        calldata = authorize_calldata(self.session.address, self.venue.now_s + seconds)
        self.venue.execute(self.owner.batch(calldata), {self.session.address: scopes})

    def order(self, **how: Any) -> bytes:
        return self.session.place(self.token, "BUY", 0.5, 10, **({"session": True} | how)).order_id


def test_selectors_and_calldata_are_the_wallets() -> None:
    key = address_from("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
    assert AUTHORIZE_SELECTOR.hex() == "24017fae"
    assert REVOKE_SELECTOR.hex() == "e63f952f"
    assert authorize_calldata(key, 0x6AB10000).hex() == (
        "24017fae"
        "00000000000000000000000070997970c51812dc3a010c7d01b50e0d17dc79c8"
        "000000000000000000000000000000000000000000000000000000006ab10000"
    )
    assert revoke_calldata(key).hex() == (
        "e63f952f00000000000000000000000070997970c51812dc3a010c7d01b50e0d17dc79c8"
    )


def test_a_session_key_trades_between_authorisation_and_revocation() -> None:
    desk = Desk()
    with pytest.raises((InvalidSignature, WrongOrderSigner)):
        desk.order()
    desk.authorize()
    stored = desk.venue.orders[desk.order()]
    assert stored.signed_by == desk.session.address
    desk.venue.execute(desk.owner.batch(revoke_calldata(desk.session.address)), {})
    assert stored.status is OrderStatus.CANCELED
    with pytest.raises((InvalidSignature, WrongOrderSigner)):
        desk.order()


@pytest.mark.parametrize("scopes", [frozenset({"ALL"}), CLOB_SCOPE])
def test_scopes_that_trade_the_book(scopes: frozenset[str]) -> None:
    desk = Desk()
    desk.authorize(scopes)
    desk.order()


def test_the_combos_scope_does_not_trade_the_book() -> None:
    desk = Desk()
    desk.authorize(frozenset({"COMBOSRFQ"}))
    with pytest.raises((InvalidSignature, WrongOrderSigner)):
        desk.order()


def test_an_expired_session_key_neither_signs_nor_keeps_its_orders() -> None:
    desk = Desk()
    desk.authorize(seconds=100)
    stored = desk.venue.orders[desk.order()]
    desk.clock.forward(99)
    desk.order()
    desk.clock.forward(1)
    desk.venue.advance()
    assert stored.status is OrderStatus.CANCELED
    with pytest.raises((InvalidSignature, WrongOrderSigner)):
        desk.order()


def test_a_session_key_must_sign_in_its_envelope_and_for_its_wallet() -> None:
    desk = Desk()
    desk.authorize()
    with pytest.raises(InvalidSignature):
        desk.order(session=False)
    other = Trader.funded(desk.venue, 9, WalletKind.DEPOSIT)
    desk.session.maker = other.maker
    with pytest.raises((InvalidSignature, WrongOrderSigner)):
        desk.order()


def test_the_owner_sees_session_orders_but_not_the_reverse() -> None:
    desk = Desk()
    desk.authorize()
    by_session = desk.order()
    by_owner = desk.owner.place(desk.token, "BUY", 0.5, 10).order_id
    seen = {stored.order_id for stored in desk.venue.open_orders(desk.owner.api)}
    assert seen == {by_session, by_owner}
    seen = {stored.order_id for stored in desk.venue.open_orders(desk.session.api)}
    assert seen == {by_session}
    assert desk.venue.cancel([by_owner], desk.session.api)[0] == []


def grant(desk: Desk) -> Batch:
    return desk.owner.batch(authorize_calldata(desk.session.address, desk.venue.now_s + 600))


REFUSED: dict[str, Callable[[Desk], Batch]] = {
    "a stranger's signature": lambda d: d.owner.batch(
        authorize_calldata(d.session.address, 2**40), signer=d.session.secret
    ),
    "a used nonce": lambda d: d.owner.batch(authorize_calldata(d.session.address, 2**40), nonce=1),
    "a passed deadline": lambda d: d.owner.batch(
        authorize_calldata(d.session.address, 2**40), deadline_s=d.venue.now_s - 1
    ),
    "calldata that was not signed": lambda d: replace(
        grant(d), calls=((d.owner.maker, 0, authorize_calldata(d.owner.address, 2**40)),)
    ),
    "an unknown wallet": lambda d: d.owner.batch(
        authorize_calldata(d.session.address, 2**40), wallet=d.session.address
    ),
    "another target": lambda d: d.owner.batch(
        calls=((d.session.address, 0, authorize_calldata(d.session.address, 2**40)),)
    ),
    "value attached": lambda d: d.owner.batch(
        calls=((d.owner.maker, 1, authorize_calldata(d.session.address, 2**40)),)
    ),
    "another method": lambda d: d.owner.batch(bytes.fromhex("a9059cbb") + bytes(64)),
    "cut calldata": lambda d: d.owner.batch(authorize_calldata(d.session.address, 2**40)[:-1]),
    "dirty address padding": lambda d: d.owner.batch(
        AUTHORIZE_SELECTOR + b"\x01" + authorize_calldata(d.session.address, 2**40)[5:]
    ),
    "revoking what is not there": lambda d: d.owner.batch(revoke_calldata(d.session.address)),
    "a cut signature": lambda d: replace(grant(d), signature=grant(d).signature[:-1]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_chain_refuses(name: str) -> None:
    desk = Desk()
    with pytest.raises(ChainCallRefused):
        desk.venue.execute(REFUSED[name](desk), {desk.session.address: CLOB_SCOPE})
    assert desk.venue.wallets.session_keys(desk.owner.maker) == ()
    assert desk.venue.wallets.nonce_of(desk.owner.maker) == 0
    desk.venue.execute(grant(desk), {desk.session.address: CLOB_SCOPE})
    assert len(desk.venue.wallets.session_keys(desk.owner.maker)) == 1


@pytest.mark.parametrize(
    "scopes", [frozenset(), frozenset({"WITHDRAW"}), frozenset({"ALL", "CLOB"})]
)
def test_scopes_that_are_refused(scopes: frozenset[str]) -> None:
    with pytest.raises(ChainCallRefused, match="invalid scopes"):
        Desk().authorize(scopes)


def test_a_batch_cannot_be_replayed() -> None:
    desk = Desk()
    batch = grant(desk)
    scopes = {desk.session.address: CLOB_SCOPE}
    desk.venue.execute(batch, scopes)
    desk.venue.execute(desk.owner.batch(revoke_calldata(desk.session.address)), {})
    with pytest.raises(ChainCallRefused, match="nonce"):
        desk.venue.execute(batch, scopes)


def test_a_batch_applies_whole_or_not_at_all() -> None:
    desk = Desk()
    batch = desk.owner.batch(
        authorize_calldata(desk.session.address, 2**40), revoke_calldata(desk.owner.address)
    )
    with pytest.raises(ChainCallRefused):
        desk.venue.execute(batch, {desk.session.address: CLOB_SCOPE})
    assert desk.venue.wallets.session_keys(desk.owner.maker) == ()


def test_an_address_keeps_its_kind_and_owner() -> None:
    wallets = Wallets(137)
    first, second = address_from("0x" + "11" * 20), address_from("0x" + "22" * 20)
    wallets.register(first, WalletKind.DEPOSIT, second)
    wallets.register(first, WalletKind.DEPOSIT, second)
    for kind, owner in ((WalletKind.SAFE, second), (WalletKind.DEPOSIT, first)):
        with pytest.raises(ConfigError):
            wallets.register(first, kind, owner)
    with pytest.raises(ConfigError):
        wallets.register(second, WalletKind.EOA, first)
