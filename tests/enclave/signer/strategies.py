"""Hypothesis strategies for keys, accounts, orders, terms and whole signing situations."""

from base64 import urlsafe_b64encode
from typing import NamedTuple

from hypothesis import strategies as st
from strongroom_enclave.signer.amounts import ONE, Side, Tick
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import OrderType, RequestBuilder
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.orders import Account, Order, SignatureType, SignedOrder
from strongroom_wire.frames import OrderIntent

__all__ = [
    "SECRET", "SECRET_TEXT", "Situation", "Terms", "accounts", "api_keys", "orders", "passphrases",
    "situations", "terms", "ticks_and_prices", "words32",
]  # fmt: skip

SECRET = bytes(range(32))
SECRET_TEXT = urlsafe_b64encode(SECRET).decode()
_ORDER_OF_CURVE = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

words32 = st.binary(min_size=32, max_size=32)
_addresses = st.binary(min_size=20, max_size=20)
_keys = st.integers(1, _ORDER_OF_CURVE - 1).map(lambda n: SigningKey(n.to_bytes(32, "big")))
api_keys = st.from_regex(r"[A-Za-z0-9-]{1,64}", fullmatch=True)
passphrases = st.from_regex(r"[A-Za-z0-9._~+/=-]{1,128}", fullmatch=True)


class Terms(NamedTuple):
    """What a posted order says outside its signature, and an intent that says it."""

    order_type: OrderType = OrderType.GTC
    expiration: int = 0
    post_only: bool = False
    defer_exec: bool = False

    @property
    def intent(self) -> OrderIntent:
        flags = 2 * self.post_only + 4 * self.defer_exec
        return OrderIntent(0, 0, int(self.order_type), 0, flags, 0, 0, 0, 0, self.expiration)


class Situation(NamedTuple):
    """One order about to be posted, and everything it takes."""

    secret: int
    key: SigningKey
    account: Account
    exchange: Exchange
    order: Order
    terms: Terms
    credential: ApiCredential

    @property
    def signed(self) -> SignedOrder:
        """The order, signed."""
        return self.key.sign_order(self.order, self.exchange, self.account)

    @property
    def builder(self) -> RequestBuilder:
        """Its account's requests."""
        return RequestBuilder("clob.polymarket.com", self.account, self.credential)


@st.composite
def accounts(draw: st.DrawFn, key: SigningKey) -> Account:
    """Every account form that this key can trade for."""
    kind = draw(st.sampled_from(SignatureType))
    maker = key.address if kind is SignatureType.EOA else draw(_addresses)
    return Account(
        key.address, kind, maker, kind is SignatureType.POLY_1271 and draw(st.booleans())
    )


@st.composite
def orders(draw: st.DrawFn, account: Account) -> Order:
    """Any order the account may have, to the edges of every field."""
    return Order(
        salt=draw(st.integers(0, 2**53 - 1)),
        maker=account.maker,
        signer=account.signer,
        token_id=draw(st.integers(0, 2**256 - 1)),
        maker_amount=draw(st.integers(1, 2**64 - 1)),
        taker_amount=draw(st.integers(1, 2**64 - 1)),
        side=draw(st.sampled_from(Side)),
        signature_type=account.signature_type,
        timestamp=draw(st.integers(0, 2**64 - 1)),
        metadata=draw(words32),
        builder=draw(words32),
    )


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Any terms that do not contradict themselves."""
    kind = draw(st.sampled_from(OrderType))
    expiration = draw(st.integers(1, 2**64 - 1)) if kind is OrderType.GTD else 0
    post_only = kind <= OrderType.GTD and draw(st.booleans())
    return Terms(kind, expiration, post_only, draw(st.booleans()))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """An order of any account form on any exchange, under any terms and credential."""
    secret = draw(st.integers(1, _ORDER_OF_CURVE - 1))
    key = SigningKey(secret.to_bytes(32, "big"))
    account = draw(accounts(key))
    order = draw(orders(account))
    credential = ApiCredential(draw(api_keys), SECRET_TEXT, draw(passphrases))
    exchange = draw(st.sampled_from(Exchange))
    return Situation(secret, key, account, exchange, order, draw(terms()), credential)


@st.composite
def ticks_and_prices(draw: st.DrawFn) -> tuple[Tick, int]:
    """A tick and a price on its grid, in millionths."""
    tick = draw(st.sampled_from(Tick))
    return tick, tick * draw(st.integers(1, ONE // tick - 1))
