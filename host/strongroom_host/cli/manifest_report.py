"""How manifests, findings and changes look on a terminal."""

from dataclasses import asdict

from rich.text import Text
from strongroom_wire.manifest import Manifest

from strongroom_host.cli.output import print_json, say, table
from strongroom_host.owner.manifest_diff import Change, Effect
from strongroom_host.owner.manifest_explain import (
    explain_account,
    explain_clients,
    explain_key,
    explain_owners,
    explain_witnesses,
    worst_cases,
)
from strongroom_host.owner.manifest_lint import Finding, Severity

__all__ = ["print_changes", "print_explanation", "print_findings"]

_SEVERITY = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_EFFECT = {Effect.WIDER: "bold red", Effect.NARROWER: "green", Effect.OTHER: "dim"}


def print_findings(found: list[Finding]) -> None:
    """Prints lint findings, or that there are none."""
    if not found:
        say("no findings")
        return
    rows = [
        (Text(f.severity.value, _SEVERITY[f.severity]), f.where, f.text, f.advice) for f in found
    ]
    table("Findings", ("", "where", "what", "advice"), rows)


def print_changes(changes: list[Change]) -> None:
    """Prints a comparison, what got wider first and in red."""
    if not changes:
        say("no difference")
        return
    rows = [(Text(c.effect.value, _EFFECT[c.effect]), c.where, c.before, c.after) for c in changes]
    table("Changes", ("", "where", "before", "after"), rows)
    wider = sum(change.effect is Effect.WIDER for change in changes)
    say(f"{wider} of {len(changes)} changes make more possible than before")


def print_explanation(manifest: Manifest, *, as_json: bool) -> None:
    """Prints who may do what, and the worst case by key."""
    summaries = [explain_key(key) for key in manifest.keys]
    if as_json:
        print_json(
            {
                "account": manifest.account,
                "version": manifest.version,
                "mode": manifest.mode,
                "owners": explain_owners(manifest),
                "clients": {c.name: explain_clients(c) for c in manifest.clients},
                "keys": [asdict(summary) for summary in summaries],
                "accounts": {each.name: explain_account(each) for each in manifest.accounts},
                "egress": [f"{venue.host}:{venue.port}" for venue in manifest.egress],
                "witnesses": {witness.name: witness.key for witness in manifest.witnesses},
                "witness_quorum": manifest.witness_quorum,
            }
        )
        return
    say(
        f"Version {manifest.version} of account {manifest.account}, for {manifest.mode}.", wrap=True
    )
    for sentence in explain_owners(manifest):
        say(sentence, wrap=True)
    for client in manifest.clients:
        say(f"Client {client.name} {explain_clients(client)}.", wrap=True)
    hosts = ", ".join(f"{venue.host}:{venue.port}" for venue in manifest.egress)
    say(f"The enclave may connect to {hosts or 'nobody'}.", wrap=True)
    say(explain_witnesses(manifest), wrap=True)
    for account in manifest.accounts:
        say(f"The track record of {account.name} is kept, {explain_account(account)}.", wrap=True)
    if not manifest.keys:
        return
    rows = []
    for key, summary in zip(manifest.keys, summaries, strict=True):
        worst = [f"per order: {summary.per_order}"]
        worst += [f"per window: {line}" for line in summary.per_window]
        day = worst_cases(key)[1]
        worst.append("per day: nothing" if day is None else f"per day: {day} pUSD")
        worst.append(f"per permit: {summary.per_permit}")
        rows.append((summary.name, summary.what, "\n".join(summary.may), "\n".join(worst)))
    table("Trading keys", ("key", "what it is", "may", "worst case"), rows)
    say(
        "Worst case: everything signed is filled at its worst price and turns out worthless.",
        wrap=True,
    )
