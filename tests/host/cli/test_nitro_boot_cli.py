"""`strongroom enclave boot --platform nitro` as an operator types it, with the fake nitro-cli."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import one_message, run
from tests.fakes.nitro_cli import Plan
from tests.host.runners.instances import Instance, instance

_GUEST_PORT = 5002


@pytest.fixture
def aws() -> Iterator[Instance]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name, instance(Path(name)) as found:
        yield found


def boot(aws: Instance, *options: str, path: str) -> str:
    words = ("enclave", "boot", str(aws.image.path), "--platform", "nitro", "--memory", "64")
    where = ("--run", str(aws.folder / "run"), "--listen", "127.0.0.1:0")
    done = run(*words, *where, *options, PATH=path)
    return one_message(done, 5 if "--cid" not in options else 2)


def test_a_machine_without_nitro_cli_is_told_where_it_is_had(aws: Instance) -> None:
    message = boot(aws, path="/usr/bin:/bin")
    assert "there is no nitro-cli here" in message
    assert "--platform qemu" in message
    assert not (aws.folder / "run").exists()


def test_options_no_instance_can_serve_are_the_callers_fault(aws: Instance) -> None:
    message = boot(aws, "--cid", "4294967295", path=_path(aws))
    assert "vsock address" in message


def test_what_nitro_cli_refuses_reaches_the_operator(aws: Instance) -> None:
    _needs_vsock()
    aws.fake.plan(Plan(memory_mib=8))
    message = boot(aws, path=_path(aws))
    assert "E27" in message
    assert "allocator.yaml" in message
    assert [words[0] for words in aws.fake.calls()][:1] == ["run-enclave"]
    assert "--debug-mode" not in aws.fake.calls()[0]


def test_debug_mode_takes_its_own_option(aws: Instance) -> None:
    _needs_vsock()
    aws.fake.plan(Plan(fail={"run-enclave": "E36"}))
    assert "E36" in boot(aws, "--debug-console", "--cpus", "2", path=_path(aws))
    assert "--debug-mode" in aws.fake.calls()[0]


def _path(aws: Instance) -> str:
    return os.pathsep.join((str(aws.fake.program.parent), os.environ["PATH"]))


def _needs_vsock() -> None:
    """The daemon takes the guest's real port before it starts anything."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
            sock.bind((socket.VMADDR_CID_ANY, _GUEST_PORT))
    except (OSError, AttributeError) as error:
        pytest.skip(f"vsock port {_GUEST_PORT} cannot be listened on here: {error}")
