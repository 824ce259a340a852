"""`strongroom feed` as its operator uses it, with the testnet for a venue."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.cli.feed_doctor import _metrics
from strongroom_host.cli.feed_watch import Board, decimal
from strongroom_host.feed_venues.bitcoin import BitcoinPublisher
from strongroom_host.pins import parse_pin
from strongroom_host.ring.listing import remove_ring
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import Kind, Status, Tick
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter
from strongroom_host.testnet import Moves, TestnetServer, default_config
from typer.testing import CliRunner, Result

RING = f"test-feed-{os.getpid()}"


def strongroom(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["feed", *arguments])
    assert result.exit_code == status, result.output
    return result


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    folder = tmp_path_factory.mktemp("testnet")
    with TestnetServer(
        default_config(80002), folder, market_port=0, moves=Moves(3, 0.01)
    ) as server:
        yield server


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """`strongroom feed run`, and what it printed when ready."""
    command = [sys.executable, "-m", "strongroom_host.cli.main", "feed", "run", "--json"]
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
            yield process, json.loads(line)
        finally:
            process.terminate()  # a feed that is killed leaves its ring behind
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def options(venue: TestnetServer) -> list[str]:
    token = str(venue.clob.config.markets[0].tokens[0])
    url = ["--polymarket-url", venue.market_url, "--polymarket-ca", str(venue.ca_path)]
    return ["--ring", RING, "--polymarket", token, *url]


def test_ticks_flow_until_sigterm_and_the_ring_goes_with_the_feed(venue: TestnetServer) -> None:
    with running(*options(venue), "--metrics", "127.0.0.1:0") as (process, ready):
        assert ready == {"ready": True, "ring": RING, "feeds": ["polymarket"]}
        with RingReader.attach(RING, wait=Wait.YIELD, from_start=True) as reader:
            kinds: set[Kind] = set()
            while not kinds >= {Kind.STATUS, Kind.LEVEL, Kind.BEST_BID, Kind.TRADE}:
                view = reader.next(5.0)
                assert view is not None
                kinds.add(Kind(Tick.read(view).kind))
        lines = strongroom("watch", RING, "--count", "5").stdout.splitlines()
        assert len(lines) == 5
        assert all("polymarket:" in line for line in lines)
        shown = strongroom("watch", RING, "--seconds", "0.5").stdout
        assert "ticks, 0 breaks" in shown
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert json.loads(rest) == {"stopped": True}
    assert "no" in strongroom("watch", RING, "--count", "1", status=2).stderr.lower()


def test_counters_are_served(venue: TestnetServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with running(*options(venue), "--metrics", f"127.0.0.1:{port}"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert 'strongroom_feed_ticks_total{feed="polymarket"}' in text
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=30)


def test_pins_are_printed_as_configuration_writes_them(venue: TestnetServer) -> None:
    port = venue.market_url.rpartition(":")[2].partition("/")[0]
    shown = strongroom("pins", f"localhost:{port}", "--ca", str(venue.ca_path), "--json").stdout
    rows = json.loads(shown)
    assert [len(parse_pin(row["pin"])) for row in rows] == [32, 32]
    assert rows[0]["subject"] == "CN=strongroom testnet"
    text = strongroom("pins", f"localhost:{port}", "--ca", str(venue.ca_path)).stdout
    assert f'pins = ["{rows[0]["pin"]}", "{rows[1]["pin"]}"]' in text


def test_a_host_that_cannot_be_verified_shows_no_pins(venue: TestnetServer) -> None:
    port = venue.market_url.rpartition(":")[2].partition("/")[0]
    assert "did not prove" in strongroom("pins", f"localhost:{port}", status=5).stderr
    assert "no TLS connection" in strongroom("pins", "localhost:1", status=5).stderr


def config(venue: TestnetServer, folder: Path, more: str = "") -> Path:
    port = venue.market_url.rpartition(":")[2].partition("/")[0]
    path = folder / "feeds.toml"
    path.write_text(
        f'[polymarket]\ntokens = ["1"]\nurl = "wss://localhost:{port}/ws/market"\n'
        f'cafile = "{venue.ca_path}"\n{more}'
    )
    return path


def test_the_doctor_finds_a_healthy_feed_healthy(venue: TestnetServer, tmp_path: Path) -> None:
    with BitcoinPublisher() as node:
        more = f'[bitcoin]\naddresses = ["{node.address}"]\n'
        path = config(venue, tmp_path, more)
        found = json.loads(strongroom("doctor", "--config", str(path), "--json").stdout)
    states = {item["what"]: item["state"] for item in found}
    assert states["polymarket certificate"] == "ok"
    assert states["polymarket pins"] == "note"
    assert states[f"bitcoin {node.address}"] == "ok"
    assert "FAILED" not in states.values()


def test_the_doctor_says_what_is_in_the_way(venue: TestnetServer, tmp_path: Path) -> None:
    wrong = 'pins = ["sha256/' + "A" * 43 + '="]\n[bitcoin]\naddresses = ["tcp://127.0.0.1:1"]\n'
    path = config(venue, tmp_path, wrong)
    found = json.loads(strongroom("doctor", "--config", str(path), "--json", status=5).stdout)
    failed = {item["what"]: item for item in found if item["state"] == "FAILED"}
    assert "none of the keys" in failed["polymarket certificate"]["detail"]
    assert "feed pins" in failed["polymarket certificate"]["remedy"]
    assert "bitcoin tcp://127.0.0.1:1" in failed


def doctor(*arguments: str, status: int = 0) -> dict[str, dict[str, str]]:
    """The findings by what was looked at."""
    found = json.loads(strongroom("doctor", *arguments, "--json", status=status).stdout)
    return {item["what"]: item for item in found}


def test_the_doctor_takes_what_the_feed_is_run_with(venue: TestnetServer, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = doctor(*options(venue), "--metrics", f"127.0.0.1:{port}", status=5)
    assert busy["metrics"]["state"] == "FAILED"
    with BitcoinPublisher() as node:
        free = doctor(*options(venue), "--bitcoin", node.address, "--bitcoin-least", "1")
    assert {item["state"] for item in free.values()} <= {"ok", "note"}
    assert free["configuration"]["detail"] == "polymarket, bitcoin"
    assert free[f"ring {RING}"]["detail"] == "the name is free"
    both = doctor("--config", str(config(venue, tmp_path)), "--ring", RING, "--polymarket", "22")
    assert both["polymarket certificate"]["state"] == "ok"


def test_the_doctor_says_that_a_ring_is_taken_or_left(venue: TestnetServer) -> None:
    with RingWriter.create(RING, slots=64):
        found = doctor(*options(venue), status=5)[f"ring {RING}"]
        assert found["detail"] == f"process {os.getpid()} writes to it"
        assert "one producer" in found["remedy"]
    child = "import os, sys; from strongroom_host.ring.writer import RingWriter as W; "
    child += "w = W.create(sys.argv[1], slots=64); os._exit(0)"
    subprocess.run([sys.executable, "-c", child, RING], check=True)
    try:
        found = doctor(*options(venue), status=5)[f"ring {RING}"]
        assert "64 slots was left" in found["detail"]
        found = doctor(*options(venue), "--slots", "64")[f"ring {RING}"]
        assert "taken over" in found["detail"]
    finally:
        remove_ring(RING)


@pytest.mark.parametrize(
    ("arguments", "what", "words"),
    [
        (["--polymarket", "abc"], "configuration", "not a token id"),
        (["--bitcoin", "here"], "configuration", "not a node's address"),
        (["--ring", "no/ring"], "ring no/ring", "cannot have this name"),
        (["--ring", "r", "--slots", "500"], "ring r", "power of two"),
        (["--metrics", "here"], "metrics", "not an address"),
    ],
)
def test_the_doctor_finds_options_that_cannot_be(
    arguments: list[str], what: str, words: str
) -> None:
    url = ["--polymarket-url", "ws://127.0.0.1:1/"] if "--polymarket" in arguments else []
    found = doctor(*arguments, *url, status=5)[what]
    assert found["state"] == "FAILED"
    assert words in found["detail"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--binance", "BTCUSDT"], "need a ring"),
        (["--ring", "r"], "no feed is configured"),
        (["--ring", "r", "--polymarket", "abc"], "not a token id"),
        (["--ring", "r", "--polymarket-url", "wss://a.test/"], "needs tokens"),
        (["--ring", "r", "--bitcoin", "here"], "not a node's address"),
        (["--ring", "r", "--binance", "BTCUSDT", "--bitcoin-least", "x"], "needs nodes"),
        (["--ring", "no/ring", "--binance", "BTCUSDT"], "ring"),
    ],
)
def test_bad_options_are_explained(arguments: list[str], words: str) -> None:
    assert words in strongroom("run", *arguments, status=2).stderr


def test_a_board_adds_ticks_up() -> None:
    board = Board()

    def tick(kind: Kind, price: int = 0, size: int = 0, detail: int = 0, epoch: int = 1) -> None:
        number = 0 if kind is Kind.STATUS and detail != Status.MARKET_RESOLVED else 1
        board.take(Tick(1, 0, 0, price, size, number, epoch, 0, kind, 1, 1, 0, detail))

    tick(Kind.STATUS, detail=Status.CONNECTED)
    tick(Kind.BEST_BID, 49_000_000, 20 * 10**8)
    tick(Kind.BEST_ASK)
    tick(Kind.TRADE, 50_000_000, 7 * 10**8)
    tick(Kind.STATUS, detail=Status.RESUMED, epoch=2)
    tick(Kind.STATUS, detail=Status.MARKET_RESOLVED, epoch=2)
    row = board.rows[1]
    assert (row.bid, row.ask, row.last, row.note) == (
        "0.49 x 20",
        "none",
        "0.5 x 7",
        "market resolved",
    )
    assert (board.ticks, board.breaks) == (6, 1)
    assert decimal(1) == "0.00000001"


def test_the_doctor_listens_where_the_feed_would() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert _metrics("[::1]:0").state == "ok"
