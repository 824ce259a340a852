"""What a careful person would say about a manifest before signing it.

The enclave's parser decides what is valid; this decides what is wise. A finding never blocks:
owners may mean it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final, TypeAlias

from strongroom_wire.errors import WireError
from strongroom_wire.manifest import Account, Key, Manifest, Policy

from strongroom_host.contract.record_venues import RECORD_HOSTS

__all__ = ["Finding", "Severity", "lint"]

_WIDE_BAND: Final = Decimal("0.9")
_DAY: Final = 86_400
_LONG_LIFETIME: Final = 7 * _DAY
_FAST: Final = 600
_TRADE_CALLS: Final = {"order", "template"}


class Severity(Enum):
    """How much a finding matters."""

    ERROR = "error"
    """The enclave would refuse this manifest."""
    WARNING = "warning"
    """It permits more than most owners want."""
    NOTE = "note"


_Remark: TypeAlias = tuple[Severity, str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark: what was found where, and what could be done."""

    severity: Severity
    where: str
    text: str
    advice: str


def lint(manifest: Manifest, data: bytes | None = None) -> list[Finding]:
    """Returns the findings, most severe first; `data` is the file's bytes, if there is one."""
    found = [*_validity(manifest, data), *_owners(manifest), *_clients(manifest)]
    found += [*_mode(manifest), *_witnesses(manifest)]
    for key in manifest.keys:
        found += _key(key)
    for account in manifest.accounts:
        found += _account(account)
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def _validity(manifest: Manifest, data: bytes | None) -> Iterator[Finding]:
    try:
        Manifest.parse(manifest.serialise())
    except WireError as error:
        yield Finding(Severity.ERROR, error.what, f"refused by the enclave: {error}", "change it")
    if data is not None and data != manifest.serialise():
        yield Finding(
            Severity.ERROR,
            "file",
            "the bytes are not the canonical form, and only those can be signed",
            "run `strongroom manifest lint --fix FILE`",
        )
    try:
        manifest.owners()
    except WireError as error:
        yield Finding(
            Severity.ERROR,
            "owner changes",
            f"a hand-over is not signed by the owners before it: {error}",
            "each of them runs `strongroom manifest sign-change FILE`",
        )


def _owners(manifest: Manifest) -> Iterator[Finding]:
    owners = manifest.owner_changes[-1].owners if manifest.owner_changes else manifest.genesis
    if len(owners.keys) == 1:
        yield Finding(
            Severity.WARNING,
            "owners",
            "a single owner: one stolen key can change everything, one lost key nothing any more",
            "name three owners with a quorum of two",
        )
    elif owners.quorum == 1:
        yield Finding(
            Severity.WARNING,
            "owners",
            f"any one of {len(owners.keys)} owners can change everything alone",
            "raise the quorum",
        )
    elif owners.quorum == len(owners.keys):
        yield Finding(
            Severity.NOTE,
            "owners",
            "all owners must sign, so one lost key stops permits for good",
            "name one owner more than the quorum",
        )


def _clients(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.clients:
        yield Finding(
            Severity.WARNING,
            "clients",
            "no client is named, so nobody can issue a permit or trade",
            "add --client CARD.json=CALLS",
        )
    traders = [client.name for client in manifest.clients if _TRADE_CALLS & set(client.calls)]
    if len(traders) > 1:
        yield Finding(
            Severity.NOTE,
            "clients",
            f"{len(traders)} clients may ask for orders ({', '.join(traders)}); they share limits",
            "take the call away from those that do not trade",
        )
    if manifest.clients and not any("cancel" in client.calls for client in manifest.clients):
        yield Finding(
            Severity.WARNING,
            "clients",
            "no client may cancel, so open orders cannot be withdrawn in an emergency",
            "give an owner's client the call `cancel`",
        )
    if manifest.clients and not any("log" in client.calls for client in manifest.clients):
        yield Finding(
            Severity.WARNING,
            "clients",
            "no client may read the log: nothing is kept of what the enclave decides, and once it"
            " holds 16 MiB of leaves that nobody has read, it refuses further orders",
            "give the client that runs `strongroom log keep` the call `log`",
        )


def _mode(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.keys and not manifest.accounts:
        yield Finding(Severity.NOTE, "keys", "no trading key and no account is named", "add one")
    if manifest.mode == "development":
        yield Finding(
            Severity.NOTE,
            "mode",
            "development: verifiers in production refuse this enclave",
            "use production for real money",
        )
    for venue in manifest.egress:
        if venue.development_roots:
            severity = Severity.ERROR if manifest.mode == "production" else Severity.NOTE
            yield Finding(
                severity,
                f"egress {venue.host}",
                "TLS to this host trusts development roots: whoever holds them is the venue",
                "leave development_roots empty in production",
            )
        # Which hosts an account's venue has, the image says.
        if not manifest.accounts and venue.host not in {key.venue for key in manifest.keys}:
            yield Finding(Severity.NOTE, f"egress {venue.host}", "no key trades there", "remove it")


def _witnesses(manifest: Manifest) -> Iterator[Finding]:
    if not manifest.witnesses:
        yield Finding(
            Severity.NOTE,
            "witnesses",
            "nobody outside witnesses the log: a host could show it differently to different"
            " people, or drop its newest entries, and none of them would know",
            "name witnesses with --witness VKEY",
        )
    elif manifest.witness_quorum == len(manifest.witnesses) > 1:
        yield Finding(
            Severity.NOTE,
            "witnesses",
            "all witnesses must cosign, so with one of them gone no head is witnessed any more",
            "name one witness more than the quorum",
        )


def _account(account: Account) -> Iterator[Finding]:
    tier, where = account.tier, f"account {account.name}"
    if account.venue not in RECORD_HOSTS:
        yield Finding(
            Severity.ERROR,
            where,
            f"refused by the enclave: an image of this release reads no {account.venue}",
            f"name one of {', '.join(RECORD_HOSTS)}",
        )
    if tier.hours == 1 and tier.grid is None and not tier.embargo:
        yield Finding(
            Severity.WARNING,
            where,
            "every hour is shown exactly and at once: with the venue's prices beside it, whoever"
            " reads the series can often tell what is traded, and in which direction",
            "coarsen it, or wait until positions are closed; `strongroom record leakage` shows how"
            " much a reader could tell",
        )
    if account.environment != "live":
        yield Finding(
            Severity.NOTE,
            where,
            f"{account.environment}: its returns say so, and are no record of real money",
            "use live for an account with real money",
        )


def _key(key: Key) -> Iterator[Finding]:
    for severity, text, advice in (*_custody(key), *_limits(key.policy)):
        yield Finding(severity, f"key {key.name}", text, advice)


def _custody(key: Key) -> Iterator[_Remark]:
    if key.wallet == "eoa":
        yield (
            Severity.WARNING,
            "an EOA key owns its funds: if it ever leaks, it can move everything, not only trade",
            "use a deposit wallet with a session key, which cannot withdraw",
        )
    elif key.source != "session":
        yield (
            Severity.WARNING,
            f"the key controls the {key.wallet} wallet itself, not only its trading",
            "use a session key if the wallet is a deposit wallet",
        )
    if key.source == "import":
        yield (
            Severity.WARNING,
            "an imported key existed outside the enclave; copies may remain",
            "generate it inside instead",
        )

    if key.nonce_pool:
        yield (
            Severity.WARNING,
            f"up to {key.nonce_pool} nonces are made ahead and kept in the enclave's memory:"
            " whoever copies one, or runs a copy of that memory, can compute the private key",
            "leave the pool off unless some 20 microseconds an order are worth it; where memory can"
            " be copied, the enclave refuses it in production (enclave/decisions/0010)",
        )


def _limits(policy: Policy) -> Iterator[_Remark]:
    if not policy.windows:
        yield (
            Severity.WARNING,
            "no limit by time window: a whole permit's budget can be spent at once",
            "add --window 3600=PUSD",
        )
    if policy.orders_per_minute > _FAST:
        yield (
            Severity.WARNING,
            f"{policy.orders_per_minute} orders a minute",
            "lower orders_per_minute",
        )
    if policy.orders_per_minute == 0 or not policy.order_types or not policy.markets:
        yield (
            Severity.WARNING,
            "this policy allows no order at all",
            "name markets, order types and a rate",
        )
    if policy.max_lifetime > _LONG_LIFETIME:
        days = policy.max_lifetime // _DAY
        yield Severity.WARNING, f"GTD orders may rest for {days} days", "lower max_lifetime"
    if "GTC" in policy.order_types:
        yield (
            Severity.NOTE,
            "GTC orders rest until cancelled, also after a permit has expired",
            "allow GTD, FOK and FAK only, if the strategy can live with that",
        )
    yield from _meaningless_windows(policy)
    for market in policy.markets:
        if market.max_price - market.min_price >= _WIDE_BAND:
            yield (
                Severity.WARNING,
                f"market {market.token[:12]}: the price band {market.min_price} to"
                f" {market.max_price} is nearly everything, so it protects from nothing",
                "narrow min_price and max_price around what the strategy needs",
            )


def _meaningless_windows(policy: Policy) -> Iterator[_Remark]:
    for window in policy.windows:
        if window.notional < policy.order_notional:
            yield (
                Severity.NOTE,
                f"the {window.seconds} s window ({window.notional}) is smaller than one order"
                f" ({policy.order_notional})",
                "make both limits meaningful",
            )
