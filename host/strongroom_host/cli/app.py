"""The tree of commands."""

import sys
from typing import Any, Final, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from strongroom_host.cli.lazy import LazyGroup

__all__ = ["COMMANDS", "SUMMARIES", "app", "run"]

COMMANDS: Final = {
    "demo": "strongroom_host.cli.demo:demo",
    "demo-trade": "strongroom_host.cli.demo_trade:demo_trade",
    "owner": "strongroom_host.cli.owner:app",
    "manifest": "strongroom_host.cli.manifest:app",
    "enclave": "strongroom_host.cli.enclave:app",
    "permit": "strongroom_host.cli.permit:app",
    "provision": "strongroom_host.cli.provision:app",
    "seal": "strongroom_host.cli.seal:app",
    "panic": "strongroom_host.cli.panic:panic",
    "order": "strongroom_host.cli.order:app",
    "trade": "strongroom_host.cli.trade:app",
    "latency": "strongroom_host.cli.latency:latency",
    "log": "strongroom_host.cli.log:app",
    "archive": "strongroom_host.cli.archive:app",
    "witness": "strongroom_host.cli.witness:app",
    "db": "strongroom_host.cli.db:app",
    "record": "strongroom_host.cli.record:app",
    "gateway": "strongroom_host.cli.gateway:app",
    "feed": "strongroom_host.cli.feed:app",
    "ring": "strongroom_host.cli.ring:app",
    "tape": "strongroom_host.cli.tape:app",
    "strategy": "strongroom_host.cli.strategy:app",
    "relay": "strongroom_host.cli.relay:app",
    "host": "strongroom_host.cli.host:app",
    "attest": "strongroom_host.cli.attest:app",
    "eif": "strongroom_host.cli.eif:app",
    "image": "strongroom_host.cli.image:app",
    "release": "strongroom_host.cli.release:app",
    "audit": "strongroom_host.cli.audit:audit",
    "explain": "strongroom_host.cli.lookup:explain",
}
"""Name -> module:attribute, in the order of the help text. The value is a Typer app or a
function that is one command."""

SUMMARIES: Final = {
    "demo": "Boot an attested enclave here: an order signed and filled, a track "
    "record kept and proved.",
    "demo-trade": "Let a strategy trade here: feed, ring, enclave, relay, and a venue "
    "whose markets move.",
    "owner": "The owner's key and folder, and client identities.",
    "manifest": "Write, check, compare and sign manifests.",
    "enclave": "Boot an image, verify an enclave, and load its manifest.",
    "permit": "Verify the enclave, then let this boot sign within budgets (totals since boot).",
    "provision": "Make or import trading keys, and enrol them.",
    "seal": "Export and restore sealed keys.",
    "panic": "Kill switch, cancel all orders, and what to send to revoke session keys.",
    "order": "Place and cancel single orders as a client.",
    "trade": "Run a strategy on live ticks: orders through the enclave, or on paper.",
    "latency": "Show the latency budget, stage by stage: of a running session, or of "
    "a tape played here.",
    "log": "Keep and check the enclave's log.",
    "archive": "Archive the log to S3 with Object Lock, or to a write-once directory.",
    "witness": "Vouch that everybody is shown the same history of a log (C2SP tlog-witness).",
    "db": "Make, migrate and run the track record's database.",
    "record": "A track record: kept, synchronised, shown, verified; and what it "
    "tells about positions.",
    "gateway": "Serve disclosed returns over HTTP.",
    "feed": "Market data: from venues' streams into a ring of 64-byte ticks.",
    "ring": "Shared-memory rings of market ticks: one producer, many consumers.",
    "tape": "Recorded markets: 64-byte ticks in a file, as they were in the ring.",
    "strategy": "Strategies: tried on tapes and on paper, trained, and explained afterwards.",
    "relay": "Send signed requests to a venue over UDP, by a process that stands beside it.",
    "host": "Operate an enclave on this machine. The host carries bytes and is "
    "trusted with nothing.",
    "attest": "Look at AWS Nitro attestation documents and verify them, offline.",
    "eif": "Build, verify, sign and compare enclave image files (EIF). Nothing is executed.",
    "image": "Build the measured image from source, and look into one.",
    "release": "Sign releases of the image, and verify them.",
    "audit": "Rebuild the image twice, compare, count, look up, and report every finding.",
    "explain": "Say what a code of the enclave, a rule of the policy, or a problem of a log means.",
}
"""Name -> its line in the help text, as the command has it."""


class Root(LazyGroup):
    """The top of the tree: turns every failure into a message."""

    LATER = COMMANDS
    SUMMARIES = SUMMARIES

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; see `failures` for what becomes of errors."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, KeyboardInterrupt):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _nobody_reads():
                raise  # of `| head` or a pager that was left: no failure, and typer ends quietly
            # Whatever can go wrong anywhere has a name there; most commands meet none of it.
            from strongroom_host.cli.failures import report

            raise typer.Exit(report(error)) from error


app = typer.Typer(
    name="strongroom",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def root() -> None:
    """Keep a trading key where no host can read it, and let it sign only what its owner allows."""


def _nobody_reads() -> bool:
    """Returns whether whoever read the output has gone; another pipe can break, too."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def run() -> NoReturn:
    """Runs the command line of this process and exits with its status."""
    get_command(app).main(prog_name="strongroom")
    raise SystemExit(0)
