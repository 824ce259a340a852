"""`strongroom log mirror`: bring a copy up to a log that is served or stored elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli.log_meant import (
    ClientFolderOption,
    KeyOption,
    LogRole,
    ManifestFileOption,
    OwnerFolderOption,
    RoleOption,
    TrustFileOption,
    whose_log,
)
from strongroom_host.cli.log_options import DEFAULT_CLIENT, DEFAULT_LOG, LogOption
from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import DEFAULT_OWNER
from strongroom_host.errors import HostError
from strongroom_host.log.examination import Meant
from strongroom_host.log.files import LogFiles
from strongroom_host.log.mirror import mirror
from strongroom_host.log.monitor_keys import BootKeys
from strongroom_host.log.notes import Checkpoint, Note, open_checkpoint
from strongroom_host.log.report.words import quantity
from strongroom_host.log.sources import LogSource, open_source

__all__ = ["mirror_command"]


def mirror_command(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="URL or folder of the log elsewhere."),
    ],
    log: LogOption = DEFAULT_LOG,
    key: KeyOption = [],  # noqa: B006  typer takes no other default for a list
    trust: TrustFileOption = None,
    manifest: ManifestFileOption = None,
    role: RoleOption = LogRole.SIGNER,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    client: ClientFolderOption = DEFAULT_CLIENT,
) -> None:
    """Bring a copy up to a log elsewhere, such as the owner's up to that of his bots' machine.

    Leaves and evidence of boots; openings are not served. That both are one history is proved, and
    that a boot of the log signed it, where a trust file says what that is. `log verify` proves the
    rest, and so does `permit` before it continues the copy.
    """
    meant = _meant(key, trust, manifest, owner, client, role)
    if meant is None:
        warn("signatures were not verified: nothing says whose log it is (--trust, --key)")
    with open_source(source) as shown, LogFiles(log.expanduser()) as files:
        found = mirror(files, shown, lambda note: _vouched(note, shown, meant))
        size = files.size
    say(
        f"{quantity(found.leaves, 'new leaf', 'new leaves')} and the evidence of"
        f" {quantity(found.boots, 'boot')}; {size} in {log}"
    )
    if found.head.size < size:
        say(f"{source} shows {found.head.size} of them")


def _meant(
    key: list[str],
    trust: Path | None,
    manifest: Path | None,
    owner: Path,
    client: Path,
    role: LogRole,
) -> Meant | None:
    """Whose log it is, or None where nothing says so and nobody asked."""
    try:
        return whose_log(trust, manifest, key, owner, client, role)
    except HostError:
        if trust or manifest or key:
            raise
        return None


def _vouched(note: bytes, shown: LogSource, meant: Meant | None) -> None:
    """Proves that a key of the log signed a note."""
    if meant is not None:
        origin = meant.origin or Checkpoint.parse(Note.parse(note).text).origin
        ring = BootKeys(origin, meant.keys, meant.trust, meant.owner_root)
        open_checkpoint(note, origin, ring.keys(note, shown))
