"""A manifest in plain English: who may do what, and what the worst case costs.

Figures are exposure in pUSD as the enclave counts it: everything signed counts in full at its
worst price, and nothing the host reports (fills, cancels) gives any of it back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from strongroom_wire.manifest import Account, Client, Key, Manifest, OwnerSet, Policy, Tier
from strongroom_wire.statements import Budget

__all__ = [
    "KeySummary",
    "explain_account",
    "explain_clients",
    "explain_key",
    "explain_owners",
    "explain_tier",
    "explain_witnesses",
    "span",
    "worst_cases",
]

_WALLETS = {
    "eoa": "its own account (EOA)",
    "proxy": "a proxy wallet",
    "safe": "a Safe",
    "deposit": "a deposit wallet",
}
_SOURCES = {
    "generate": "made inside the enclave",
    "import": "brought in by an owner, sealed to the enclave",
    "session": "a session key made inside the enclave; it can trade but not withdraw",
}
_SPANS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


@dataclass(frozen=True, slots=True)
class KeySummary:
    """One key's row: what it is, what it may do, and the worst case per order, window, permit."""

    name: str
    what: str
    may: tuple[str, ...]
    per_order: str
    per_window: tuple[str, ...]
    per_permit: str


def explain_owners(manifest: Manifest) -> list[str]:
    """Returns who decides, in sentences."""
    current = manifest.owner_changes[-1].owners if manifest.owner_changes else manifest.genesis
    sentences = [f"Owned by {_quorum(current)}, who must sign every permit."]
    sentences.append("Any single owner can stop signing at once (kill switch).")
    if manifest.owner_changes:
        count = len(manifest.owner_changes)
        sentences.append(f"The owners changed {count} time{'s' * (count > 1)} since the beginning.")
    return sentences


def explain_witnesses(manifest: Manifest) -> str:
    """Returns whose word there is for the log, in a sentence."""
    witnesses = manifest.witnesses
    if not witnesses:
        return "Nobody outside witnesses the log: who sees another history of it would not know."
    names = ", ".join(f"{witness.name} ({witness.key[:8]}…)" for witness in witnesses)
    quorum = f"{manifest.witness_quorum} of {len(witnesses)}"
    return f"A head of the log counts as witnessed once {quorum} have cosigned it: {names}."


def explain_clients(client: Client) -> str:
    """Returns what one client machine may ask for, in a sentence."""
    words = {
        "owner": "carry permits and owner orders",
        "order": "ask for signed orders",
        "template": "have its own request templates filled in",
        "cancel": "cancel orders",
        "heartbeat": "send heartbeats",
        "query": "query this account's orders and trades",
        "log": "read the log, and with queries the details of each entry",
        "health": "ask for health",
    }
    if not client.calls:
        return "may ask for nothing"
    return "may " + ", ".join(words[call] for call in client.calls)


def explain_account(account: Account) -> str:
    """Returns whose track record is kept and what readers see of it, in a sentence or two."""
    since = "from the first event that the venue tells of"
    if account.since_ms:
        since = f"from {datetime.fromtimestamp(account.since_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC on"
    kind = {"live": "", "paper": ", with paper money", "test": ", a test venue"}
    return (
        f"at {account.venue}{kind[account.environment]}, of {account.user}, in {account.currency},"
        f" {since}. Readers see {explain_tier(account.tier)}"
    )


def explain_tier(tier: Tier) -> str:
    """Returns what readers see of an account, in words."""
    seen = "each hour" if tier.hours == 1 else f"spans of {tier.hours} hours"
    seen += f" with at least {tier.least_trades} trades" if tier.least_trades else ""
    seen += ", exact" if tier.grid is None else f", rounded to {tier.grid}"
    if tier.embargo:
        seen += ", once what was opened in them is closed"
        seen += f" or {tier.longest} hours later" if tier.longest else ""
    return seen


def explain_key(key: Key, budget: Budget | None = None) -> KeySummary:
    """Returns the row of one key; with a permit's budget, its worst case too."""
    policy = key.policy
    chain = "Polygon" if key.chain_id == 137 else "Amoy (test network)"
    funder = f" {key.funder}" if key.funder else ""
    return KeySummary(
        name=key.name,
        what=f"{_SOURCES[key.source]}; trades for {_WALLETS[key.wallet]}{funder} on {key.venue},"
        f" {chain}",
        may=(*_permissions(policy), *_nonces(key)),
        per_order=f"{policy.order_notional} pUSD",
        per_window=tuple(f"{w.notional} pUSD in any {span(w.seconds)}" for w in policy.windows)
        or ("no limit of its own",),
        per_permit=_permit(budget),
    )


def worst_cases(key: Key) -> tuple[Decimal, Decimal | None]:
    """Returns the most one order, and the most one day by its windows and rate, can expose."""
    policy = key.policy
    by_rate = policy.order_notional * policy.orders_per_minute * 1_440
    days = [by_rate]
    for window in policy.windows:
        # Windows of this length fit so often into a day, each one spent in full.
        days.append(window.notional * -(-86_400 // window.seconds))
    return policy.order_notional, min(days) if policy.orders_per_minute else None


def span(seconds: int) -> str:
    """Returns a duration in the largest unit that divides it."""
    for name, size in _SPANS:
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {name}{'s' * (count != 1)}"
    return f"{seconds} second{'s' * (seconds != 1)}"


def _permissions(policy: Policy) -> list[str]:
    lines = []
    for market in policy.markets:
        sides = " and ".join(market.sides)
        token = market.token if len(market.token) <= 16 else f"{market.token[:13]}…"
        lines.append(
            f"{sides} {token} on {market.exchange} at {market.min_price} to {market.max_price}"
        )
    if not policy.markets:
        lines.append("nothing: no market is named")
    lines.append(f"order types {', '.join(policy.order_types) or 'none'}")
    lines.append(f"at most {policy.orders_per_minute} orders a minute")
    if "GTD" in policy.order_types:
        lines.append(f"GTD orders rest at most {span(policy.max_lifetime)}")
    if "GTC" in policy.order_types:
        lines.append("GTC orders rest until cancelled")
    return lines


def _nonces(key: Key) -> list[str]:
    if not key.nonce_pool:
        return []
    return [
        f"signs with up to {key.nonce_pool} nonces made ahead: faster, but who copies one, or the"
        " memory around them, has the key"
    ]


def _permit(budget: Budget | None) -> str:
    if budget is None:
        return "what each start permit allows, never more"
    return f"{Decimal(budget.notional) / 10**6} pUSD, {budget.orders} orders"


def _quorum(owners: OwnerSet) -> str:
    if len(owners.keys) == 1:
        return f"one owner ({owners.keys[0][:8]}…)"
    names = ", ".join(f"{key[:8]}…" for key in owners.keys)
    return f"{owners.quorum} of {len(owners.keys)} owners ({names})"
