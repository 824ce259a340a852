"""Who keeps what where: one folder for each party, as if they were different machines."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.errors import BadInput
from strongroom_host.record_store.installation import reachable, server_user

__all__ = ["OWNERS", "Folders", "demo_folders"]

OWNERS = ("ada", "ben", "cleo")
"""Three owners, two of whom must agree."""

_PUBLIC: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  a fresh folder is made there


@dataclass(frozen=True, slots=True)
class Folders:
    """`root` has one folder per party; `run` holds sockets and lies where paths are short;
    `database` is PostgreSQL's, whose server may be a user whom `root` lets nowhere."""

    root: Path
    run: Path
    database: Path

    @property
    def venue(self) -> Path:
        """The venue's certificates and API secrets."""
        return self.root / "venue"

    @property
    def host(self) -> Path:
        """The operator's: state of the local platform, and a log."""
        return self.root / "host"

    @property
    def bot(self) -> Path:
        """The strategy's client identity, trust file, manifest and journal of orders."""
        return self.root / "bot"

    @property
    def log(self) -> Path:
        """The log, on the bot's machine, where its keeper runs."""
        return self.bot / "log"

    @property
    def witness(self) -> Path:
        """The witness's key and memory; somebody else's machine."""
        return self.root / "witness"

    @property
    def exchanges(self) -> Path:
        """The exchanges' certificates."""
        return self.root / "exchanges"

    @property
    def recorder(self) -> Path:
        """The track record's operator: what keeps it, and the owners' files that this needs."""
        return self.root / "recorder"

    @property
    def record_log(self) -> Path:
        """The record's log, pushed by the record itself."""
        return self.recorder / "log"

    @property
    def store(self) -> Path:
        """The store port's socket, to which the enclave's way out leads."""
        return self.run.parent / "store.sock"

    @property
    def calls(self) -> Path:
        """Where the record's host answers calls."""
        return self.run.parent / "calls.sock"

    @property
    def reports(self) -> Path:
        """Charts of the disclosed returns; a reader's."""
        return self.root / "reader"

    @property
    def next_run(self) -> Path:
        """Sockets of the second boot."""
        return self.run.parent / "next"

    @property
    def enclave(self) -> Path:
        """A link to the sockets of the boot that runs now, for the keeper to follow."""
        return self.run.parent / "now"

    @property
    def owners(self) -> Path:
        """The owners' folders, and the files that pass between them."""
        return self.root / "owners"

    @property
    def manifest(self) -> Path:
        """The manifest as drafted, readable."""
        return self.owners / "manifest.json"

    @property
    def signed_manifest(self) -> Path:
        """The manifest with its signatures."""
        return self.owners / "manifest.signed.json"

    @property
    def console(self) -> Path:
        """What the enclave's processes write to stderr."""
        return self.run / "console.log"

    def owner(self, name: str) -> Path:
        """One owner's folder."""
        return self.owners / name


@contextmanager
def demo_folders(keep: Path | None) -> Iterator[Folders]:
    """Yields fresh folders; they are removed at the end unless `keep` names where they stay.

    Raises:
        BadInput: `keep` cannot be used, or holds something already.
    """
    # Sockets never go below `keep`: its path may be too long for them, and nobody needs them later.
    run = Path(tempfile.mkdtemp(prefix="strongroom-run-"))
    run.chmod(0o711)  # a way through for the enclave's users; it holds nothing else
    database = _database_folder()
    fresh = keep is None
    root = Path(tempfile.mkdtemp(prefix="strongroom-demo-")) if keep is None else keep.expanduser()
    root = root.absolute()
    try:
        if not fresh:
            _prepare(root)
        folders = Folders(root, run / "enclave", database / "db")
        try:
            yield folders
        finally:
            if not fresh and folders.console.exists():
                shutil.copyfile(folders.console, folders.host / "console.log")
    finally:
        for folder in (run, database):
            shutil.rmtree(folder, ignore_errors=True)
        if fresh:
            shutil.rmtree(root, ignore_errors=True)


def _database_folder() -> Path:
    """Returns a fresh folder that the database's server can reach, which as root is another user:
    where temporary files are this user's own, that is elsewhere."""
    user = server_user()
    usual = Path(tempfile.gettempdir())
    places = [place for place in (usual, *_PUBLIC) if user is None or reachable(place / "db", user)]
    folder = Path(tempfile.mkdtemp(prefix="strongroom-db-", dir=(places or [usual])[0]))
    folder.chmod(0o711)
    return folder


def _prepare(root: Path) -> None:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        occupied = any(root.iterdir())
        (root / ".probe").touch()
        (root / ".probe").unlink()
    except OSError as error:
        raise BadInput(
            f"cannot use the folder {root}: {error.strerror or error}",
            remedy="choose another with --keep, or correct its permissions",
        ) from error
    if occupied:
        raise BadInput(
            f"{root} is not empty",
            expected="a new or empty folder",
            remedy="choose another with --keep",
        )
