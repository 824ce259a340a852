"""`strongroom host` as an operator uses it: a process with signals, ports, and an exit status."""

import json
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.cli.host import app
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient, Phase
from strongroom_host.errors import BadInput
from typer.testing import CliRunner

from tests.e2e.commands import STRONGROOM, environment, one_message, run
from tests.host.runners.processes import children, gone, kill, until


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


class Operator:
    """A running `strongroom host run`."""

    def __init__(self, folder: Path, *options: str) -> None:
        words = ["host", "run", "--run", str(folder / "run"), "--state", str(folder / "state")]
        self.process = subprocess.Popen(
            [*STRONGROOM, *words, "--listen", "127.0.0.1:0", *options],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()

    def ready(self) -> dict[str, Any]:
        found = json.loads(self.first)
        assert isinstance(found, dict)
        return found

    def wait(self) -> tuple[int, str, str]:
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.close()
        # Not `communicate`: it would miss what `readline` has already taken from the pipe.
        out, err = process.stdout.read(), process.stderr.read()
        return process.wait(60), out, err


@contextmanager
def operating(folder: Path, *options: str) -> Iterator[Operator]:
    operator = Operator(folder, *options)
    try:
        yield operator
    finally:
        if operator.process.poll() is None:
            operator.process.terminate()
        operator.process.wait(60)
        for pipe in (operator.process.stdin, operator.process.stdout, operator.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_of_it_in_order(short: Path, number: signal.Signals) -> None:
    with operating(short, "--json") as operator:
        ready = operator.ready()
        family = children(operator.process.pid)
        assert ready["enclave_pid"] in family
        address = parse_enclave_address(ready["address"])
        with BootstrapClient(address.bootstrap) as client:
            assert client.status() is Phase.BOOTED
        operator.process.send_signal(number)
        status, out, err = operator.wait()
    assert (status, err) == (0, "")
    stopped = json.loads(out)
    assert stopped["stopped"] is True
    assert stopped["forwarded"]["opened"] == 1
    assert gone(family)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(ready["address"].rpartition(":")[2])))


def test_the_end_of_stdin_ends_it_too(short: Path) -> None:
    with operating(short, "--json", "--with-stdin") as operator:
        assert operator.ready()["ready"] is True
        status, out, err = operator.wait()  # which closes stdin first
    assert (status, err) == (0, "")
    assert json.loads(out)["stopped"] is True


def test_killed_it_takes_the_enclave_along(short: Path) -> None:
    with operating(short, "--json") as operator:
        operator.ready()
        family = children(operator.process.pid)
        operator.process.kill()
        operator.process.wait()
        until(lambda: gone(family), "processes outlived a killed host")


def test_it_says_why_the_enclave_ended_and_does_not_restart_it(short: Path) -> None:
    with operating(short, "--json") as operator:
        kill(operator.ready()["enclave_pid"], signal.SIGKILL)
        status, out, err = operator.wait()
    assert (status, out) == (5, "")
    assert "the enclave ended (killed by signal SIGKILL)" in err
    assert "Traceback" not in err


def test_what_a_person_sees(short: Path) -> None:
    options = ["--map", "clob.testnet=127.0.0.1:9", "--allow", "clob.polymarket.com:443"]
    with operating(short, *options) as operator:
        operator.process.send_signal(signal.SIGINT)
        status, out, err = operator.wait()
    said = operator.first + out
    assert (status, err) == (0, "")
    assert "The enclave runs" in said
    assert "clob.polymarket.com:443, clob.testnet:443 → 127.0.0.1:9" in said
    assert f"unix:{short / 'run'}" in said
    assert "Stopped." in said


def test_an_address_that_others_reach_is_remarked_upon(short: Path) -> None:
    with operating(short, "--listen", "0.0.0.0:0") as operator:
        operator.process.terminate()
        out = operator.wait()[1]
    assert "can be reached from outside" in out


def test_a_run_directory_in_use_is_left_to_its_owner(short: Path) -> None:
    with operating(short, "--json") as operator:
        address = parse_enclave_address(operator.ready()["address"])
        words = ["--run", str(short / "run"), "--state", str(short / "state")]
        done = run("host", "run", *words, "--listen", "127.0.0.1:0")
        assert "another enclave runs in" in one_message(done, 5)
        with BootstrapClient(address.bootstrap) as client:
            assert client.status() is Phase.BOOTED


def test_a_busy_port_costs_no_boot(short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        where = f"127.0.0.1:{min(holder.getsockname()[1], 65533)}"
        words = ["--run", str(short / "run"), "--state", str(short / "state")]
        done = run("host", "run", *words, "--listen", where)
    assert "cannot listen on" in one_message(done, 5)
    assert not (short / "run" / "console.log").exists()
    assert not (short / "state").exists()


def test_an_egress_socket_that_is_no_socket_is_not_replaced(short: Path) -> None:
    run_directory = short / "run"
    run_directory.mkdir(mode=0o700)
    (run_directory / "egress.sock").mkdir()
    words = ["--run", str(run_directory), "--state", str(short / "state")]
    done = run("host", "run", *words, "--listen", "127.0.0.1:0")
    one_message(done, 5)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--map", "clob.testnet"], "leads nowhere"),
        (["--map", "clob.testnet=nowhere"], "host:port"),
        (["--map", "a b=127.0.0.1:1"], "not a DNS name"),
        (["--allow", "clob.polymarket.com"], "host:port"),
        (["--listen", "here"], "not an address to listen on"),
        (["--listen", "127.0.0.1:65534"], "not an address to listen on"),
    ],
)
def test_options_that_make_no_sense_are_one_message(
    short: Path, words: list[str], what: str
) -> None:
    common = ["host", "run", "--run", str(short / "run"), "--state", str(short / "state")]
    result = CliRunner().invoke(app, [*common[1:], "--listen", "127.0.0.1:0", *words])
    assert isinstance(result.exception, BadInput)
    assert what in result.exception.what
    assert not (short / "state").exists()


def test_doctor_as_a_person_and_a_program_read_it(short: Path) -> None:
    words = ["host", "doctor", "--run", str(short / "run"), "--state", str(short / "state")]
    done = run(*words, "--listen", "127.0.0.1:0", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert {check["level"] for check in report["checks"]} <= {"ok", "warn"}
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = min(holder.getsockname()[1], 65533)
        done = run(*words, "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 5
    assert f"port {port}" in done.stdout
    assert "in use" in done.stdout
    assert "do: stop what holds it" in done.stdout
    assert "to fix" in done.stdout
