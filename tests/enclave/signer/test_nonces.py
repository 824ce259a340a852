"""Nonces made ahead: what they sign verifies, none comes twice, and none outlives its use."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from coincurve import PrivateKey, PublicKey
from eth_account import Account as EthAccount
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.signer import nonces
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.nonces import NoncePool
from strongroom_enclave.signer.orders import Account, SignatureType

from tests.enclave.signer.test_keys import an_order

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
KEY = PrivateKey(SECRET)
DIGEST = bytes(range(32))
MANY = 100_000 if os.environ.get("STRONGROOM_SOAK") else 3_000

digests = st.integers(1, ORDER - 1).map(lambda n: n.to_bytes(32, "big"))


def full(size: int = 1, secret: bytes = SECRET) -> NoncePool:
    pool = NoncePool(secret, size)
    for _ in range(size):
        assert pool.refill()
    return pool


def signatures(pool: NoncePool) -> Iterator[bytes]:
    """Yield signatures for as long as somebody asks, making a nonce before each."""
    while pool.refill():
        yield pool.sign(secrets.token_bytes(32))


@given(digests)
def test_a_signature_is_one_of_the_key_and_has_a_low_s(digest: bytes) -> None:
    signature = full().sign(digest)
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:64]))
    assert len(signature) == 65
    assert 0 < r < ORDER
    assert 0 < s <= ORDER // 2
    found = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    assert found.format() == KEY.public_key.format()
    wire = signature[:64] + bytes([signature[64] + 27])
    assert EthAccount._recover_hash(digest, signature=wire) == EthAccount.from_key(SECRET).address


def test_an_order_signed_with_one_is_as_valid_as_any_other() -> None:
    key, plain = SigningKey(SECRET, full(2)), SigningKey(SECRET)
    account = Account(key.address, SignatureType.EOA, key.address)
    signed = [
        each.sign_order(an_order(), Exchange.POLYGON_V2, account) for each in (key, key, plain, key)
    ]
    assert len({each.order_hash for each in signed}) == 1
    texts = [each.signature for each in signed]
    assert len(set(texts[:3])) == 3
    assert texts[3] == texts[2], "an empty pool leaves RFC 6979"
    for text in texts:
        found = EthAccount._recover_hash(signed[0].order_hash, signature=text)
        assert found.lower() == "0x" + key.address.hex()


def test_no_nonce_comes_twice() -> None:
    pool = NoncePool(SECRET, 64)
    seen = {signature[:32] for signature in islice(signatures(pool), MANY)}
    assert len(seen) == MANY


@pytest.mark.parametrize("stuck", [bytes(31) + b"\x01", b"\xaa" * 32])
def test_without_any_randomness_nonces_still_differ(
    monkeypatch: pytest.MonkeyPatch, stuck: bytes
) -> None:
    monkeypatch.setattr(nonces, "token_bytes", lambda size: stuck)
    pools = (NoncePool(SECRET, 4), NoncePool(stuck, 4))
    seen = [signature[:32] for pool in pools for signature in islice(signatures(pool), 200)]
    assert len(set(seen)) == 400, "of one key among each other, and of two keys"


def test_nonces_of_two_pools_of_a_key_have_nothing_in_common() -> None:
    first, second = (
        {signature[:32] for signature in islice(signatures(NoncePool(SECRET, 1)), 200)}
        for _ in range(2)
    )
    assert not first & second, "the number alone does not make them"


def slots(pool: NoncePool) -> bytes:
    return bytes(pool._memory[1:])


def test_the_place_is_overwritten_before_anything_is_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, combined, left = full(), nonces._combined, list[bytes]()
    entry = slots(pool)
    assert any(entry)

    def watched(scalar: bytes, *factors: bytes, plus: bytes = b"") -> bytes:
        assert scalar == entry[:32], "this is the entry"
        left.append(slots(pool))
        return combined(scalar, *factors, plus=plus)

    monkeypatch.setattr(nonces, "_combined", watched)
    assert pool.sign(DIGEST)
    assert left == [bytes(len(entry))]
    assert pool.sign(DIGEST) == b""


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_a_failure_costs_the_nonce(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    pool = full(2)
    doomed = slots(pool)[97 + 65 :]  # r of the last one, which is the first to go

    def fail(*_: bytes, **__: bytes) -> bytes:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(nonces, "_combined", fail)
        with pytest.raises(error):
            pool.sign(DIGEST)
    rest = [pool.sign(DIGEST)[:32] for _ in range(2)]
    assert rest[0]
    assert rest[0] != doomed
    assert rest[1] == b""


def test_what_fails_while_one_is_made_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = NoncePool(SECRET, 1)

    def fail(*_: bytes) -> bytes:
        raise ValueError("out of range")

    with monkeypatch.context() as broken:
        broken.setattr(nonces, "_prepared", fail)
        assert pool.refill()
    assert pool.sign(DIGEST) == b""
    assert not any(slots(pool))
    assert pool.refill()
    assert pool.sign(DIGEST)


def in_a_child(check: Callable[[], bool]) -> None:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork, with pytest's threads around
def test_a_fork_leaves_the_child_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = NoncePool(SECRET, 4)
    for _ in range(3):
        assert pool.refill()
    key = SigningKey(SECRET, pool)
    account = Account(key.address, SignatureType.EOA, key.address)
    in_a_child(lambda: not any(pool._memory))
    in_a_child(lambda: pool.sign(DIGEST) == b"")
    in_a_child(lambda: not pool.refill())

    def computes_nothing() -> bool:
        def computed(*_: bytes, **__: bytes) -> bytes:
            raise AssertionError("the parent's entries are not there, and not looked for")

        monkeypatch.setattr(nonces, "_combined", computed)
        return pool.sign(DIGEST) == b""

    in_a_child(computes_nothing)
    plain = SigningKey(SECRET).sign_order(an_order(), Exchange.POLYGON_V2, account)
    in_a_child(lambda: key.sign_order(an_order(), Exchange.POLYGON_V2, account) == plain)
    assert all(pool.sign(DIGEST) for _ in range(3)), "the parent has all of them"


def test_threads_share_none() -> None:
    pool = NoncePool(SECRET, 16)

    def run(_: int) -> list[bytes]:
        found = []
        for _ in range(300):
            pool.refill()
            found.append(pool.sign(secrets.token_bytes(32)))
        return found

    with ThreadPoolExecutor(8) as threads:
        made = [each for found in threads.map(run, range(8)) for each in found if each]
    assert len(made) > 1000
    assert len({signature[:32] for signature in made}) == len(made)


class Watched(list[memoryview]):
    """Slots that notice two threads at once among them, and give the second every chance."""

    inside, most = 0, 0

    def __getitem__(self, at: object) -> memoryview:  # type: ignore[override]
        Watched.inside += 1
        Watched.most = max(Watched.most, Watched.inside)
        time.sleep(0.001)
        Watched.inside -= 1
        return super().__getitem__(at)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("other", ["refill", "sign"])
def test_one_thread_at_a_time_takes_or_makes(other: str) -> None:
    pool = full(8)
    pool._slots, Watched.most = Watched(pool._slots), 0
    calls = [lambda: pool.sign(DIGEST), pool.refill if other == "refill" else None]

    def run(number: int) -> None:
        for _ in range(10):
            (calls[number % 2] or calls[0])()  # type: ignore[misc]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    assert Watched.most == 1


def test_there_are_never_more_than_asked_for() -> None:
    pool = full(3)
    assert not pool.refill()
    assert pool._made == 3
    assert len([pool.sign(DIGEST) for _ in range(4) if pool._ready]) == 3
    assert not NoncePool(SECRET, 0).refill()


@pytest.mark.parametrize(
    "digest", [b"", DIGEST[:31], DIGEST + b"\0", bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32]
)
def test_what_is_no_digest_for_it_gets_none(digest: bytes) -> None:
    """All but the first three are digests, though none that this way of signing can take."""
    pool = full(2)
    assert pool.sign(digest) == b""
    assert pool.sign(DIGEST)


@pytest.mark.parametrize("digest", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_a_digest_that_the_pool_cannot_take_is_signed_without(digest: bytes) -> None:
    key = SigningKey(SECRET, full(1))
    signature = key._sign_digest(digest)
    assert signature == SigningKey(SECRET)._sign_digest(digest)


@pytest.mark.parametrize("spoilt", [bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_a_scalar_out_of_range_makes_no_entry(spoilt: bytes) -> None:
    good = secrets.token_bytes(32)
    assert len(nonces._prepared(good, good, SECRET)) == 97
    for scalars in ((spoilt, good, SECRET), (good, spoilt, SECRET), (good, good, spoilt)):
        with pytest.raises(ValueError, match=r"out of range|[Ii]nvalid"):
            nonces._prepared(*scalars)


@given(digests, digests, digests, digests)
def test_an_entry_is_the_algebra_by_hand(k: bytes, blind: bytes, d: bytes, z: bytes) -> None:
    entry = nonces._prepared(k, blind, d)
    point = PrivateKey(k).public_key.format()
    r, nonce = int.from_bytes(point[1:33], "big") % ORDER, int.from_bytes(k, "big")
    inverse = pow(nonce, -1, ORDER)
    share = inverse * r * int.from_bytes(d, "big") % ORDER
    assert entry == inverse.to_bytes(32, "big") + share.to_bytes(32, "big") + point
    s = inverse * (int.from_bytes(z, "big") + r * int.from_bytes(d, "big")) % ORDER
    assert nonces._combined(entry[:32], z, plus=entry[32:64]) == s.to_bytes(32, "big")
