"""The key signs two typed things, shows no secret, and refuses what is not its own."""

import copy
import inspect
import pickle

import pytest
from eth_keys import datatypes as eth_keys
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.signer import errors
from strongroom_enclave.signer.amounts import Side
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.eip712 import checksum_address, clob_auth_digest
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.orders import Account, Order, SignatureType

from tests.enclave.signer.strategies import Situation, situations

N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
KEY = SigningKey(SECRET)
WALLET = bytes.fromhex("33" * 20)
EOA = Account(KEY.address, SignatureType.EOA, KEY.address)


def an_order(account: Account = EOA, **changes: object) -> Order:
    fields: dict[str, object] = {
        "salt": 1,
        "maker": account.maker,
        "signer": account.signer,
        "token_id": 7,
        "maker_amount": 570_000,
        "taker_amount": 1_000_000,
        "side": Side.BUY,
        "signature_type": account.signature_type,
        "timestamp": 1_790_000_000_000,
        "metadata": bytes(32),
        "builder": bytes(32),
    }
    return Order(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "secret",
    [b"", b"\x01", SECRET[:31], b"\0" + SECRET, bytes(32), N.to_bytes(32, "big"), b"\xff" * 32],
    ids=["empty", "one byte", "31 bytes", "33 bytes", "zero", "n", "2^256-1"],
)
def test_what_is_no_private_key_is_refused_without_being_quoted(secret: bytes) -> None:
    with pytest.raises(errors.PrivateKeyInvalid) as caught:
        SigningKey(secret)
    shown = f"{caught.value!r} {caught.value} {caught.value.__dict__}"
    assert len(secret) < 4 or secret.hex()[:8] not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("number", [1, 2, N - 1])
def test_the_ends_of_the_range_are_keys(number: int) -> None:
    expected = eth_keys.PrivateKey(number.to_bytes(32, "big")).public_key.to_canonical_address()
    assert SigningKey(number.to_bytes(32, "big")).address == expected


def test_a_key_shows_its_address_and_no_secret() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY}"):
        assert SECRET.hex() not in text
        assert repr(SECRET) not in text
        assert "sign" not in text
    assert not hasattr(KEY, "secret")
    assert not hasattr(KEY, "__dict__")


def test_a_key_is_not_pickled_and_not_cloned() -> None:
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(KEY)


def test_a_key_cannot_be_given_another_address() -> None:
    with pytest.raises(AttributeError):
        KEY.address = WALLET  # type: ignore[misc]


def test_the_public_verbs_take_typed_values_and_no_digest() -> None:
    """Two verbs; neither has a parameter that could carry 32 bytes of the caller's choice."""
    verbs = {
        name: list(inspect.signature(member).parameters.values())[1:]
        for name, member in inspect.getmembers(SigningKey, inspect.isfunction)
        if not name.startswith("_")
    }
    types = {name: [p.annotation for p in parameters] for name, parameters in verbs.items()}
    assert types == {
        "sign_order": [Order, Exchange, Account],
        "sign_clob_auth": [int, int, int],
    }


def test_an_order_type_that_hashes_itself_otherwise_is_refused() -> None:
    class Forged(Order, frozen=True):
        def struct_hash(self) -> bytes:
            return b"\x13" * 32

    order = an_order()
    forged = Forged(*(getattr(order, name) for name in order.__struct_fields__))
    with pytest.raises(errors.UnknownExchange):
        KEY.sign_order(forged, Exchange.POLYGON_V2, EOA)


def test_an_exchange_outside_the_table_is_refused() -> None:
    class Elsewhere:
        chain_id, address, domain_separator = 1, bytes(20), bytes(32)

        def digest(self, struct_hash: bytes) -> bytes:
            return b"\x13" * 32

    with pytest.raises(errors.UnknownExchange):
        KEY.sign_order(an_order(), Elsewhere(), EOA)  # type: ignore[arg-type]
    with pytest.raises(TypeError):

        class More(Exchange):  # type: ignore[misc]
            pass

    for chain_id, label in ((1, "v2"), (137, "v1"), (80002, "v4"), (137, "")):
        with pytest.raises(errors.UnknownExchange):
            Exchange.named(chain_id, label)


DEPOSIT = Account(KEY.address, SignatureType.POLY_1271, WALLET)
OTHER = SigningKey(b"\x01" * 32)
FOREIGN = Account(OTHER.address, SignatureType.EOA, OTHER.address)


@pytest.mark.parametrize(
    ("order", "account"),
    [
        (an_order(maker=WALLET), EOA),
        (an_order(signer=WALLET), EOA),
        (an_order(signature_type=SignatureType.POLY_PROXY), EOA),
        (an_order(DEPOSIT, signer=KEY.address), DEPOSIT),
        (an_order(DEPOSIT, signature_type=SignatureType.POLY_GNOSIS_SAFE), DEPOSIT),
        (an_order(DEPOSIT), EOA),
        (an_order(), DEPOSIT),
        (an_order(FOREIGN), FOREIGN),
    ],
    ids=["maker", "signer", "type", "1271 signer", "1271 type", "wallet", "eoa", "another key"],
)
def test_an_order_that_is_not_the_accounts_is_refused(order: Order, account: Account) -> None:
    with pytest.raises(errors.AccountMismatch):
        KEY.sign_order(order, Exchange.POLYGON_V2, account)


def test_accounts_that_cannot_be_are_refused() -> None:
    with pytest.raises(errors.AccountMismatch):
        Account(KEY.address, SignatureType.EOA, WALLET)
    with pytest.raises(errors.AccountMismatch):
        Account(KEY.address, 0, WALLET)  # type: ignore[arg-type]
    for kind in (SignatureType.POLY_PROXY, SignatureType.POLY_GNOSIS_SAFE):
        with pytest.raises(errors.AccountMismatch):
            Account(KEY.address, kind, WALLET, session=True)


def test_a_salt_that_a_double_cannot_carry_is_refused() -> None:
    assert an_order(salt=2**53 - 1).salt == 2**53 - 1
    for salt in (2**53, 2**64 - 1, -1):
        with pytest.raises(errors.FieldOutOfRange):
            an_order(salt=salt)


@given(situations())
def test_signatures_are_low_s_recover_to_the_key_and_use_rfc_6979(s: Situation) -> None:
    first, again = s.signed, s.signed
    assert first == again
    wire = bytes.fromhex(first.signature[2:])
    assert first.signature == first.signature.lower()
    inner = wire[128:] if s.account.session else wire
    r, low, v = inner[:32], int.from_bytes(inner[32:64], "big"), inner[64]
    assert 0 < low <= N // 2
    assert v in (27, 28)
    if s.account.signature_type is not SignatureType.POLY_1271:
        assert len(wire) == 65
        signature = eth_keys.Signature(r + inner[32:64] + bytes([v - 27]))
        recovered = signature.recover_public_key_from_msg_hash(first.order_hash)
        assert recovered.to_canonical_address() == s.key.address
        deterministic = eth_keys.PrivateKey(s.secret.to_bytes(32, "big"))
        assert deterministic.sign_msg_hash(first.order_hash) == signature


@given(situations(), st.sampled_from(Exchange))
def test_no_two_orders_or_exchanges_share_a_hash(s: Situation, other: Exchange) -> None:
    elsewhere = s.key.sign_order(s.order, other, s.account)
    assert (elsewhere.order_hash == s.signed.order_hash) is (other is s.exchange)
    changed = an_order(s.account, salt=s.order.salt ^ 1)
    assert s.key.sign_order(changed, s.exchange, s.account).order_hash != s.signed.order_hash


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from((137, 80002)))
def test_a_login_is_signed_for_this_key_only(timestamp: int, nonce: int, chain_id: int) -> None:
    headers = KEY.sign_clob_auth(chain_id, timestamp, nonce)
    digest = clob_auth_digest(KEY.address, chain_id, timestamp, nonce)
    raw = bytes.fromhex(headers["POLY_SIGNATURE"][2:])
    signature = eth_keys.Signature(raw[:64] + bytes([raw[64] - 27]))
    public = signature.recover_public_key_from_msg_hash(digest)
    assert public.to_checksum_address() == headers["POLY_ADDRESS"] == checksum_address(KEY.address)
    assert (headers["POLY_TIMESTAMP"], headers["POLY_NONCE"]) == (str(timestamp), str(nonce))


def test_a_login_for_another_chain_is_refused() -> None:
    with pytest.raises(errors.UnknownExchange):
        KEY.sign_clob_auth(1, 1, 0)
