"""The local platform as `strongroom_local.entry` starts it, but with a clock that a test moves.

Run as a program. The clock file holds `offset MS` or `at MS`; it is read for every document. Init
anchors ten times a second, so that a test need not wait for it.
"""

import argparse
import signal
from datetime import UTC, datetime
from pathlib import Path

from strongroom_enclave.init import boot
from strongroom_enclave.platform.hardening import harden
from strongroom_local import entry
from strongroom_local.measure import measure_installed
from strongroom_local.nsm import SoftwareNsm, wall_clock_ms
from strongroom_local.pki import root_of_run
from strongroom_local.server import in_thread

__all__ = ["main"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--clock", type=Path, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, entry._stop)
    for folder in (arguments.run, arguments.state):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def clock_ms() -> int:
        mode, number = arguments.clock.read_text().split()
        return int(number) + (wall_clock_ms() if mode == "offset" else 0)

    root = root_of_run(arguments.state, datetime.now(UTC))
    nsm = SoftwareNsm(root, measure_installed(), clock_ms=clock_ms)
    assert boot._ANCHOR_INTERVAL == 5.0
    boot._ANCHOR_INTERVAL = 0.1
    harden()
    entry.boot(arguments.run, in_thread(nsm), arguments.state / "sealer.key").serve()


if __name__ == "__main__":
    main()
