"""Writing a manifest: from options to a canonical document that the enclave will accept."""

import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, TypeVar, get_args

import msgspec
from strongroom_wire.errors import ManifestInvalid, WireError
from strongroom_wire.manifest import (
    Account,
    Call,
    Client,
    Egress,
    Key,
    Manifest,
    Market,
    OrderType,
    OwnerSet,
    Policy,
    Side,
    Tier,
    Window,
    Witness,
    micro,
)

from strongroom_host.enclave_client.identity import ClientCard
from strongroom_host.log.errors import KeyMalformed
from strongroom_host.log.notes import SignatureType, VerifierKey
from strongroom_host.owner.errors import DocumentInvalid, UnknownManifestKey
from strongroom_host.private_files import read_file

__all__ = [
    "ALL_CALLS",
    "MAX_NONCE_POOL",
    "finished",
    "new_account",
    "new_policy",
    "new_tier",
    "next_version",
    "owner_set",
    "parse_client",
    "parse_market",
    "parse_money",
    "parse_owner",
    "parse_window",
    "parse_witness",
    "read_draft",
    "rotated",
    "with_account",
    "with_key",
    "with_nonce_pool",
]

NameT = TypeVar("NameT", bound=str)
ShapeT = TypeVar("ShapeT")
MAX_NONCE_POOL: Final = 4096
"""The most that the manifest takes; a strategy that sends faster than they are made empties any."""
ALL_CALLS: Final[tuple[Call, ...]] = get_args(Call)
_SIDES: Final[tuple[Side, ...]] = get_args(Side)
_ACCOUNT: Final = (
    "names and venue are lower-case letters, digits and hyphens; a currency is 2 to 10 capitals or"
    " digits; an environment live, paper or test"
)
_TIER: Final = (
    "hours divide a day (1, 2, 3, 4, 6, 8, 12, 24); a grid is 0.000001 to 1, or `exact`; a longest"
    " wait needs an embargo"
)
_ORDER_TYPES: Final[tuple[OrderType, ...]] = get_args(OrderType)
_NO_PIN: Final = "0" * 64
_TOKEN = re.compile(r"(0|[1-9][0-9]{0,77})\Z", re.ASCII)


def parse_money(text: str, what: str) -> Decimal:
    """Returns a decimal number as written; no float ever touches it.

    Raises:
        DocumentInvalid: not a plain decimal number, finer than a millionth, or too large.
    """
    try:
        value = Decimal(text)
        micro(value)
    except (InvalidOperation, ManifestInvalid):
        value = Decimal("NaN")
    if not value.is_finite() or "e" in text.lower() or "_" in text:
        raise DocumentInvalid(
            f"{what}: {text[:80]!r} is not an amount",
            expected="a decimal number such as 25 or 0.05, with at most six decimals",
        )
    return value


def parse_owner(text: str) -> str:
    """Returns an owner's public key in hex.

    Raises:
        DocumentInvalid: not 32 bytes of lower-case hex.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise DocumentInvalid(
            f"{text!r} is not an owner's public key",
            expected="64 lower-case hex digits",
            remedy="each owner's is in owner.json of that owner's folder",
        )
    return text


def parse_market(text: str) -> Market:
    """Returns the market written as TOKEN:EXCHANGE:SIDES:MIN-MAX.

    Raises:
        DocumentInvalid: another shape, exchange or side.
    """
    parts = text.split(":")
    band = parts[3].split("-") if len(parts) == 4 else []
    if len(band) != 2 or not _TOKEN.match(parts[0]):
        raise DocumentInvalid(
            f"{text!r} is not a market",
            expected="TOKEN:EXCHANGE:SIDES:MIN-MAX, for instance 1234:v2:buy,sell:0.05-0.95",
        )
    low, high = (parse_money(price, "price") for price in band)
    sides = _choices(parts[2], _SIDES, "side")
    fields = {"token": parts[0], "exchange": parts[1], "sides": sides}
    return _convert({**fields, "min_price": low, "max_price": high}, Market, "market")


def parse_window(text: str) -> Window:
    """Returns the window written as SECONDS=PUSD.

    Raises:
        DocumentInvalid: another shape.
    """
    seconds, equals, notional = text.partition("=")
    if not equals or not (seconds.isascii() and seconds.isdigit()):
        raise DocumentInvalid(
            f"{text!r} is not a window", expected="SECONDS=PUSD, for instance 3600=250"
        )
    amount = parse_money(notional, "window")
    return _convert({"seconds": int(seconds), "notional": amount}, Window, "window")


def parse_witness(text: str) -> Witness:
    """Returns the witness that a vkey names.

    Raises:
        DocumentInvalid: not a vkey of type 4 (Ed25519, cosignature/v1), or a name that the manifest
            does not hold.
    """
    try:
        key = VerifierKey.parse(text)
    except KeyMalformed as error:
        raise DocumentInvalid(
            f"{text[:200]!r} is not a witness's key: {error}",
            expected="name+id+base64, as `strongroom witness key` or the witness's operator says",
        ) from error
    if key.kind is not SignatureType.COSIGNATURE:
        raise DocumentInvalid(
            f"{key.name} is a log's key, not a witness's",
            expected=f"type {SignatureType.COSIGNATURE:d}, cosignature/v1",
            actual=f"type {key.kind:d}",
            remedy="ask for the key under which the witness cosigns",
        )
    return _convert({"name": key.name, "key": key.key.hex()}, Witness, "witness")


def parse_client(text: str) -> Client:
    """Returns the client written as CARD.json or CARD.json=CALL,CALL.

    Without calls it gets all of them, which `lint` points out.

    Raises:
        DocumentInvalid: an unknown call.
        IdentityRefused: not a card.
        BadInput: the card cannot be read.
    """
    path, equals, calls = text.rpartition("=")
    card = ClientCard.load(Path(path if equals else text).expanduser())
    allowed = _choices(calls, ALL_CALLS, "call") if equals else ALL_CALLS
    return Client(card.name, card.certificate, card.frame_key, allowed)


def new_policy(
    markets: tuple[Market, ...],
    *,
    order_notional: str,
    windows: tuple[Window, ...] = (),
    order_types: str = "GTC,GTD,FOK,FAK",
    orders_per_minute: int = 60,
    max_lifetime: int = 86_400,
    max_skew: int = 30,
    builder: str = "",
    metadata: str = "",
) -> Policy:
    """Returns a policy; see `strongroom_wire.manifest.Policy` for units.

    Raises:
        DocumentInvalid: a value out of range.
    """
    fields = {
        "markets": markets,
        "order_types": _choices(order_types, _ORDER_TYPES, "order type"),
        "order_notional": parse_money(order_notional, "order notional"),
        "windows": windows,
        "orders_per_minute": orders_per_minute,
        "max_lifetime": max_lifetime,
        "max_skew": max_skew,
        "builder": builder.removeprefix("0x") or _NO_PIN,
        "metadata": metadata.removeprefix("0x") or _NO_PIN,
    }
    return _convert(fields, Policy, "policy")


def with_key(manifest: Manifest, key: Key, egress: Egress | None = None) -> Manifest:
    """Returns the manifest with one more key, and the venue's egress if it is not there yet."""
    venues = manifest.egress
    if egress is not None and egress.host not in {known.host for known in venues}:
        venues = (*venues, egress)
    return msgspec.structs.replace(manifest, keys=(*manifest.keys, key), egress=venues)


def with_nonce_pool(manifest: Manifest, text: str) -> Manifest:
    """Returns the manifest with so many nonces made ahead for a key, from KEY=N; 0 for none.

    Raises:
        DocumentInvalid: another shape or number.
        UnknownManifestKey: it names no such key.
    """
    name, equals, count = text.partition("=")
    size = int(count) if equals and re.fullmatch(r"[0-9]{1,4}", count) else -1
    if not 0 <= size <= MAX_NONCE_POOL:
        raise DocumentInvalid(
            f"{text!r} is not a nonce pool",
            expected=f"KEY=N, with N from 0 to {MAX_NONCE_POOL}, for instance main=64",
        )
    if name not in {key.name for key in manifest.keys}:
        raise UnknownManifestKey(
            f"the manifest names no key {name!r}",
            expected=", ".join(key.name for key in manifest.keys) or "a manifest with keys",
            remedy="name one of its keys in --nonce-pool",
        )
    keys = (
        msgspec.structs.replace(key, nonce_pool=size) if key.name == name else key
        for key in manifest.keys
    )
    return msgspec.structs.replace(manifest, keys=tuple(keys))


def new_tier(
    hours: int, least_trades: int, grid: Decimal | None, *, embargo: bool, longest: int
) -> Tier:
    """Returns what readers see of an account; see `strongroom_wire.manifest.Tier`.

    Raises:
        DocumentInvalid: a value out of range, or a longest wait without an embargo.
    """
    fields: dict[str, object] = {"hours": hours, "least_trades": least_trades, "grid": grid}
    fields |= {"embargo": embargo, "longest": longest}
    return _convert(fields, Tier, "tier", remedy=_TIER)


def new_account(**fields: object) -> Account:
    """Returns an account; see `strongroom_wire.manifest.Account` for its fields.

    Raises:
        DocumentInvalid: a value out of range.
    """
    return _convert(fields, Account, f"account {fields.get('name')}", remedy=_ACCOUNT)


def with_account(manifest: Manifest, account: Account, *egress: Egress) -> Manifest:
    """Returns the manifest with one more account, and its venue's egress if it is not there yet."""
    known = {each.host for each in manifest.egress}
    led = (*manifest.egress, *(each for each in egress if each.host not in known))
    return msgspec.structs.replace(manifest, accounts=(*manifest.accounts, account), egress=led)


def next_version(manifest: Manifest) -> Manifest:
    """Returns the manifest with its version one higher."""
    return msgspec.structs.replace(manifest, version=manifest.version + 1)


def rotated(manifest: Manifest, old: str, new: str) -> Manifest:
    """Returns the next version, with key `old` replaced by a fresh key `new` under its policy.

    An EOA or proxy key is the account: its funds have to move by hand. A session key is not.

    Raises:
        UnknownManifestKey: no key `old`.
        DocumentInvalid: `new` is taken.
    """
    if old not in {key.name for key in manifest.keys}:
        raise UnknownManifestKey(
            f"the manifest has no key {old!r}",
            expected=[key.name for key in manifest.keys],
            remedy="name one of these",
        )
    keys = tuple(
        msgspec.structs.replace(key, name=new) if key.name == old else key for key in manifest.keys
    )
    return finished(next_version(msgspec.structs.replace(manifest, keys=keys)))


def finished(manifest: Manifest) -> Manifest:
    """Returns the manifest after proving that the enclave's own parser takes its bytes.

    Raises:
        DocumentInvalid: it does not; the message names the part.
    """
    try:
        return Manifest.parse(manifest.serialise())
    except WireError as error:
        raise DocumentInvalid(
            f"the enclave would refuse this manifest: {error}",
            expected=error.expected,
            actual=error.actual,
            remedy="change that part",
        ) from error


def read_draft(path: Path) -> tuple[Manifest, bytes]:
    """Returns the manifest in a file, canonical or not, and the file's bytes.

    Raises:
        DocumentInvalid: not the schema: an unknown, missing or ill-typed field.
        BadInput: the file cannot be read.
    """
    data = read_file(path)
    try:
        return msgspec.json.decode(data, type=Manifest), data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentInvalid(
            f"{path} is not a manifest: {error}",
            remedy="correct that field; `strongroom manifest new` shows a complete example",
        ) from error


def owner_set(keys: tuple[str, ...], quorum: int) -> OwnerSet:
    """Returns the set, or raises `DocumentInvalid`."""
    return _convert({"keys": keys, "quorum": quorum}, OwnerSet, "owners")


def _choices(text: str, known: tuple[NameT, ...], what: str) -> tuple[NameT, ...]:
    named = [part.strip() for part in text.split(",") if part.strip()]
    chosen = tuple(name for name in known if name in named)
    if unknown := sorted(set(named) - set(known)):
        raise DocumentInvalid(
            f"unknown {what}: {', '.join(unknown)}", expected=", ".join(known), actual=text
        )
    return chosen


def _convert(
    fields: dict[str, object], shape: type[ShapeT], what: str, remedy: str = "change that value"
) -> ShapeT:
    try:
        return msgspec.convert(fields, shape)
    except (msgspec.ValidationError, ManifestInvalid) as error:
        raise DocumentInvalid(f"{what}: {error}", remedy=remedy) from error
