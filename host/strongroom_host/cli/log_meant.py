"""Which log commands read, and whose it has to be: the options that say so, and what they mean."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin

from strongroom_host.cli.log_time import shown_time
from strongroom_host.errors import BadInput
from strongroom_host.log.attested import role_of
from strongroom_host.log.examination import Meant
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.verify import KnownHead
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import How
from strongroom_host.owner.signed import read_manifest
from strongroom_host.trust.record import Trust

__all__ = [
    "DEFAULT_PLACE",
    "CacheOption",
    "ClientFolderOption",
    "KeyOption",
    "LogRole",
    "ManifestFileOption",
    "OpeningsOption",
    "OwnerFolderOption",
    "PlaceOption",
    "RoleOption",
    "TrustFileOption",
    "open_openings",
    "whose_log",
]


class LogRole(Enum):
    """Which log of an account: of what was signed, or of its track record."""

    SIGNER = "signer"
    RECORD = "record"

    @property
    def role(self) -> Role:
        """The process whose log it is."""
        return Role[self.name]


RoleOption = Annotated[
    LogRole, typer.Option("--role", help="Whose log: of what was signed, or of the track record.")
]
DEFAULT_PLACE: Final = "~/.strongroom/owner/log"
PlaceOption = Annotated[
    str, typer.Option("--log", metavar="DIR|URL", help="The log: a folder, or where it is served.")
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Keep full tiles of a URL here.")
]
KeyOption = Annotated[
    list[str],
    typer.Option("--key", metavar="VKEY", help="A boot's key that you know, in place of evidence."),
]
OpeningsOption = Annotated[
    Path | None,
    typer.Option(
        "--openings", metavar="DIR", help="Where openings.db is (default: the log's folder)."
    ),
]


TrustFileOption = Annotated[
    Path | None,
    typer.Option(
        "--trust", metavar="FILE", help="Trust file (default: the owner's or the client's)."
    ),
]
ManifestFileOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest", metavar="FILE", help="A signed manifest of the account (default likewise)."
    ),
]
OwnerFolderOption = Annotated[
    Path, typer.Option("--owner", envvar="STRONGROOM_OWNER", metavar="DIR", hidden=True)
]
ClientFolderOption = Annotated[
    Path, typer.Option("--client", envvar="STRONGROOM_CLIENT", metavar="DIR", hidden=True)
]


def whose_log(
    trust: Path | None,
    manifest: Path | None,
    keys: list[str],
    owner: Path,
    client: Path,
    role: LogRole = LogRole.SIGNER,
) -> Meant:
    """Returns what the log is held against.

    With keys and no trust file no evidence is taken: nothing is said of images and manifests then.
    Else an owner's memory is asked, too: what he has had, the log has to contain.

    Raises:
        BadInput: nothing says whose log it is, or a file is none.
        TrustConflict: trust file and manifest are of different owners.
        MemoryDamaged: the owner's memory cannot be read.
    """
    known = tuple(map(VerifierKey.parse, keys))
    if trust is None and known:
        return Meant(keys=known, origin=known[0].name, role=role_of(known[0].name))
    folders = [owner.expanduser(), client.expanduser()]
    record = Trust.load(trust or _found(folders, "trust.json") or folders[0] / "trust.json")
    path = manifest or _found(folders, "manifest.signed.json")
    if path is None:
        if record.owner_root is None:
            raise BadInput(
                "nothing says whose log this is: the trust file names no owners",
                remedy="give a signed manifest of the account: --manifest FILE",
            )
        return Meant(record, bytes.fromhex(record.owner_root), known, role=role.role)
    verified, _ = read_manifest(path)
    record = record.pinned_to(verified)
    root = verified.manifest.owner_root
    origin = log_origin(root, verified.manifest.account, role.role)
    heads = _remembered(folders[0], origin)
    return Meant(record, root, known, origin, heads=heads, role=role.role)


def open_openings(place: str, folder: Path | None) -> Openings | None:
    """Returns the openings beside a log, or those named; None where there can be none."""
    if folder is None and "://" in place:
        return None
    return Openings(folder.expanduser() if folder else Path(place).expanduser())


def _remembered(owner: Path, origin: str) -> tuple[KnownHead, ...]:
    """The heads of which the owner in this folder has had every leaf."""
    memory = OwnerFolder(owner).heads
    return tuple(
        KnownHead(each.head, f"the owner's memory ({each.how.value}, {shown_time(each.at_ms)})")
        for each in memory.known(origin)
        if each.how is not How.SHOWN  # its leaves may still have to be pulled
    )


def _found(folders: list[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
