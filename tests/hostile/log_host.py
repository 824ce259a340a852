"""The store port with a record's log, as a process that can be killed between two pages.

Arguments: DSN, port, folder of the log, origin, key (hex), file with the boot's evidence, and how
many pages of the log it takes before it is killed where the next one comes; 0 is all of them.
"""

import os
import signal
import sys
import time
from pathlib import Path

from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import VerifierKey
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_store.connecting import Connection, connect
from strongroom_host.record_store.port_serving import serving

__all__: list[str] = []


class _Dying(KeptLog):
    """A log whose process is killed at a page."""

    left = 0

    def keep(self, connection: Connection, page: bytes) -> None:
        if self.left == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        _Dying.left -= 1
        super().keep(connection, page)


def _main(dsn: str, port: str, folder: str, origin: str, key: str, boot: str, pages: str) -> None:
    evidence = StoredBoot.parse(Path(boot).read_bytes())
    source = Source(lambda _start: b"", VerifierKey(origin, bytes.fromhex(key)), evidence)
    with _Dying(Path(folder), origin, lambda: source, _say) as log:
        _Dying.left = int(pages) + 1 if int(pages) else 0
        with connect(dsn, "test") as connection:
            log.catch_up(connection)
        with serving(dsn, ("127.0.0.1", int(port)), None, log):
            _say("ready")
            time.sleep(600)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
