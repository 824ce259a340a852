"""How each role logs in: one private file per role, so that each service is given its own only."""

from pathlib import Path

from strongroom_host.private_files import read_private, write_private
from strongroom_host.record_store.errors import NotInitialised
from strongroom_host.record_store.roles import ROLES

__all__ = ["Logins"]


class Logins:
    """The files `migrate.dsn`, `enclave.dsn` and `gateway.dsn` of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def exist(self) -> bool:
        """Whether a database was made with this folder."""
        return all(self.path(role).exists() for role in ROLES)

    def path(self, role: str) -> Path:
        """Returns the file of a role."""
        return self.folder / f"{role.removeprefix('strongroom_')}.dsn"

    def write(self, dsns: dict[str, str]) -> None:
        """Writes what `create_database` or `create_reader` returned, each for its role."""
        for role, dsn in dsns.items():
            write_private(self.path(role), dsn.encode(), replace=True)

    def dsn(self, role: str) -> str:
        """Returns how a role logs in.

        Raises:
            NotInitialised: it was never written here.
            FileExposed: others can read the file.
        """
        if not self.path(role).exists():
            raise NotInitialised(
                f"no database was made with {self.folder}",
                expected=str(self.path(role)),
                remedy="`strongroom db init` makes one; or name its folder with --db"
                " (`strongroom db`: --folder), or in STRONGROOM_DB",
            )
        return read_private(self.path(role)).decode()
