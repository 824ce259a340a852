"""A nitro-cli for machines without Nitro, behaving as version 1.5 is documented to.

Options, JSON, words on stderr, error codes as exit status, a detached process for each machine that
ends with it, and the steps of a failure behind BACKTRACE=1. State is a folder, named by FAKE_NITRO
in the environment: what a test writes into `plan.json` there decides what the instance has and
what fails.

What runs inside is `Plan.guest`: the local platform's own processes, or nothing that listens.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from tests.fakes.vsock_over_unix import VsockOverUnix

__all__ = ["Fake", "Plan"]

_PORTS = {5003: "bootstrap.sock", 5000: "control.sock", 5001: "frames.sock"}
_EGRESS = 5002


@dataclass
class Plan:
    """What the instance has, and what goes wrong.

    Attributes:
        memory_mib: Huge pages that the allocator set apart.
        cpus: CPUs in the pool.
        fail: Command -> code it fails with.
        reason: The last step behind a failure.
        file: The file that an E19 is about.
        measurements: What to report instead of the image's own; an empty one reports none.
        debug: Report debug mode whatever was asked.
        state: What describe-enclaves says of a machine that runs.
        guest: `local`, or `none`.
        boot_s: Seconds that run-enclave takes.
        deaf: terminate-enclave succeeds and does nothing.
        garbage: Command -> what it prints in place of JSON.
        console: What a debug machine writes.
    """

    memory_mib: int = 1024
    cpus: int = 2
    fail: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    file: str = ""
    measurements: dict[str, str] | None = None
    debug: bool = False
    state: str = "RUNNING"
    guest: str = "none"
    boot_s: float = 0.0
    deaf: bool = False
    garbage: dict[str, str] = field(default_factory=dict)
    console: str = "console of a debug machine\n"


class Fake:
    """An instance with its nitro-cli, for a test to set up and look into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("machines", "vsock"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.program = folder / "nitro-cli"
        path = os.pathsep.join(filter(None, sys.path))
        self.program.write_text(
            f"#!/bin/sh\nFAKE_NITRO='{folder}' PYTHONPATH='{path}' exec '{sys.executable}' -P"
            f" '{Path(__file__).resolve()}' \"$@\"\n"
        )
        self.program.chmod(0o755)
        self.plan(Plan())

    @property
    def vsock(self) -> VsockOverUnix:
        """The machines' vsock."""
        return VsockOverUnix(self.folder / "vsock")

    @property
    def keeper(self) -> tuple[str, ...]:
        """The keeper's command, with this instance's vsock."""
        program = Path(__file__).with_name("vsock_over_unix.py").resolve()
        return (sys.executable, "-P", str(program), str(self.folder / "vsock"))

    def plan(self, plan: Plan) -> None:
        """Lets the instance be so from now on."""
        (self.folder / "plan.json").write_text(json.dumps(asdict(plan)))

    def calls(self) -> list[list[str]]:
        """Every command line so far."""
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def machines(self) -> list[dict[str, object]]:
        """What runs."""
        return _Instance(self.folder).machines()

    def end(self) -> None:
        """Ends what is left."""
        for machine in self.machines():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(str(machine["ProcessID"])), signal.SIGTERM)
        deadline = time.monotonic() + 20
        while self.machines() and time.monotonic() < deadline:
            time.sleep(0.02)


class _Instance:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        stored = folder / "plan.json"
        self.plan = Plan(**json.loads(stored.read_text())) if stored.exists() else Plan()

    def machines(self) -> list[dict[str, object]]:
        found = []
        for entry in sorted((self.folder / "machines").glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                machine = json.loads(entry.read_text())
                if _runs(machine["ProcessID"]):
                    found.append(machine)
        return found

    def run(self, words: argparse.Namespace) -> None:
        image = Path(words.eif_path)
        if not image.is_file():
            self.fail("E19", "opening the image", file=words.eif_path, reason="code: 2, NotFound")
        self.planned("run-enclave")
        mebibytes = -(-image.stat().st_size >> 20)
        if words.cpu_count > self.plan.cpus - sum(
            int(str(m["NumberOfCPUs"])) for m in self.machines()
        ):
            self.fail("E22", f"the pool lacks CPUs for cpu-count {words.cpu_count}")
        if words.memory < 4 * mebibytes:
            self.fail(
                "E26", f"{words.memory} MB asked; the minimum memory should be {4 * mebibytes} MB"
            )
        if words.memory > self.plan.memory_mib - sum(
            int(str(m["MemoryMiB"])) for m in self.machines()
        ):
            self.fail("E27", f"huge pages lack for memory {words.memory}")
        sys.stderr.write("Allocating memory\n")
        if words.enclave_cid is not None and words.enclave_cid < 4:
            self.fail("E29", "start", reason="The provided enclave CID is a well-known CID")
        name = self.free_name(words.enclave_name or image.name.removesuffix(".eif"))
        cid = words.enclave_cid or 16 + len(self.machines())
        identity = f"i-0123456789abcdef0-enc{secrets.token_hex(8)}"
        debug = "DEBUG_MODE" if words.debug_mode or self.plan.debug else "NONE"
        machine: dict[str, object] = {
            "EnclaveName": name,
            "EnclaveID": identity,
            "ProcessID": 0,
            "EnclaveCID": cid,
            "NumberOfCPUs": words.cpu_count,
            "CPUIDs": list(range(1, 1 + words.cpu_count)),
            "MemoryMiB": words.memory,
        }
        rest = {"State": self.plan.state, "Flags": debug, **self.measured(image)}
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, "machine", json.dumps(machine), json.dumps(rest)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        entry = self.folder / "machines" / f"{identity}.json"
        while not entry.exists():
            if process.poll() is not None:
                self.fail("E36", "the machine went away before its heartbeat")
            time.sleep(0.01)
        sys.stderr.write(f"Runs with enclave-cid {cid}\n")
        machine["ProcessID"] = process.pid
        self.answer("run-enclave", machine)

    def describe(self, words: argparse.Namespace) -> None:
        self.planned("describe-enclaves")
        self.answer("describe-enclaves", self.machines())

    def terminate(self, words: argparse.Namespace) -> None:
        self.planned("terminate-enclave")
        [*found] = [m for m in self.machines() if m["EnclaveID"] == words.enclave_id]
        if not found:
            self.fail("E11", "connecting to the machine's process", reason="code: 2, NotFound")
        if not self.plan.deaf:
            process = int(str(found[0]["ProcessID"]))
            os.kill(process, signal.SIGTERM)
            while _runs(process):
                time.sleep(0.01)
        sys.stderr.write(f"Ended {words.enclave_id}\n")
        self.answer("terminate-enclave", {"EnclaveID": words.enclave_id, "Terminated": True})

    def console(self, words: argparse.Namespace) -> None:
        found = [m for m in self.machines() if m["EnclaveID"] == words.enclave_id]
        if not found:
            self.fail("E11", "connecting to the machine's process")
        if found[0]["Flags"] == "NONE":
            self.fail("E44", "the machine has no console")
        sys.stdout.write(self.plan.console)
        sys.stdout.flush()
        while _runs(int(str(found[0]["ProcessID"]))):
            time.sleep(0.05)

    def machine(self, words: argparse.Namespace) -> None:
        """The detached process that holds a machine."""
        facts = json.loads(words.facts) | {"ProcessID": os.getpid()} | json.loads(words.rest)
        entry = self.folder / "machines" / f"{facts['EnclaveID']}.json"
        over = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: over.set())
        time.sleep(self.plan.boot_s)
        guest = self.guest(int(facts["EnclaveCID"])) if self.plan.guest == "local" else None
        half = entry.with_suffix(".half")
        half.write_text(json.dumps(facts))
        half.rename(entry)
        while not over.wait(0.05) and (guest is None or guest.poll() is None):
            pass
        if guest is not None:
            guest.terminate()
            guest.wait()
        for path in (self.folder / "vsock").glob(f"{facts['EnclaveCID']}_*"):
            path.unlink()
        entry.unlink()

    def guest(self, cid: int) -> "subprocess.Popen[bytes]":
        """Starts the local platform with its listeners at the machine's vsock ports."""
        run, state = self.folder / "guest", self.folder / "state"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(mode=0o700)
        egress = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        egress.bind(str(run / "egress.sock"))
        egress.listen(8)
        vsock = VsockOverUnix(self.folder / "vsock")
        threading.Thread(target=_relay, args=(egress, vsock, cid), daemon=True).start()
        with (self.folder / "guest.log").open("wb") as log:
            guest = subprocess.Popen(
                [sys.executable, "-P", "-m", "strongroom_local.entry", "--run", str(run)]
                + ["--state", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for port, name in _PORTS.items():
            link = self.folder / "vsock" / f"{cid}_{port}"
            link.unlink(missing_ok=True)
            link.symlink_to(run / name)
        return guest

    def free_name(self, wanted: str) -> str:
        taken, name, index = {m["EnclaveName"] for m in self.machines()}, wanted, 0
        while name in taken:
            index += 1
            name = f"{wanted}_{index}"
        return name

    def measured(self, image: Path) -> dict[str, object]:
        from strongroom_eif import EifError, verify  # here: not every command needs it

        try:
            pcrs = verify(image.read_bytes(), datetime.now(UTC)).measurements.pcrs
        except EifError as error:
            code = "E59" if error.code.startswith(("certificate", "signature")) else "E36"
            self.fail(code, "the image is refused", reason=str(error))
        names = {"HashAlgorithm": "Sha384 { ... }"}
        names |= {f"PCR{i}": value.hex() for i, value in pcrs.items() if i != 8 or any(value)}
        if self.plan.measurements is not None:
            return {"Measurements": self.plan.measurements} if self.plan.measurements else {}
        return {"Measurements": names}

    def planned(self, command: str) -> None:
        if code := self.plan.fail.get(command):
            self.fail(code, "as planned", file=self.plan.file, reason=self.plan.reason)

    def answer(self, command: str, value: object) -> None:
        print(self.plan.garbage.get(command) or json.dumps(value, indent=2))  # noqa: T201

    def fail(self, code: str, said: str, *, file: str = "", reason: str = "") -> NoReturn:
        about = f"\nFile: '{file}', failing operation: 'Open'." if file else ""
        steps = (
            f"\n\nBacktrace:\n  Action: A\n  Subactions:\n    outer\n    {reason or said}\n  Root"
        )
        _say(code, f"{said}.{about}", steps)
        # What fails because of the first: the command has no reply to read.
        _say("E39", "no reply.", steps.replace(reason or said, "consequence"))
        sys.exit(39)


def _say(code: str, said: str, steps: str) -> None:
    shown = steps if os.environ.get("BACKTRACE") == "1" else ""
    sys.stderr.write(f"[ {code} ] {said}\n\nSee the documentation of {code}{shown}\n")


def _runs(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _relay(listener: socket.socket, vsock: VsockOverUnix, cid: int) -> None:
    """Carries the local platform's way out to the host's vsock port."""
    while True:
        inner, _ = listener.accept()
        try:
            outer = vsock.guest_connect(cid, _EGRESS)
        except OSError:
            inner.close()
            continue
        for source, sink in ((inner, outer), (outer, inner)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nitro-cli")
    commands = parser.add_subparsers(dest="command", required=True)
    folder = Path(os.environ["FAKE_NITRO"])
    instance = _Instance(folder)
    run = commands.add_parser("run-enclave")
    run.add_argument("--eif-path", required=True)
    run.add_argument("--memory", type=int, required=True)
    run.add_argument("--cpu-count", type=int, required=True)
    run.add_argument("--enclave-cid", type=int)
    run.add_argument("--enclave-name")
    run.add_argument("--debug-mode", action="store_true")
    commands.add_parser("describe-enclaves").add_argument("--metadata", action="store_true")
    commands.add_parser("terminate-enclave").add_argument("--enclave-id", required=True)
    commands.add_parser("console").add_argument("--enclave-id", required=True)
    machine = commands.add_parser("machine")
    machine.add_argument("facts")
    machine.add_argument("rest")
    words = parser.parse_args()
    if words.command != "machine":
        with (folder / "calls").open("a") as log:
            log.write(json.dumps(sys.argv[1:]) + "\n")
    does: dict[str, Callable[[argparse.Namespace], None]] = {
        "run-enclave": instance.run,
        "describe-enclaves": instance.describe,
        "terminate-enclave": instance.terminate,
        "console": instance.console,
        "machine": instance.machine,
    }
    does[words.command](words)


if __name__ == "__main__":
    main()
