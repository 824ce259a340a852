"""A good value of every type of the wire contract: tests change one thing in it and look."""

from decimal import Decimal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from strongroom_wire.bundle import Bundle, LogHead, Role, RoleKeys
from strongroom_wire.encoding import pack
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import ChannelOpen, ChannelOpened, Intent, Kind, OrderIntent, Reply
from strongroom_wire.manifest import (
    MANIFEST_DOMAIN,
    OWNER_CHANGE_DOMAIN,
    Account,
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
    owner_change_message,
)
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Owners, Signature, Statement
from strongroom_wire.statements import Action, Budget, OwnerOrder, Permit

__all__ = [
    "bundle",
    "byte",
    "handed_over",
    "intent",
    "manifest",
    "opened",
    "opening",
    "order",
    "owner_order",
    "owners",
    "owners_of",
    "permit",
    "private_key",
    "public",
    "reply",
    "signed",
    "signed_manifest",
]


def byte(value: int, count: int = 32) -> bytes:
    """Return `count` bytes of one value: readable in a failure, and distinct per field."""
    return bytes([value]) * count


def private_key(number: int) -> Ed25519PrivateKey:
    """Return the Ed25519 key whose seed is `number` in every byte."""
    return Ed25519PrivateKey.from_private_bytes(byte(number))


def public(number: int) -> bytes:
    """Return the public half of `private_key(number)`."""
    return private_key(number).public_key().public_bytes_raw()


def owners(*numbers: int, quorum: int) -> Owners:
    """Return the owner set of these keys."""
    return Owners(tuple(public(number) for number in numbers), quorum)


def owners_of(*numbers: int, quorum: int) -> OwnerSet:
    """Return the same set as the manifest writes it."""
    return OwnerSet(tuple(public(number).hex() for number in numbers), quorum)


def signed(domain: bytes, payload: bytes, *numbers: int) -> Statement:
    """Return `payload` with signatures by these keys under `domain`."""
    message = pack(domain, payload)
    made = (Signature(public(n), private_key(n).sign(message)) for n in numbers)
    return Statement(payload, tuple(made))


def bundle() -> Bundle:
    """Return the bundle of a configured boot."""
    roles = (
        RoleKeys(Role.INIT, byte(0x41), byte(0x42)),
        RoleKeys(Role.SIGNER, byte(0x43), byte(0x44), LogHead(7, byte(0x45))),
    )
    return Bundle(byte(1), byte(2), byte(3), b"certificate", roles)


def permit() -> Permit:
    """Return a permit with two budgets, to go on with a log of five leaves and one of two."""
    budgets = (Budget("main", 250_000_000, 40), Budget("second", 1, 0))
    digests, log = (byte(1), byte(2), byte(3)), Frontier(5, (byte(0x51), byte(0x52)))
    times, gone = (1_700_000_000_000, 1_800_000_000_000), LogHead(6, byte(0x53))
    signers = Permit(*digests, 5, *times, log.serialise(), gone, byte(9, 80), budgets)
    record, record_gone = Frontier(2, (byte(0x54),)).serialise(), LogHead(7, byte(0x55))
    return replace(signers, record_log=record, record_abandons=record_gone, record_root=byte(0x56))


def owner_order() -> OwnerOrder:
    """Return an order to import a key."""
    return OwnerOrder(Action.IMPORT, byte(1), byte(2), "main", byte(7, 80))


def order() -> OrderIntent:
    """Return one order intent whose every field differs from the others'."""
    return OrderIntent(
        token=10**76,
        side=1,
        order_type=2,
        tick=3,
        flags=5,
        price=520_000,
        size=21_040_000,
        salt=479_249_096_354,
        timestamp=1_800_000_000_123,
        expiration=1_800_000_600,
    )


def intent(orders: int = 1) -> Intent:
    """Return an intent to post this many orders."""
    return Intent(Kind.ORDERS, 3, 1_800_000_000, 1_800_000_000_999, (order(),) * orders)


def reply() -> Reply:
    """Return the answer to an approved intent."""
    hashes, logged = (byte(0x61), byte(0x62)), (b"leaf", b"opening")
    return Reply(Code.OK, 12, Rule.NONE, 0, 0, 0, hashes, b"POST /order\r\n", *logged)


def opening() -> ChannelOpen:
    """Return a channel opening (its parts are no real ciphertext or signature)."""
    return ChannelOpen(byte(0x21), byte(0x22, 80), byte(0x23, 64))


def opened() -> ChannelOpened:
    """Return the answer to a channel opening."""
    return ChannelOpened(9, byte(0x31), byte(0x32, 64))


def manifest() -> Manifest:
    """Return a production manifest of a two-of-three owner set."""
    policy = Policy(
        markets=(
            Market("10" * 30, "v2", ("buy", "sell"), Decimal("0.05"), Decimal("0.95")),
            Market("11" * 30, "v2-neg-risk", ("buy",), Decimal("0.001"), Decimal("0.5")),
        ),
        order_types=("GTC", "FOK"),
        order_notional=Decimal(250),
        windows=(Window(3600, Decimal("1000.5")),),
        orders_per_minute=60,
        max_lifetime=86400,
        max_skew=30,
        builder="00" * 32,
        metadata="ab" * 32,
    )
    wallet = "0x" + "1f" * 20
    venue = "clob.polymarket.com"
    return Manifest(
        format="strongroom-manifest/1",
        version=7,
        mode="production",
        account="acme",
        genesis=owners_of(1, 2, 3, quorum=2),
        owner_changes=(),
        clients=(Client("strategy", b"\x30\x82certificate", public(9).hex(), ("order", "cancel")),),
        keys=(
            Key("main", "import", "proxy", wallet, 137, venue, False, policy),
            Key("session", "session", "deposit", wallet, 137, venue, True, policy),
            Key("own", "generate", "eoa", "", 80002, venue, True, policy),
        ),
        egress=(Egress(venue, 443, (), ()), Egress("relayer.example", 8443, ("ab" * 32,), ())),
        accounts=(
            Account("main", "ada", "binance", "live", "USDT", 1_699_999_200_000, Tier()),
            Account("other", "ada", "kraken", "paper", "EUR", 0, Tier(1, 3, None, True, 48)),
        ),
        witnesses=(
            Witness("witness.example/one", "a1" * 32),
            Witness("witness.example/two", "a2" * 32),
        ),
        witness_quorum=1,
    )


def handed_over(base: Manifest, owners_after: OwnerSet, *signers: int) -> Manifest:
    """Return `base` with one more owner change, signed by these keys."""
    unsigned = OwnerChange(owners_after, ())
    grown = msgspec.structs.replace(base, owner_changes=(*base.owner_changes, unsigned))
    index = len(base.owner_changes)
    proof = signed(OWNER_CHANGE_DOMAIN, owner_change_message(grown, index), *signers)
    pairs = tuple((s.key.hex(), s.value.hex()) for s in proof.signatures)
    changes = (*base.owner_changes, OwnerChange(owners_after, pairs))
    return msgspec.structs.replace(base, owner_changes=changes)


def signed_manifest(document: Manifest, *signers: int) -> Statement:
    """Return the manifest's bytes, signed by these keys."""
    return signed(MANIFEST_DOMAIN, document.serialise(), *signers)
