"""The testnet as a process: one ready line, clean stops, clear refusals; and its configuration."""

from __future__ import annotations

import datetime
import json
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from strongroom_host.testnet import (
    ConfigError,
    Market,
    PortBusy,
    Seed,
    TestnetConfig,
    TestnetServer,
    default_config,
    load_config,
)
from strongroom_host.testnet.__main__ import main
from strongroom_host.testnet.certificates import issue, issued_or_kept
from strongroom_host.testnet.config import position_id
from strongroom_host.testnet.faults import Fault, FaultKind
from strongroom_host.testnet.orders import Side

from tests.host.testnet.traders import Trader

TOKENS = (1 << 41, 1 << 42)


def start(folder: Path, *options: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom_host.testnet", "--dir", str(folder), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    return process.wait(timeout=30)


def test_it_announces_itself_and_stops_on_a_signal(tmp_path: Path) -> None:
    process, ready = start(tmp_path, "--chain", "137", "--faucet", "1000")
    assert (ready["ready"], ready["chain_id"], len(ready["markets"])) == (True, 137, 3)
    context = ssl.create_default_context(cafile=ready["ca"])
    with httpx.Client(base_url=ready["url"], verify=context) as http:
        assert http.get("/version").json() == {"version": 2}
    process.send_signal(signal.SIGTERM)
    assert end(process) == 0


def test_it_stops_when_its_stdin_closes(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "--with-stdin")
    assert end(process) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--chain", "1"], "chain 1 is not one of 137, 80002"),
        (["--config", "/nonexistent.json"], "/nonexistent.json"),
    ],
)
def test_unusable_input_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main(["--dir", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_busy_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--dir", str(tmp_path), "--port", str(port)]) == 5
        assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
        with pytest.raises(PortBusy):
            TestnetServer(default_config(80002), tmp_path, port=port).start()


def test_a_restart_in_the_same_folder_hands_out_the_same_keys(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        with TestnetServer(default_config(80002), tmp_path) as server:
            keys.append(Trader(server.clob, "0x" + "11" * 32).api)
    assert keys[0] == keys[1]
    other = TestnetServer(default_config(80002), tmp_path / "other")
    assert Trader(other.clob, "0x" + "11" * 32).api != keys[0]


def test_a_restart_keeps_the_certificate_while_it_will_do(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)

    def authority(names: tuple[str, ...] = ("clob.testnet",), at: datetime.datetime = now) -> bytes:
        return issued_or_kept(tmp_path, names, at).ca.read_bytes()

    first = authority()
    assert authority() == first
    assert authority(at=now + datetime.timedelta(days=28)) == first
    other_name = authority(names=("other.testnet",))
    assert other_name != first
    late = authority(names=("other.testnet",), at=now + datetime.timedelta(days=29, hours=1))
    assert late != other_name
    (tmp_path / "server.key").write_bytes((tmp_path / "server.pem").read_bytes())
    broken = authority(names=("other.testnet",))
    assert broken != late
    issue(tmp_path / "b", ("other.testnet",), now)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "b" / "ca.pem").read_bytes())
    foreign = (tmp_path / "ca.pem").read_bytes()
    assert authority(names=("other.testnet",)) not in (foreign, broken)
    mixed = issued_or_kept(tmp_path, ("other.testnet",), now)
    mixed.key.write_bytes((tmp_path / "b" / "server.key").read_bytes())
    before = mixed.ca.read_bytes()
    assert authority(names=("other.testnet",)) != before


def test_private_files_are_private(tmp_path: Path) -> None:
    TestnetServer(default_config(80002), tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes["server.key"] == modes["master.secret"] == 0o600


GOOD: dict[str, Any] = {
    "markets": [
        {
            "condition_id": "0x" + "ab" * 32,
            "tokens": [str(token) for token in TOKENS],
            "tick_size": "0.001",
            "min_size": "5",
        }
    ],
    "seeds": [{"token": str(TOKENS[0]), "side": "SELL", "price": "0.6", "size": "100"}],
    "open_accounts": "1000.5",
    "windows": {"heartbeat_s": 5},
}


def written(tmp_path: Path, body: object) -> Path:
    path = tmp_path / "testnet.json"
    path.write_text(json.dumps(body))
    return path


def test_a_configuration_file(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, GOOD), 80002)
    assert config.markets[0].tokens == TOKENS
    assert config.seeds == (Seed(TOKENS[0], Side.SELL, 6000, 100_000_000),)
    assert (config.open_accounts, config.windows.heartbeat_s) == (1_000_500_000, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"markets": 3},
        {"windows": {"unknown_s": 1}},
        {"open_accounts": "1e-9"},
        {"open_accounts": "many"},
        {"seeds": [{"token": "7", "side": "SELL", "price": "0.6", "size": "100"}]},
        {"seeds": [{"token": str(TOKENS[0]), "side": "LEND", "price": "0.6", "size": "100"}]},
        {"seeds": [{"token": str(TOKENS[0]), "side": "SELL", "price": "1", "size": "100"}]},
        {"seeds": [{"token": str(TOKENS[0]), "side": "SELL", "price": "0.6", "size": "0.001"}]},
        {"markets": [GOOD["markets"][0] | {"tick_size": "0.02"}]},
        {"markets": GOOD["markets"] * 2},
    ],
)
def test_configurations_that_make_no_sense(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        load_config(written(tmp_path, GOOD | change), 80002)


def test_a_market_is_of_one_protocol_version() -> None:
    v3 = position_id("x", 0), position_id("x", 1)
    Market("0x", v3, "0.01")
    with pytest.raises(ConfigError):
        Market("0x", (v3[0], TOKENS[0]), "0.01")
    with pytest.raises(ConfigError):
        Market("0x", v3, "0.01", neg_risk=True)
    with pytest.raises(ConfigError):
        TestnetConfig(5, ())


@pytest.mark.parametrize("wrong", [{"count": 0}, {"status": 200}, {"seconds": -1.0}])
def test_faults_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Fault(FaultKind.DROP_AFTER, **wrong)
