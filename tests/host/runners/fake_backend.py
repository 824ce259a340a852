"""Stands for the vsock backend: its options, what it prints, and a bootstrap listener behind it.

python fake_backend.py BEHAVIOUR --device PATH --cid N --listen 5003=PATH ... --heartbeat 9000

answers: a boot whose phase is what the file `phase` above its folder says (default: BOOTED)
stays_mute: no heartbeat ever
gives_no_answer: a heartbeat, and nothing behind the bootstrap socket
ends: with status 3 as soon as the machine is there
ends_at_once: with status 4, before it is ready
"""

import argparse
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc

PORTS = {"5000", "5001", "5003"}


class Bootstrap(rpc.BootstrapServicer):
    def __init__(self, phase: Path) -> None:
        self._phase = phase

    def GetStatus(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
        phase = int(self._phase.read_text()) if self._phase.exists() else 1
        return pb.Receipt(answer=bytes([phase]))

    def GetEvidence(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
        raise NotImplementedError

    def LoadManifest(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
        raise NotImplementedError


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour")
    parser.add_argument("--device", type=Path, required=True)
    parser.add_argument("--cid", type=int, required=True)
    parser.add_argument("--listen", action="append", required=True)
    parser.add_argument("--connect", action="append", required=True)
    parser.add_argument("--heartbeat", type=int, required=True)
    options = parser.parse_args()
    listen = dict(entry.split("=", 1) for entry in options.listen)
    assert set(listen) == PORTS, listen
    assert [entry.split("=")[0] for entry in options.connect] == ["5002"]
    assert options.heartbeat == 9000
    assert options.cid > 3
    if options.behaviour == "ends_at_once":
        return 4
    bootstrap = Path(listen["5003"])
    server = grpc.server(ThreadPoolExecutor(4))
    rpc.add_BootstrapServicer_to_server(Bootstrap(options.device.parents[1] / "phase"), server)
    if options.behaviour == "gives_no_answer":
        unheard = socket.socket(socket.AF_UNIX)
        unheard.bind(str(bootstrap))
        unheard.listen()
        threading.Thread(target=refuse, args=(unheard,), daemon=True).start()
    else:
        server.add_insecure_port(f"unix:{bootstrap}")
        server.start()
    device = socket.socket(socket.AF_UNIX)
    device.bind(str(options.device))
    device.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    machine, _ = device.accept()
    if options.behaviour == "ends":
        return 3
    if options.behaviour != "stays_mute":
        sys.stdout.write("heartbeat\n")
        sys.stdout.flush()
    while machine.recv(4096):
        pass
    time.sleep(0.05)
    server.stop(None)
    return 0


def refuse(listener: socket.socket) -> None:
    """What a guest's reset looks like from the host: accepted, then closed."""
    while True:
        listener.accept()[0].close()


if __name__ == "__main__":
    sys.exit(main())
