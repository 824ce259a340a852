"""`strongroom log`: keep a copy of the signer's log, and check it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.leaves import Leaf

from strongroom_host.cli.log_keep import keep
from strongroom_host.cli.log_options import DEFAULT_LOG, LogOption
from strongroom_host.cli.log_pull import conclude, pull_command
from strongroom_host.cli.log_reconcile import reconcile
from strongroom_host.cli.log_report import report
from strongroom_host.cli.log_serve import serve
from strongroom_host.cli.log_watch import watch
from strongroom_host.cli.output import say
from strongroom_host.errors import BadInput
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.tiles import CHECKPOINT
from strongroom_host.log.verify import Expected, KnownHead, verify

__all__ = ["app"]

app = typer.Typer(help="Keep and check the enclave's log.", no_args_is_help=True)

app.command("keep")(keep)
app.command("pull")(pull_command)
app.command("report")(report)
app.command("reconcile")(reconcile)
app.command("serve")(serve)
app.command("watch")(watch)


@app.command("show")
def show(
    log: LogOption = DEFAULT_LOG,
    start: Annotated[int, typer.Option(min=0, help="From this leaf on.")] = 0,
) -> None:
    """List the stored leaves: index, time, kind, boot."""
    with _stored(log) as files:
        for entry in files.reader().entries(start):
            leaf = Leaf.parse(entry)
            time = datetime.fromtimestamp(leaf.time_ms / 1000, UTC).isoformat(" ", "milliseconds")
            when = time if leaf.time_ms else "no time"
            say(f"{leaf.index:>8}  {when:<29}  {leaf.kind.name:<7}  {leaf.epoch.hex()[:16]}")


@app.command("verify")
def verify_command(
    key: Annotated[
        str, typer.Option(metavar="VKEY", help="The newest boot's key, as `log pull` printed it.")
    ],
    log: LogOption = DEFAULT_LOG,
) -> None:
    """Check the whole stored log offline against its newest signed head."""
    vkey = VerifierKey.parse(key)
    with _stored(log) as files:
        note = files.read(CHECKPOINT)
        if note is None:
            raise BadInput(f"{log} has no signed head", remedy="run `strongroom log pull` first")
        head = open_checkpoint(note, vkey.name, [vkey]).head
        hashes = files.reader().hashes
        expected = Expected([KnownHead(head, "the stored checkpoint")])
        report = verify(
            files.reader().entries(), expected, stored_hash=lambda index: hashes(0, index)
        )
    conclude(report)


def _stored(log: Path) -> LogFiles:
    folder = log.expanduser()
    if not folder.is_dir():
        raise BadInput(
            f"{log} is no log", remedy="run `strongroom log pull`, or name it with --log"
        )
    return LogFiles(folder)
