"""What a rehearsal lacks is said before an enclave is booted for it."""

from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.errors import EnvironmentFault
from strongroom_host.tape.writer import TapeWriter
from typer.testing import CliRunner


def tape(path: Path, *names: str) -> Path:
    with TapeWriter(path, "test") as writer:
        for name in names:
            writer.instrument(name)
    return path


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object) -> None:
        raise EnvironmentFault("it would start now")

    monkeypatch.setattr("strongroom_host.latency.rehearsal.trade_folders", started)


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (["polymarket:1"], ["--strategy", "luck"], ["no strategy luck", "baseline"]),
        (["polymarket:1"], ["--strategy", "gru"], ["needs the option coin", "polymarket:1"]),
        (
            ["polymarket:1", "binance:BTCUSDT", "coinbase:BTC-USD"],
            ["--strategy", "gru"],
            ["needs the option coin", "coin=binance:BTCUSDT or coinbase:BTC-USD"],
        ),
        (["binance:BTCUSDT"], [], ["no such Polymarket instrument"]),
        (["polymarket:x"], [], ["no such Polymarket instrument", "polymarket:x"]),
        (["polymarket:²"], [], ["no such Polymarket instrument"]),
        (
            ["polymarket:1", "polymarket:2"],
            ["--option", "market=polymarket:3"],
            ["polymarket:1 or polymarket:2"],
        ),
        (["polymarket:1"], ["--option", "market"], ["NAME=VALUE"]),
        (["polymarket:1"], ["--speed", "nan"], ["no speed"]),
        (["polymarket:1"], ["--option", "size=0"], ["not a number that it can be"]),
    ],
)
def test_what_the_strategy_lacks_is_said_at_once(
    tmp_path: Path, names: list[str], options: list[str], words: list[str]
) -> None:
    path = str(tape(tmp_path / "x.tape", *names))
    done = CliRunner().invoke(app, ["latency", "--tape", path, *options], env={"COLUMNS": "200"})
    assert done.exit_code == 2, done.output
    for each in words:
        assert each in done.stderr


@pytest.mark.parametrize("strategy", ["gru", "baseline", "whale"])
def test_a_simulated_tape_needs_no_options(tmp_path: Path, strategy: str) -> None:
    from strongroom_host.tape.market import COIN, MEMPOOL, OTHER, TOKEN

    path = str(tape(tmp_path / "x.tape", TOKEN, COIN, MEMPOOL, OTHER))
    done = CliRunner().invoke(app, ["latency", "--tape", path, "--strategy", strategy])
    assert (done.exit_code, "it would start now" in done.stderr) == (5, True), done.output
