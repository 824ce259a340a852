"""`strongroom log mirror`: bring a copy up to a log that is served or stored elsewhere."""

from typing import Annotated

import typer

from strongroom_host.cli.log_options import DEFAULT_LOG, LogOption
from strongroom_host.cli.output import say
from strongroom_host.log.files import LogFiles
from strongroom_host.log.mirror import mirror
from strongroom_host.log.sources import open_source

__all__ = ["mirror_command"]


def mirror_command(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="URL or folder of the log elsewhere."),
    ],
    log: LogOption = DEFAULT_LOG,
) -> None:
    """Bring a copy up to a log elsewhere, such as the owner's up to that of his bots' machine.

    Leaves and evidence of boots; openings are not served. That both are one history is proved, not
    who signed it: `log verify` does that, and so does `permit` before it continues the copy.
    """
    with open_source(source) as shown, LogFiles(log.expanduser()) as files:
        found = mirror(files, shown)
        size = files.size
    say(
        f"{found.leaves} new leaves and the evidence of {found.boots} boots; {size} leaves in {log}"
    )
    if found.head.size < size:
        say(f"{source} shows {found.head.size} of them")
