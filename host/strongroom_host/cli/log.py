"""`strongroom log`: keep a copy of the signer's log, and check it."""

import typer

from strongroom_host.cli.archive import export_command
from strongroom_host.cli.log_compare import compare_logs
from strongroom_host.cli.log_keep import keep
from strongroom_host.cli.log_mirror import mirror_command
from strongroom_host.cli.log_prove import app as prove
from strongroom_host.cli.log_pull import pull_command
from strongroom_host.cli.log_reconcile import reconcile
from strongroom_host.cli.log_recover import recover_command
from strongroom_host.cli.log_report import report
from strongroom_host.cli.log_serve import serve
from strongroom_host.cli.log_show import open_leaf, show
from strongroom_host.cli.log_verify import verify
from strongroom_host.cli.log_watch import watch

__all__ = ["app"]

app = typer.Typer(help="Keep and check the enclave's log.", no_args_is_help=True)

app.command("compare")(compare_logs)
app.command("export")(export_command)
app.command("keep")(keep)
app.command("mirror")(mirror_command)
app.command("open")(open_leaf)
app.command("pull")(pull_command)
app.command("report")(report)
app.command("reconcile")(reconcile)
app.command("recover")(recover_command)
app.command("serve")(serve)
app.command("show")(show)
app.command("verify")(verify)
app.command("watch")(watch)
app.add_typer(prove, name="prove")
