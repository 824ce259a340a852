"""The signer makes nonces while nobody waits, signs with them, and only where the manifest says."""

import re
import time
from collections.abc import Callable

import msgspec
import pytest
from eth_account import Account
from strongroom_enclave.signer import nonces
from strongroom_enclave.signer.nonces import NoncePool
from strongroom_wire.errors import Code
from strongroom_wire.frames import Reply
from strongroom_wire.statements import Action

from tests.enclave.signer_service.harness import started
from tests.hostile.driver import Desk

SIGNATURE = re.compile(rb'"signature":"0x([0-9a-f]{130})"')


def desk(pool: int) -> Desk:
    keys = [
        msgspec.structs.replace(key, per_boot=True, nonce_pool=pool) if key.name == "main" else key
        for key in Desk().manifest.keys
    ]
    return Desk().but(keys=tuple(keys))


def signed_by(reply: Reply) -> str:
    """Returns the address, in lower-case hex, whose key signed the order in a reply."""
    assert reply.code is Code.OK
    (found,) = SIGNATURE.findall(reply.request)
    signature = bytes.fromhex(found.decode())
    address: str = Account._recover_hash(reply.order_hashes[0], signature=signature)
    return address.lower()


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.002)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[NoncePool]:
    """Every pool that is made from here on."""
    made = list[NoncePool]()

    class Watched(NoncePool):
        def __init__(self, secret: bytes, size: int) -> None:
            super().__init__(secret, size)
            self.used = 0
            made.append(self)

        def sign(self, digest: bytes) -> bytes:
            signature = super().sign(digest)
            self.used += bool(signature)
            return signature

    monkeypatch.setattr(nonces, "NoncePool", Watched)
    return made


def test_nonces_are_made_in_idle_moments_and_used(pools: list[NoncePool]) -> None:
    with started(desk(4)) as signer:
        assert pools == [], "not before there is a key"
        address = "0x" + signer.order_ok("main").hex()
        (pool,) = pools
        wait_for(lambda: pool._ready == 4)
        signer.give(signer.permit())
        assert signer.enrol()[0] is Code.OK
        channel = signer.channel()
        for count in range(1, 13):
            assert signed_by(channel.buy(1)) == address
            wait_for(lambda: pool._ready == 4)
            assert pool.used >= count, "a full pool is what signs"  # type: ignore[attr-defined]
        assert pool._made == pool.used + 4  # type: ignore[attr-defined]


def test_an_empty_pool_keeps_nobody_waiting(
    pools: list[NoncePool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(desk(4)) as signer:
        signer.make_ready()
        (pool,) = pools
        wait_for(lambda: pool._ready == 4)
        monkeypatch.setattr(pool, "refill", lambda: False)
        channel = signer.channel()
        assert [len({signed_by(channel.buy(1)) for _ in range(9)}), pool._ready] == [1, 0]
        assert pool.used >= 4  # type: ignore[attr-defined]


def test_it_is_off_unless_the_manifest_says_so(pools: list[NoncePool]) -> None:
    with started() as signer:
        signer.make_ready()
        assert signed_by(signer.channel().buy(1))
    assert pools == []


def test_a_key_has_one_pool_however_often_it_is_asked_for(pools: list[NoncePool]) -> None:
    """Another pool for the same key would number its nonces from the start again."""
    with started(desk(2)) as signer:
        address = signer.order_ok("main")
        code, again = signer.order(Action.GENERATE, "main", b"another order for the same")
        assert (code, again) == (Code.OK, address)
        signer.make_ready()
        signer.give(signer.permit(2))
        assert signed_by(signer.channel().buy(1))
    assert len(pools) == 1
