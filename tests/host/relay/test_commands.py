"""`strongroom relay` as a person uses it: processes, signals, files, words when it goes wrong."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.relay import RelayRefused
from strongroom_host.relay.addresses import parse_address, show_address
from strongroom_host.relay.errors import AddressRefused
from strongroom_host.relay.keys import fingerprint
from typer.testing import CliRunner, Result

from tests.host.relay.relays import client_of, until
from tests.host.relay.upstreams import Upstream, upstream
from tests.host.relay.world import OTHER_PSK, PSK, order

ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "RELAY_PSK_HEX"}


def run(*words: str, psk: str | None = PSK.hex()) -> Result:
    """The command in this process: starting Python costs more than all that is tested here."""
    return CliRunner().invoke(app, ["relay", *words], env={"RELAY_PSK_HEX": psk})


@contextmanager
def serving(server: Upstream, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "strongroom_host.cli.main", "relay", "run", "--json"]
    command += ["--listen", "127.0.0.1:0", "--upstream", "venue.test", "--ca", str(server.ca)]
    command += ["--dial", show_address(*server.address), *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "RELAY_PSK_HEX": PSK.hex()},
    )
    with process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"]
            assert ready["key"] == fingerprint(PSK)
            yield process, ready["address"]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with upstream(tmp_path_factory.mktemp("venue")) as server:
        yield server


def test_its_life(venue: Upstream) -> None:
    with serving(venue) as (process, address):
        assert process.stderr is not None
        assert "not pinned" in process.stderr.readline()
        host, port = parse_address(address)
        with client_of((host, port)) as client:
            assert client.exchange(order()).status == 200

        probed = run("probe", address, "--times", "3")
        assert probed.exit_code == 0, probed.stderr
        assert "round trip" in probed.stdout
        assert "clock" in probed.stdout
        told = json.loads(run("probe", address, "--json", "--times", "3").stdout)
        assert abs(told["relay_clock_ahead_s"]) < 1
        assert told["round_trip_ms"]["least"] > 0

        counters = json.loads(run("status", address, "--json").stdout)
        assert counters["events"]["answered"] == 1
        assert "forwarded" in run("status", address).stdout
        text = run("status", address, "--prometheus").stdout
        assert 'strongroom_relay_events_total{event="answered"} 1\n' in text

        stranger = run("status", address, psk=OTHER_PSK.hex())
        assert (stranger.exit_code, "does not answer" in stranger.stderr) == (5, True)
        told = run("status", address)
        assert "hello_forged" in told.stdout
        assert "same RELAY_PSK_HEX" in told.stdout

        process.send_signal(signal.SIGUSR1)
        line = process.stderr.readline()
        while not line.startswith("{"):
            line = process.stderr.readline()
        assert json.loads(line)["events"]["answered"] == 1

        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        stopped = json.loads(process.stdout.readline())
        assert stopped["stopped"]
        assert stopped["events"]["forwarded"] == 1
        assert process.wait(timeout=20) == 0


def test_sigterm_lets_what_is_under_way_end(venue: Upstream) -> None:
    def slow(_tls: object, _request: bytes) -> bool:
        time.sleep(0.5)
        return False

    venue.received.clear()
    venue.behave = slow
    try:
        with serving(venue) as (process, address):
            with client_of(parse_address(address)) as client:
                client.open()
                pending = client.begin(order(), time.monotonic_ns() + 60 * 10**9)
                until(lambda: venue.received)
                process.terminate()
                while not pending.done:
                    client.pump(0.1)
                assert pending.result().status == 200
            assert process.wait(timeout=20) == 0
    finally:
        venue.behave = lambda _tls, _request: False


def test_a_wrong_pin_is_told_and_nothing_is_sent(venue: Upstream) -> None:
    venue.received.clear()
    with serving(venue, "--pin", "sha256/" + "A" * 43 + "=") as (process, address):
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "none of the keys that are pinned" in line
        assert "sha256/" in line
        client = client_of(parse_address(address))
        with client, pytest.raises(RelayRefused, match="no_connection"):
            client.send(order(), time.monotonic_ns() + 3 * 10**8)
    assert venue.received == []


@pytest.mark.parametrize(
    ("psk", "words", "status", "says"),
    [
        (None, ("run",), 2, "there is no pre-shared key"),
        ("41" * 32, ("run",), 2, "pattern"),
        ("ab" * 16, ("run",), 2, "too short"),
        ("hello", ("run",), 2, "not hexadecimal"),
        (PSK.hex(), ("run", "--listen", "nonsense"), 2, "not an address"),
        (PSK.hex(), ("run", "--upstream", "a:b:c"), 2, "not an address"),
        (PSK.hex(), ("run", "--listen", "192.0.2.1:7760"), 5, "cannot listen on 192.0.2.1:7760"),
        (PSK.hex(), ("run", "--pin", "sha1/x"), 2, "pin cannot be read"),
        (PSK.hex(), ("run", "--ca", "/nonexistent"), 2, "no file of trusted roots"),
        (PSK.hex(), ("run", "--probe-path", "no slash"), 2, "no path"),
        (PSK.hex(), ("run", "--psk-file", "/nonexistent"), 2, "cannot read"),
        (PSK.hex(), ("probe", "127.0.0.1:0"), 2, "not an address"),
    ],
)
def test_bad_input_is_explained(
    psk: str | None, words: tuple[str, ...], status: int, says: str
) -> None:
    done = run(*words, psk=psk)
    assert done.exit_code == status, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    if psk:
        assert psk not in done.stderr


def test_a_port_that_is_taken_is_explained(venue: Upstream) -> None:
    with serving(venue) as (_process, address):
        done = run("run", "--listen", address, "--upstream", "venue.test", "--ca", str(venue.ca))
        assert done.exit_code == 5
        assert "cannot listen" in done.stderr


def test_a_relay_loads_no_more_than_it_needs() -> None:
    """What is not there cannot be wrong: no gRPC, no enclave client, no signing."""
    script = (
        "import sys, strongroom_host.cli.main, strongroom_host.cli.relay;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "cryptography" in loaded
    assert not loaded & {"grpc", "google", "strongroom_attest", "coincurve", "eth_account", "httpx"}


def test_keys_are_made_checked_and_kept_private(tmp_path: Path) -> None:
    made = run("psk", psk=None).stdout.strip()
    assert len(bytes.fromhex(made)) == 32
    file = tmp_path / "psk.hex"
    shown = run("psk", "--out", str(file), psk=None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in shown.stdout
    named = run("psk", "--check", "--psk-file", str(file), psk=None)
    assert named.stdout.strip() in shown.stdout
    assert named.stdout.strip() == fingerprint(bytes.fromhex(file.read_text()))
    assert run("psk", "--out", str(file), psk=None).exit_code == 2, "a key is not overwritten"
    file.chmod(0o644)
    exposed = run("psk", "--check", "--psk-file", str(file), psk=None)
    assert exposed.exit_code == 2
    assert "chmod 600" in exposed.stderr
    assert run("psk", "--check", "--out", "x").exit_code == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:7760", ("127.0.0.1", 7760)),
        ("Relay.Example:1", ("relay.example", 1)),
        ("[::1]:7760", ("::1", 7760)),
    ],
)
def test_addresses_are_read_and_shown(text: str, found: tuple[str, int]) -> None:
    assert parse_address(text) == found
    assert show_address(*found) == text.lower()


def test_a_port_may_be_left_out_where_there_is_a_usual_one() -> None:
    assert parse_address("venue.test", default_port=443) == ("venue.test", 443)
    assert parse_address("[::1]", default_port=443) == ("::1", 443)
    assert parse_address("127.0.0.1:0", any_port=True) == ("127.0.0.1", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:-1",
        "a:1x",
        "::1:80",
        "[a]:1",
        "[::1]",
        "a b:1",
    ]
    + ["[::1:80", "a:\uff11", "a:+1", "a:000001", "é:1", "-a:1", "a/b:1"],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        parse_address(text)
