"""The end of the demo: what was shown in one table, and what a local platform cannot show."""

import shlex
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from strongroom_host.demo.by_hand import ByHand
from strongroom_host.demo.story import Story

__all__ = ["NOT_PROVED", "print_closing", "print_kept", "report"]

_SUMMARY = (
    (
        "What code holds the key",
        "the evidence names the measured source, and forgeries were refused",
        ("evidence_verified", "flipped_bit_refused", "foreign_root_refused"),
    ),
    (
        "Whose enclave it is",
        "two of three owners signed; PCR16 carries their manifest",
        ("quorum_enforced", "manifest_measured"),
    ),
    (
        "Nobody else has the key",
        "key and credentials were made inside; an address and an id came out",
        ("key_generated", "credentials_created_inside", "api_secret_stayed_inside"),
    ),
    (
        "An order gets through",
        "signed whole, journalled, posted once, filled; and from a template",
        ("order_signed", "order_filled", "template_filled"),
    ),
    (
        "Only what was allowed",
        "size, price, market, template: checked inside, under this boot's permit",
        (
            "permit_needed",
            "over_limit_denied",
            "price_denied",
            "market_denied",
            "template_mismatch_refused",
        ),
    ),
    (
        "Nothing is rewritten",
        "kept before it was sent, cosigned, verified offline, gone on with by the next boot",
        (
            "kept_before_sent",
            "log_matches_evidence",
            "head_witnessed",
            "log_verified",
            "order_proved",
            "edited_copy_named",
            "shortened_copy_named",
            "log_continued",
        ),
    ),
    (
        "A track record is true",
        "hourly returns, computed inside from all that two exchanges told, each provable offline",
        (
            "accounts_connected",
            "hours_published",
            "record_log_verified",
            "return_proved_offline",
            "changed_return_refused",
            "record_continued",
        ),
    ),
    (
        "Trades stay secret",
        "readers see what the owners' tier lets out; a superuser of the database sees ciphertext",
        (
            "credentials_swapped_refused",
            "days_published",
            "gateway_reads_no_trade",
            "superuser_reads_ciphertext",
        ),
    ),
    (
        "It can be stopped",
        "one owner is enough, and cancels still pass",
        ("kill_stops_orders", "kill_lets_cancels_pass", "host_stopped_clean"),
    ),
)
"""Question, answer, and the claims that it rests on; a test holds every name against the story."""

NOT_PROVED = (
    "Secrecy from this machine: the local platform runs on the host itself, so its root can read"
    " the key. On Nitro hardware the same code runs where the host cannot look.",
    "The measurement: here the source is measured by the machine that runs it, and the root of the"
    " evidence was made a moment ago. Production trust files accept neither.",
    "One history for everybody: this witness runs beside the log that it vouches for. It is worth"
    " something where somebody else runs it.",
    "A real venue: the testnet and the exchanges check what the real ones document, and their"
    " markets are invented.",
    "All of a track record: that the owners have no other account, or that an exchange told"
    " everything. Every receipt says what it is complete of.",
    "No loss: within its limits the strategy can lose everything it may spend. Limits bound how"
    " much, never whether.",
)


def print_closing(console: Console, story: Story) -> None:
    """Prints the table, the timings and the limits of what was shown.

    Raises:
        KeyError: an answer rests on something that was not shown.
    """
    shown = {claim.name for claim in story.claims}
    mark = "✓" if console.encoding.lower().startswith("utf") else "ok"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    table.add_column("what", style="bold", no_wrap=True)
    table.add_column("how it was shown")
    for question, answer, names in _SUMMARY:
        if missing := set(names) - shown:
            raise KeyError(f"{question}: not shown: {', '.join(sorted(missing))}")
        table.add_row(Text(mark, style="green"), question, answer)
    console.print()
    console.print(table)
    facts = story.facts
    console.print(
        Text.assemble(
            ("\nTimings  ", "bold"),
            f"boot {facts['boot_s']:.1f} s · verify evidence {facts['evidence_verify_ms']:.1f} ms"
            f" · intent to signed p50 {facts['intent_to_signed_p50_us']:.0f} µs"
            f" · in all {facts['total_s']:.1f} s",
        ),
        highlight=False,
    )
    console.print(Text("\nWhat this does not prove", style="bold"))
    for sentence in NOT_PROVED:
        for number, line in enumerate(Text(sentence).wrap(console, max(40, console.width - 4))):
            line.rstrip()
            console.print(Text("  · " if number == 0 else "    ") + line, highlight=False)


def report(story: Story, parts: dict[str, str], kept: Path | None) -> dict[str, object]:
    """Returns the same for programs."""
    return {
        "ok": True,
        "claims": [
            {"name": claim.name, "chapter": claim.chapter, "sentence": claim.sentence}
            for claim in story.claims
        ],
        "facts": dict(story.facts),
        "seconds": dict(story.seconds),
        "implementations": parts,
        "not_proved": list(NOT_PROVED),
        "kept": None if kept is None else str(kept),
    }


def print_kept(console: Console, kept: Path, hand: ByHand) -> None:
    """Prints where everything is, and how to do each step by hand there."""
    console.print(Text.assemble(("\nKept in ", "bold"), str(kept)), soft_wrap=True)
    console.print(
        "Each step by hand, in that folder. What stays takes a terminal of its own. Owners and"
        " bot are made already; trust files and manifest are made anew, since a venue has a new CA"
        " at each start."
    )
    _print_line(console, f"cd {shlex.quote(str(kept))}")
    _print_line(console, f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    for step in (*hand.servers(), *hand.steps()):
        stays = " (stays)" if step.stays else ""
        _print_line(console, f"# {step.who}: {step.what}{stays}", "dim")
        _print_line(console, step.line)


def _print_line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(f"  {text}", style=style), soft_wrap=True, highlight=False)
