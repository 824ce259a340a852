"""The supervisor: what a process inherits, and what it does not."""

import gc
import json
import os
import socket
import sys
from pathlib import Path

import pytest
from strongroom_enclave.platform.links import LinkClosed
from strongroom_enclave.platform.spawn import Workers

REPORT = """
import json, os, sys
from strongroom_enclave.platform.links import Link
role, descriptor, *rest = sys.argv[1:]
found = {}
for name in os.listdir("/proc/self/fd"):
    try:
        found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        pass
report = {"argv": sys.argv[1:], "environ": dict(os.environ), "fds": found, "uid": os.getuid()}
Link(int(descriptor)).send(33, 0, json.dumps(report).encode())
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")


def workers(users: dict[str, int] | None = None) -> Workers:
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return Workers(
        lambda role: [sys.executable, "-P", "-c", REPORT, role], users or {}, environment
    )


@needs_proc
def test_a_process_inherits_its_link_its_sockets_and_nothing_else() -> None:
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    with socket.socket() as given:
        worker = workers().spawn("signer", given)
        report = json.loads(worker.link.receive(20).payload)
        role, link, inherited = report["argv"]
        assert role == "signer"
        assert int(inherited) == given.fileno()
        sockets = {fd for fd, at in report["fds"].items() if at.startswith("socket:")}
        assert sockets == {link, inherited}
        assert str(secret) not in report["fds"] or report["fds"][str(secret)] != "/dev/null"
        assert report["fds"]["0"] == "/dev/null"
        assert set(report["environ"]) <= {"PYTHONPATH", "LC_CTYPE"}
    os.close(secret)
    worker.kill()
    assert worker.process.returncode is not None


def test_a_killed_worker_is_reaped_and_its_link_closed() -> None:
    worker = workers().spawn("signer")
    worker.link.receive(20)
    worker.kill()
    with pytest.raises(LinkClosed):
        worker.link.receive(1)
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)


@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start processes of another user")
def test_each_role_runs_as_its_own_user_where_there_are_users() -> None:
    probe = Workers(lambda role: [sys.executable, "-c", "pass"], {"signer": 61002}, {})
    try:
        worker = probe.spawn("signer")
    except PermissionError:
        pytest.skip("this interpreter is not readable for other users")
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    worker.kill()
    assert "Uid:\t61002\t61002" in status
    assert "Gid:\t61002\t61002" in status
    groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
    assert groups.split()[1:] in ([], ["61002"])


@needs_proc
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what fails to start is left to refcounts
def test_a_program_that_does_not_exist_leaves_nothing_open() -> None:
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    with pytest.raises(OSError, match="No such file"):
        Workers(lambda role: ["/nowhere"], {}, {}).spawn("enroll")
    gc.collect()
    assert {path.name for path in Path("/proc/self/fd").iterdir()} <= before
