"""`strongroom log`: keep a copy of the signer's log, and check it."""

from types import MappingProxyType

import typer

from strongroom_host.cli.lazy import LazyGroup

__all__ = ["app"]


class _Log(LazyGroup):
    """Each needs another part of the log, and few need all of it."""

    LATER = MappingProxyType(
        {
            "compare": "strongroom_host.cli.log_compare:compare_logs",
            "export": "strongroom_host.cli.archive:export_command",
            "keep": "strongroom_host.cli.log_keep:keep",
            "mirror": "strongroom_host.cli.log_mirror:mirror_command",
            "open": "strongroom_host.cli.log_show:open_leaf",
            "pull": "strongroom_host.cli.log_pull:pull_command",
            "report": "strongroom_host.cli.log_report:report",
            "reconcile": "strongroom_host.cli.log_reconcile:reconcile",
            "recover": "strongroom_host.cli.log_recover:recover_command",
            "serve": "strongroom_host.cli.log_serve:serve",
            "show": "strongroom_host.cli.log_show:show",
            "verify": "strongroom_host.cli.log_verify:verify",
            "watch": "strongroom_host.cli.log_watch:watch",
            "prove": "strongroom_host.cli.log_prove:app",
        }
    )
    SUMMARIES = MappingProxyType(
        {
            "compare": "Say whether two copies of a log are one history, or which leaf is the "
            "first that differs.",
            "export": "Archive the log up to its newest signed head; only what is missing is "
            "written.",
            "keep": "Store each leaf before its client acts on it, until Ctrl-C or SIGTERM.",
            "mirror": "Bring a copy up to a log elsewhere, such as the owner's up to that of "
            "his bots' machine.",
            "open": "Show one leaf and what it commits to, after proving that the opening "
            "is this leaf's.",
            "pull": "Verify the enclave, store what its log has new (leaves, openings, "
            "evidence), and check it.",
            "report": "Render the decisions of a log as HTML and CSV, after examining all of it.",
            "reconcile": "Hold all own fills and open orders at the venue against the log; an "
            "unknown one is an alarm.",
            "recover": "Put leaves that clients hold into a log whose enclave is gone, before "
            "another boot goes on.",
            "serve": "Serve a log as C2SP tlog-tiles, with the evidence of its boots, until "
            "Ctrl-C or SIGTERM.",
            "show": "List leaves: index, time, kind, boot, and what is known of them. "
            "Verifies nothing.",
            "verify": "Check a log offline: each boot's evidence, signatures, every leaf, "
            "and what is opened of it.",
            "watch": "Watch a log at one or more places: forks, rollbacks, silence, missing "
            "signatures.",
            "prove": "Make proofs from a log, and check them without it.",
        }
    )


app = typer.Typer(cls=_Log, help="Keep and check the enclave's log.", no_args_is_help=True)


@app.callback()
def log() -> None:
    """Keep and check the enclave's log."""
