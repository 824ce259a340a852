"""The manifest: what the owner allows this boot to be and do.

JSON, because owners read it; canonical, because a document that two parsers can read differently is
no commitment: the bytes must equal this module's own serialisation (which also refuses duplicate
keys), every field must be present and no other. Its digest is what PCR16 carries.

Money is in pUSD with at most six decimals, written as strings; prices are pUSD per share.
"""

import re
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from strongroom_wire.encoding import digest
from strongroom_wire.errors import ManifestInvalid, TooLarge
from strongroom_wire.owners import Owners, Signature, Statement

MANIFEST_DOMAIN = b"strongroom/manifest/v1"
OWNER_CHANGE_DOMAIN = b"strongroom/owner-change/v1"
MAX_MANIFEST = 256 * 1024
_HOUR_MS = 3_600_000
_require = ManifestInvalid.unless
_AMOUNT = re.compile(r"[0-9]{1,14}(\.[0-9]{1,6})?")

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex64 = Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z")]
Address = Annotated[str, Meta(pattern=r"^(0x[0-9a-f]{40})?\Z")]
Host = Annotated[str, Meta(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*\Z", max_length=253)]
KeyName = Annotated[str, Meta(pattern=r"^[!-*,-~]{1,128}\Z")]
Uint = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,77})\Z")]
Call = Literal["owner", "order", "template", "cancel", "heartbeat", "query", "log", "health"]
Environment = Literal["live", "paper", "test"]
Side = Literal["buy", "sell"]
OrderType = Literal["GTC", "GTD", "FOK", "FAK"]


_DISTINCT = (
    ("clients", "name"), ("clients", "certificate"), ("clients", "frame_key"), ("keys", "name"),
    ("egress", "host"), ("accounts", "name"), ("witnesses", "name"), ("witnesses", "key"),
)  # fmt: skip


class _Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and a field that is not in the schema is an error."""


class OwnerSet(_Strict, frozen=True):
    """Ed25519 public keys in hex, and how many of them must sign."""

    keys: Annotated[tuple[Hex32, ...], Meta(min_length=1, max_length=32)]
    quorum: Annotated[int, Meta(ge=1, le=32)]

    @property
    def owners(self) -> Owners:
        """The same set in bytes."""
        return Owners(tuple(bytes.fromhex(key) for key in self.keys), self.quorum)


class OwnerChange(_Strict, frozen=True):
    """A hand-over to new owners, signed by a quorum of those before: [key, signature] pairs."""

    owners: OwnerSet
    signatures: Annotated[tuple[tuple[Hex32, Hex64], ...], Meta(max_length=32)]


class Client(_Strict, frozen=True):
    """A machine that may call: its TLS certificate (DER), frame-signing key and permitted calls."""

    name: Name
    certificate: Annotated[bytes, Meta(min_length=1, max_length=4096)]
    frame_key: Hex32
    calls: tuple[Call, ...]


class Market(_Strict, frozen=True):
    """An outcome token that may be traded, its exchange contract, and its static price band."""

    token: Uint
    exchange: Literal["v2", "v2-neg-risk", "v3"]
    sides: Annotated[tuple[Side, ...], Meta(min_length=1, max_length=2)]
    min_price: Decimal
    max_price: Decimal


class Window(_Strict, frozen=True):
    """At most `notional` pUSD of exposure signed in any `seconds` seconds."""

    seconds: Annotated[int, Meta(ge=1, le=31 * 86400)]
    notional: Decimal


class Policy(_Strict, frozen=True):
    """The rules each signature of one key must satisfy. Everything not allowed is denied.

    `max_lifetime` bounds a GTD order's expiry, `max_skew` the order's own timestamp against
    authenticated time, and how far its request may be dated ahead; both in seconds. `builder` and
    `metadata` are pinned bytes32 in hex.
    """

    markets: tuple[Market, ...]
    order_types: tuple[OrderType, ...]
    order_notional: Decimal
    windows: Annotated[tuple[Window, ...], Meta(max_length=8)]
    orders_per_minute: Annotated[int, Meta(ge=0, le=1_000_000)]
    max_lifetime: Annotated[int, Meta(ge=0, le=31 * 86400)]
    max_skew: Annotated[int, Meta(ge=1, le=600)]
    builder: Hex32
    metadata: Hex32


class Key(_Strict, frozen=True, omit_defaults=True):
    """A trading key: where it comes from, which wallet it trades for, where, and its policy.

    `funder` is the maker address (empty for an EOA, which makes its own orders). `per_boot` keys
    are never sealed. A session key is an EOA that the wallet's owner authorised on chain.
    `nonce_pool` is how many nonces are made ahead for it, which costs safety
    (enclave/decisions/0010); where there are none, the field is absent.
    """

    name: Name
    source: Literal["generate", "import", "session"]
    wallet: Literal["eoa", "proxy", "safe", "deposit"]
    funder: Address
    chain_id: Literal[137, 80002]
    venue: Host
    per_boot: bool
    policy: Policy
    nonce_pool: Annotated[int, Meta(ge=0, le=4096)] = 0


class Egress(_Strict, frozen=True):
    """A host the enclave may reach. `roots` narrows the compiled-in trust store to those
    with these SHA-256 fingerprints (empty: all of it); `development_roots` (DER) replaces it, and
    with it any host may be named, in development mode only."""

    host: Host
    port: Annotated[int, Meta(ge=1, le=65535)]
    roots: tuple[Hex32, ...]
    development_roots: tuple[bytes, ...]


class Tier(_Strict, frozen=True):
    """How much of an account may be seen. As it starts out: daily, rounded to a basis point.

    `hours` in a period; `least_trades` in one; `grid` of returns, None for exact ones; whether
    hours wait until what was opened in them is closed, and for at most how many hours (0: any).

    Raises:
        ManifestInvalid: a grid that is none, or a longest wait without an embargo.
    """

    hours: Literal[1, 2, 3, 4, 6, 8, 12, 24] = 24
    least_trades: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0
    grid: Decimal | None = Decimal("0.0001")
    embargo: bool = False
    longest: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0

    def __post_init__(self) -> None:
        rounds = self.grid is None or 0 < micro(self.grid) <= 10**6
        _require(rounds, "tier", "a grid of 0.000001 to 1, or none", self.grid)
        _require(self.embargo or not self.longest, "tier", "an embargo to end", self.longest)


class Account(_Strict, frozen=True):
    """An account at a venue whose track record is kept, whose `user` it is, and who sees what.

    The record begins at `since_ms`, the start of an hour (0: with all that the venue tells), and is
    kept in `currency`. Money is real in a `live` account only, and a `paper` one is at the real
    venue; a `test` venue is one of development's.
    """

    name: Name
    user: Name
    venue: Name
    environment: Environment
    currency: Annotated[str, Meta(pattern=r"^[A-Z0-9]{2,10}\Z")]
    since_ms: Annotated[int, Meta(ge=0, lt=1 << 53, multiple_of=_HOUR_MS)]
    tier: Tier


class Witness(_Strict, frozen=True):
    """A third party that cosigns the log's heads (C2SP tlog-witness): its key's name, which is
    visible ASCII without a plus, and its Ed25519 public key."""

    name: KeyName
    key: Hex32


class Manifest(_Strict, frozen=True):
    """The whole document. `version` grows with every change an owner publishes.

    `witness_quorum` is how many of the witnesses must have cosigned a head for it to be believed by
    whoever reads the log; the enclave only carries them, for it cannot reach one by itself.
    """

    format: Literal["strongroom-manifest/1"]
    version: Annotated[int, Meta(ge=1, lt=1 << 53)]
    mode: Literal["production", "development"]
    account: Name
    genesis: OwnerSet
    owner_changes: Annotated[tuple[OwnerChange, ...], Meta(max_length=64)]
    clients: Annotated[tuple[Client, ...], Meta(max_length=64)]
    keys: Annotated[tuple[Key, ...], Meta(max_length=64)]
    egress: Annotated[tuple[Egress, ...], Meta(max_length=16)]
    accounts: Annotated[tuple[Account, ...], Meta(max_length=64)]
    witnesses: Annotated[tuple[Witness, ...], Meta(max_length=16)]
    witness_quorum: Annotated[int, Meta(ge=0, le=16)]

    def serialise(self) -> bytes:
        """Returns the canonical bytes: two-space JSON in schema order, one trailing newline."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Returns the manifest in `data` after checking schema, canonical form and consistency.

        Raises:
            TooLarge: above 256 KiB.
            ManifestInvalid: not this schema, not canonical, or contradicting itself.
        """
        TooLarge.unless(len(data) <= MAX_MANIFEST, "manifest", MAX_MANIFEST, len(data))
        try:
            manifest = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ManifestInvalid(f"manifest: {error}") from error
        _require(manifest.serialise() == data, "manifest bytes", "the canonical form", "another")
        manifest.check()
        return manifest

    def check(self) -> None:
        """Proves that the parts agree with each other.

        Raises:
            ManifestInvalid: naming the part and the rule it breaks.
        """
        for part, field in _DISTINCT:
            values = [getattr(entry, field) for entry in getattr(self, part)]
            _require(len(set(values)) == len(values), f"{part}: {field}", "distinct", "repeated")
        for owners in (self.genesis, *(change.owners for change in self.owner_changes)):
            distinct = len(set(owners.keys)) == len(owners.keys) >= owners.quorum
            _require(distinct, "owners", "distinct keys, no fewer than the quorum", owners.quorum)
        count, quorum = len(self.witnesses), self.witness_quorum
        _require(bool(count) <= quorum <= count, "witness quorum", f"1 to {count}, or 0", quorum)
        if self.mode == "production":
            for venue in self.egress:
                none = not venue.development_roots
                _require(none, f"egress {venue.host}", "no development roots", self.mode)
            for account in self.accounts:
                real = account.environment != "test"
                _require(real, f"account {account.name}", "at a real venue", self.mode)
        for key in self.keys:
            _check_key(key, {venue.host for venue in self.egress})

    @property
    def owner_root(self) -> bytes:
        """Digest of the genesis owners: who this enclave belongs to, across owner changes."""
        return self.genesis.owners.root

    def owners(self) -> Owners:
        """Returns the current owners after proving every hand-over since genesis.

        Raises:
            BadSignature: a hand-over carries a wrong signature.
            QuorumMissing: a hand-over was not signed by enough of the owners before it.
        """
        current = self.genesis.owners
        for index, change in enumerate(self.owner_changes):
            pairs = tuple(Signature(*map(bytes.fromhex, pair)) for pair in change.signatures)
            statement = Statement(owner_change_message(self, index), pairs)
            current.verify(OWNER_CHANGE_DOMAIN, statement)
            current = change.owners.owners
        return current


class VerifiedManifest(NamedTuple):
    """A manifest whose quorum was checked; `digest` is SHA-256 over its exact bytes, 32 bytes."""

    manifest: Manifest
    digest: bytes
    owners: Owners


def verify_manifest(statement: Statement) -> VerifiedManifest:
    """Proves that the manifest's own current owners signed these exact bytes.

    Who they are is for the reader of the evidence to judge: the owner root is in the bundle.

    Raises:
        ManifestInvalid, TooLarge: see `Manifest.parse`.
        BadSignature, QuorumMissing: a hand-over or the manifest lacks signatures.
    """
    manifest = Manifest.parse(statement.payload)
    owners = manifest.owners()
    payload = owners.verify(MANIFEST_DOMAIN, statement)
    return VerifiedManifest(manifest, sha256(payload).digest(), owners)


def owner_change_message(manifest: Manifest, index: int) -> bytes:
    """Returns what the owners before hand-over `index` sign, under `OWNER_CHANGE_DOMAIN`.

    It names the account and every owner set from genesis to the new one, so that a hand-over is
    worth nothing for another account of the same owners, at another step, or on another branch.
    """
    sets = (manifest.genesis, *(change.owners for change in manifest.owner_changes[: index + 1]))
    roots = (owners.owners.root for owners in sets)
    return digest(OWNER_CHANGE_DOMAIN, manifest.account.encode(), *roots)


def micro(amount: Decimal) -> int:
    """Returns `amount` pUSD in millionths, exactly.

    Raises:
        ManifestInvalid: not plain digits, finer than a millionth, or 2**64 millionths and above.
    """
    # The pattern comes first: it bounds digits and exponent, so that scaling is exact and cheap.
    scaled = int(amount.scaleb(6)) if _AMOUNT.fullmatch(str(amount)) else -1
    fits = 0 <= scaled < 1 << 64
    _require(fits, "amount", "0 to 18446744073709.551615, plain", str(amount)[:80])
    return scaled


def _check_key(key: Key, venues: set[str]) -> None:
    policy, where = key.policy, f"key {key.name}"
    session, funded = key.source == "session", bool(key.funder)
    _require(key.venue in venues, where, "a venue named in egress", key.venue)
    _require((key.wallet == "eoa") != funded, where, "funder iff not eoa", key.funder)
    _require(not session or key.wallet == "deposit", where, "deposit wallet", key.wallet)
    _require(not session or key.per_boot, where, "session keys per boot", False)
    once = key.per_boot and key.source != "import"
    _require(once or not key.nonce_pool, where, "a nonce pool for keys of one boot only", "one")
    for amount in (policy.order_notional, *(window.notional for window in policy.windows)):
        micro(amount)
    tokens = [market.token for market in policy.markets]
    _require(len(set(tokens)) == len(tokens), where, "each token once", "a repetition")
    for market in policy.markets:
        low, high = micro(market.min_price), micro(market.max_price)
        _require(0 < low <= high < 10**6, where, "0 < min_price <= max_price < 1", market.token)
        _require(int(market.token) < 1 << 256, where, "a uint256 token", market.token)
        _require(len(set(market.sides)) == len(market.sides), where, "each side once", market.sides)
