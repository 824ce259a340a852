#!/usr/bin/python3.13 -I
"""The image's `/init`: prepares the machine, runs one boot, and ends the machine with it."""

import sys
from functools import partial
from pathlib import Path

from strongroom_enclave.init.boot import Init
from strongroom_enclave.platform import console, hardening, machine, nsm, spawn

_USERS = {"front": 61001, "signer": 61002, "enroll": 61003, "record": 61004}
_CONTROL, _FRAMES, _EGRESS, _BOOTSTRAP = 5000, 5001, 5002, 5003  # vsock ports
_SOCKETS = Path("/run/front")


def _command(role: str) -> list[str]:
    module = [sys.executable, "-I", "-m", f"strongroom_enclave.{role}"]
    return [*module, str(_SOCKETS)] if role == "front" else module


def main() -> None:
    """Runs until front is dead or init fails; either ends the machine."""
    try:
        machine.prepare()
        machine.heartbeat()
        device = nsm.NsmPlatform(nsm.device())
        machine.seed(device.random)
        hardening.harden()
        spawn.make_home(_SOCKETS, _USERS["front"])
        workers = spawn.Workers(_command, _USERS, {})
        listeners = machine.listen(_BOOTSTRAP), machine.listen(_CONTROL)
        egress = partial(machine.connect, _EGRESS)
        Init(device, None, workers, machine.listen(_FRAMES), egress, listeners).serve()
    except Exception as error:  # noqa: BLE001  whatever it was, nobody is left to handle it
        console.halted(type(error).__name__)
    machine.restart()


if __name__ == "__main__":
    main()
