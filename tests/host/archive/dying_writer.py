"""A process that archives a log to a directory and is killed meanwhile (`test_folder_store`)."""

import sys
from pathlib import Path

from strongroom_host.archive.export import export
from strongroom_host.archive.folder import FolderStore
from strongroom_host.archive.store import Protection

from tests.host.archive.orders import KEY, order_of


class Telling(FolderStore):
    """Says when it begins to store something."""

    def put(self, key: str, data: bytes, wanted: Protection) -> None:
        sys.stdout.write("put\n")
        sys.stdout.flush()
        super().put(key, data, wanted)


def main(log: str, archive: str) -> None:
    """Archive the log in a folder."""
    export(order_of(Path(log), openings_key=KEY), Telling(Path(archive)))


if __name__ == "__main__":
    main(*sys.argv[1:])
