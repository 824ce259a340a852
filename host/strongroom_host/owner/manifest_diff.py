"""What a new manifest changes, by meaning: what got wider, what got narrower, what is just other.

Wider means that something becomes possible which was not: for the trading keys, the clients, the
network, or for fewer owners than before.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TypeVar

from strongroom_wire.manifest import (
    Account,
    Client,
    Egress,
    Key,
    Manifest,
    Market,
    OwnerSet,
    Policy,
    Tier,
)

__all__ = ["Change", "Effect", "diff"]

_Part = TypeVar("_Part")


class Effect(Enum):
    """What a change does to what is possible."""

    WIDER = "WIDER"
    NARROWER = "narrower"
    OTHER = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, with both values as a person reads them."""

    effect: Effect
    where: str
    before: str
    after: str


def diff(old: Manifest, new: Manifest) -> list[Change]:
    """Returns every difference between two manifests, the widening ones first.

    Nothing that differs is left out: bytes that differ without any change listed here would be a
    defect, and a test compares.
    """
    changes = [
        *_number("version", old.version, new.version, other=True),
        *_mode(old, new),
        *_plain("account", old.account, new.account),
        *_owners(old, new),
        *_clients(old, new),
        *_egress(old, new),
        *_witnesses(old, new),
        *_keys(old, new),
        *_accounts(old, new),
    ]
    order = list(Effect)
    return sorted(changes, key=lambda change: order.index(change.effect))


def _plain(where: str, old: object, new: object) -> Iterator[Change]:
    if old != new:
        yield Change(Effect.OTHER, where, str(old), str(new))


def _number(
    where: str, old: int | Decimal, new: int | Decimal, *, other: bool = False
) -> Iterator[Change]:
    """A limit from above: a larger number permits more."""
    if old != new:
        effect = Effect.WIDER if new > old else Effect.NARROWER
        yield Change(Effect.OTHER if other else effect, where, str(old), str(new))
    elif str(old) != str(new):
        yield Change(Effect.OTHER, where, str(old), str(new))


def _set(where: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Change]:
    """A set of permissions: each one more permits more."""
    for name in new:
        if name not in old:
            yield Change(Effect.WIDER, where, "-", name)
    for name in old:
        if name not in new:
            yield Change(Effect.NARROWER, where, name, "-")
    if set(old) == set(new) and old != new:
        yield Change(Effect.OTHER, where, ", ".join(old), ", ".join(new))


def _mode(old: Manifest, new: Manifest) -> Iterator[Change]:
    if old.mode != new.mode:
        effect = Effect.WIDER if new.mode == "development" else Effect.NARROWER
        yield Change(effect, "mode", old.mode, new.mode)


def _owners(old: Manifest, new: Manifest) -> Iterator[Change]:
    if old.genesis != new.genesis:
        # Another genesis is another lineage: everything sealed to the old one stays closed.
        yield Change(Effect.WIDER, "genesis owners", _people(old.genesis), _people(new.genesis))
    for index in range(max(len(old.owner_changes), len(new.owner_changes))):
        before = old.owner_changes[index] if index < len(old.owner_changes) else None
        after = new.owner_changes[index] if index < len(new.owner_changes) else None
        if before != after:
            yield Change(
                Effect.WIDER,
                f"hand-over {index + 1}",
                _people(before.owners) + _marks(len(before.signatures)) if before else "-",
                _people(after.owners) + _marks(len(after.signatures)) if after else "-",
            )


def _each(
    where: Callable[[str], str],
    before: Mapping[str, _Part],
    after: Mapping[str, _Part],
    shown: Callable[[_Part], str],
    compare: Callable[[str, _Part, _Part], Iterator[Change]],
) -> Iterator[Change]:
    """Compares what has names: one more is wider, one less narrower, and those in both are compared
    one by one. `where` says how a name is shown."""
    for name in _only(after, before):
        yield Change(Effect.WIDER, where(name), "-", shown(after[name]))
    for name in _only(before, after):
        yield Change(Effect.NARROWER, where(name), shown(before[name]), "-")
    for name in [name for name in before if name in after]:
        yield from compare(where(name), before[name], after[name])


def _only(these: Iterable[str], others: Container[str]) -> list[str]:
    """In the order of the document, so that a comparison always reads the same."""
    return [name for name in these if name not in others]


def _people(owners: OwnerSet) -> str:
    names = ", ".join(f"{key[:8]}…" for key in owners.keys)
    return f"{owners.quorum} of {len(owners.keys)} ({names})"


def _marks(count: int) -> str:
    return f", {count} signatures"


def _clients(old: Manifest, new: Manifest) -> Iterator[Change]:
    before = {client.name: client for client in old.clients}
    after = {client.name: client for client in new.clients}
    yield from _each("client {}".format, before, after, _calls, _client)
    yield from _order("clients", list(before), list(after))


def _calls(client: Client) -> str:
    return ", ".join(client.calls) or "no calls"


def _client(where: str, old: Client, new: Client) -> Iterator[Change]:
    yield from _set(f"{where}: calls", old.calls, new.calls)
    if old.certificate != new.certificate or old.frame_key != new.frame_key:
        # Whoever holds the new keys could do nothing before.
        yield Change(Effect.WIDER, f"{where}: keys", old.frame_key[:16], new.frame_key[:16])


def _witnesses(old: Manifest, new: Manifest) -> Iterator[Change]:
    """Compares whose word for the log counts: one more who may give it is one more who may lie, but
    any is better than none."""
    before = {witness.name: witness.key for witness in old.witnesses}
    after = {witness.name: witness.key for witness in new.witnesses}
    none, first = not after, not before
    for name in _only(after, before):
        effect = Effect.NARROWER if first else Effect.WIDER
        yield Change(effect, f"witness {name}", "-", after[name][:16])
    for name in _only(before, after):
        effect = Effect.WIDER if none else Effect.NARROWER
        yield Change(effect, f"witness {name}", before[name][:16], "-")
    for name in [name for name in before if name in after]:
        if before[name] != after[name]:
            yield Change(Effect.WIDER, f"witness {name}: key", before[name][:16], after[name][:16])
    if old.witness_quorum != new.witness_quorum:
        effect = Effect.WIDER if new.witness_quorum < old.witness_quorum else Effect.NARROWER
        numbers = str(old.witness_quorum), str(new.witness_quorum)
        yield Change(effect, "witness quorum", *numbers)
    yield from _order("witnesses", list(before), list(after))


def _egress(old: Manifest, new: Manifest) -> Iterator[Change]:
    before = {venue.host: venue for venue in old.egress}
    after = {venue.host: venue for venue in new.egress}
    yield from _each("egress {}".format, before, after, _venue, _way)
    yield from _order("egress", list(before), list(after))


def _way(where: str, old: Egress, new: Egress) -> Iterator[Change]:
    if old != new:
        yield Change(_egress_effect(old, new), where, _venue(old), _venue(new))


def _egress_effect(old: Egress, new: Egress) -> Effect:
    if old.port != new.port or set(new.development_roots) - set(old.development_roots):
        return Effect.WIDER
    if old.development_roots and not new.development_roots:
        return Effect.NARROWER
    # No roots listed means all that are compiled in.
    if (not new.roots and old.roots) or (old.roots and set(new.roots) - set(old.roots)):
        return Effect.WIDER
    return Effect.NARROWER if set(old.roots) != set(new.roots) else Effect.OTHER


def _venue(egress: Egress) -> str:
    roots = f"{len(egress.roots)} roots" if egress.roots else "all built-in roots"
    if egress.development_roots:
        roots = f"{len(egress.development_roots)} development roots"
    return f"port {egress.port}, {roots}"


def _keys(old: Manifest, new: Manifest) -> Iterator[Change]:
    before = {key.name: key for key in old.keys}
    after = {key.name: key for key in new.keys}
    yield from _each("key {}".format, before, after, _kind, _key)
    yield from _order("keys", list(before), list(after))


def _accounts(old: Manifest, new: Manifest) -> Iterator[Change]:
    """Compares the track records: an account more, and more of one to be seen, is wider. Whoever
    relies on the record sees an account of it leave."""
    before = {account.name: account for account in old.accounts}
    after = {account.name: account for account in new.accounts}
    yield from _each("account {}".format, before, after, _place, _account)
    yield from _order("accounts", list(before), list(after))


def _place(account: Account) -> str:
    return f"{account.environment} at {account.venue}, of {account.user}, in {account.currency}"


def _account(where: str, old: Account, new: Account) -> Iterator[Change]:
    for field in ("user", "venue", "environment", "currency"):
        # Another account under the name of one that has a record already.
        one, two = getattr(old, field), getattr(new, field)
        if one != two:
            yield Change(Effect.WIDER, f"{where}: {field}", one, two)
    if old.since_ms != new.since_ms:
        effect = Effect.WIDER if new.since_ms < old.since_ms else Effect.NARROWER
        yield Change(effect, f"{where}: since ms", str(old.since_ms), str(new.since_ms))
    yield from _tier(where, old.tier, new.tier)


def _tier(where: str, old: Tier, new: Tier) -> Iterator[Change]:
    """Compares what readers get: fewer hours, fewer trades, a finer grid and no wait show more."""
    for field in ("hours", "least_trades"):
        one, two = getattr(old, field), getattr(new, field)
        if one != two:
            effect = Effect.WIDER if two < one else Effect.NARROWER
            yield Change(effect, f"{where}: {field.replace('_', ' ')}", str(one), str(two))
    if str(old.grid) != str(new.grid):
        finer = (new.grid or 0) < (old.grid or 0)
        other = old.grid == new.grid
        effect = Effect.OTHER if other else Effect.WIDER if finer else Effect.NARROWER
        yield Change(effect, f"{where}: rounded to", _grid(old), _grid(new))
    if (old.embargo, old.longest) != (new.embargo, new.longest):
        longer = not new.longest or 0 < old.longest < new.longest
        effect = Effect.NARROWER if new.embargo and (longer or not old.embargo) else Effect.WIDER
        yield Change(effect, f"{where}: embargo", _wait(old), _wait(new))


def _grid(tier: Tier) -> str:
    return "nothing, exact" if tier.grid is None else str(tier.grid)


def _wait(tier: Tier) -> str:
    if not tier.embargo:
        return "none"
    return "until closed" + (f", or for {tier.longest} hours" if tier.longest else "")


def _order(where: str, old: list[str], new: list[str]) -> Iterator[Change]:
    kept = [name for name in old if name in new]
    if kept != [name for name in new if name in old]:
        yield Change(Effect.OTHER, f"order of {where}", ", ".join(old), ", ".join(new))


def _kind(key: Key) -> str:
    return f"{key.source}, {key.wallet} on {key.venue}"


def _key(where: str, old: Key, new: Key) -> Iterator[Change]:
    identity = ("source", "wallet", "funder", "chain_id", "venue")
    for field in identity:
        one, two = getattr(old, field), getattr(new, field)
        # Another account, chain or venue is a new power, not a smaller one.
        if one != two:
            yield Change(Effect.WIDER, f"{where}: {field}", str(one), str(two))
    if old.per_boot != new.per_boot:
        effect = Effect.NARROWER if new.per_boot else Effect.WIDER
        yield Change(effect, f"{where}: per boot", str(old.per_boot), str(new.per_boot))
    yield from _number(f"{where}: nonces made ahead", old.nonce_pool, new.nonce_pool)
    yield from _policy(where, old.policy, new.policy)


def _policy(where: str, old: Policy, new: Policy) -> Iterator[Change]:
    yield from _set(f"{where}: order types", old.order_types, new.order_types)
    for field in ("order_notional", "orders_per_minute", "max_lifetime", "max_skew"):
        label = f"{where}: {field.replace('_', ' ')}"
        yield from _number(label, getattr(old, field), getattr(new, field))
    for field in ("builder", "metadata"):
        yield from _plain(f"{where}: {field}", getattr(old, field), getattr(new, field))
    yield from _windows(where, old, new)
    before = {market.token: market for market in old.markets}
    after = {market.token: market for market in new.markets}
    yield from _each(lambda token: f"{where}: market {token[:12]}", before, after, _band, _market)
    yield from _order(f"markets of {where}", list(before), list(after))


def _windows(where: str, old: Policy, new: Policy) -> Iterator[Change]:
    """Compares what each span permits; a window that is gone permits everything in its span."""
    before: dict[int, Decimal] = {}
    after: dict[int, Decimal] = {}
    for limits, policy in ((before, old), (after, new)):
        for window in policy.windows:
            known = limits.get(window.seconds, window.notional)
            limits[window.seconds] = min(known, window.notional)
    for seconds in sorted(before.keys() | after.keys()):
        label = f"{where}: window of {seconds} s"
        one, two = before.get(seconds), after.get(seconds)
        if one is None:
            yield Change(Effect.NARROWER, label, "no limit", str(two))
        elif two is None:
            yield Change(Effect.WIDER, label, str(one), "no limit")
        else:
            yield from _number(label, one, two)
    if old.windows != new.windows and before == after:
        count = str(len(old.windows))
        yield Change(Effect.OTHER, f"{where}: windows", count, "written differently")


def _band(market: Market) -> str:
    sides = "/".join(market.sides)
    return f"{sides} at {market.min_price} to {market.max_price} on {market.exchange}"


def _market(where: str, old: Market, new: Market) -> Iterator[Change]:
    if old.exchange != new.exchange:
        yield Change(Effect.WIDER, f"{where}: exchange", old.exchange, new.exchange)
    yield from _set(f"{where}: sides", old.sides, new.sides)
    yield from _number(f"{where}: highest price", old.max_price, new.max_price)
    if old.min_price != new.min_price:
        effect = Effect.WIDER if new.min_price < old.min_price else Effect.NARROWER
        yield Change(effect, f"{where}: lowest price", str(old.min_price), str(new.min_price))
    elif str(old.min_price) != str(new.min_price):
        yield Change(Effect.OTHER, f"{where}: lowest price", str(old.min_price), str(new.min_price))
