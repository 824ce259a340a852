"""`strongroom tape` and `strongroom strategy`, as a person runs them."""

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.ring.writer import RingWriter
from strongroom_host.strategy.decisions import DecisionRecord, read_decisions
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.recording import replay
from typer.testing import CliRunner, Result

from tests.host.strategy.ticks import simulated

COMMAND = [sys.executable, "-P", "-m", "strongroom_host.cli.main"]
MARKET = ("--option", "market=polymarket:1")
ENDLESS = ("--latency-ms", "inf")
GRU = (*MARKET, "--option", "coin=binance:BTCUSDT")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "160"})


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    simulated(tmp_path / "x.tape", 60).close()
    return tmp_path / "x.tape"


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    (tmp_path / "rings").mkdir()
    monkeypatch.setenv("STRONGROOM_RING_DIR", str(tmp_path / "rings"))
    return f"cli-{secrets.token_hex(4)}"


def test_a_simulated_tape_is_made_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "x.tape"
    assert invoke("tape", "simulate", "--out", path, "--hours", "0.01").exit_code == 0
    shown = invoke("tape", "show", path, "--rows", "3")
    assert shown.exit_code == 0
    for word in ("simulated 1", "polymarket:1", "best bid", "verified"):
        assert word in shown.stdout
    facts = json.loads(invoke("tape", "show", path, "--json", "--from", "5").stdout)
    assert facts["ticks"] == facts["synced"] == sum(facts["kinds"].values())
    assert [row[0] for row in facts["rows"]] == [str(n) for n in range(6, 16)]
    again = invoke("tape", "simulate", "--out", path)
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_a_damaged_tape_is_refused_and_shown_when_asked(tape: Path) -> None:
    data = bytearray(tape.read_bytes())
    data[-30] ^= 1
    tape.write_bytes(data)
    refused = invoke("tape", "show", tape)
    assert refused.exit_code == 3
    assert "changed" in refused.stderr
    shown = json.loads(invoke("tape", "show", tape, "--damaged", "--json").stdout)
    assert shown["verified"] is False


def test_a_backtest_is_printed_drawn_recorded_and_explained(tape: Path, tmp_path: Path) -> None:
    pages = [tmp_path / f"p.{kind}" for kind in ("html", "svg", "png")]
    decisions = tmp_path / "d.jsonl"
    first = invoke(
        *("strategy", "backtest", tape, "--strategy", "gru", *GRU, "--plot", pages[0]),
        *("--decisions", decisions),
    )
    assert first.exit_code == 0, first.stderr
    assert "profit" in first.stdout
    assert "no promise" in first.stderr
    for path in pages[1:]:
        done = invoke("strategy", "backtest", tape, "--strategy", "gru", *GRU, "--plot", path)
        assert done.exit_code == 0
    assert b"<svg" in pages[1].read_bytes()
    assert pages[2].read_bytes().startswith(b"\x89PNG")
    assert "Content-Security-Policy" in pages[0].read_text()
    told = invoke("strategy", "explain", decisions, tape)
    assert told.exit_code == 0, told.stderr
    assert "each the same in every field" in told.stdout
    inputs = invoke("strategy", "explain", decisions, tape, "--inputs-only")
    assert "was not checked" in inputs.stderr
    whole = decisions.read_bytes()
    decisions.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
    cut = invoke("strategy", "explain", decisions, tape)
    assert cut.exit_code == 3
    assert "no last line" in cut.stderr
    assert "--killed" in cut.stderr
    assert invoke("strategy", "explain", decisions, tape, "--killed").exit_code == 0
    decisions.write_bytes(whole)
    simulated(tmp_path / "other.tape", 60, seed=9).close()
    other = invoke("strategy", "explain", decisions, tmp_path / "other.tape")
    assert other.exit_code == 3


def test_json_has_what_the_table_has(tape: Path) -> None:
    arguments = ("strategy", "backtest", tape, "--strategy", "baseline", *MARKET, "--json")
    facts = json.loads(invoke(*arguments).stdout)
    assert facts["strategy"] == "baseline"
    assert facts["model_sha256"] == "00" * 32
    assert facts["parameters"]["edge"] == 5_000
    assert facts == json.loads(invoke(*arguments).stdout)
    dear = json.loads(invoke(*arguments, "--latency-ms", "500").stdout)
    assert dear["decisions_sha256"] != facts["decisions_sha256"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("strategy", "list", "luck"), 2, "no strategy luck"),
        (("strategy", "backtest", "TAPE", "--strategy", "luck"), 2, "no strategy luck"),
        (("strategy", "backtest", "TAPE", "--strategy", "baseline"), 2, "needs the option"),
        (("strategy", "backtest", "TAPE", "--strategy", "gru", "--option", "x"), 2, "NAME=VALUE"),
        (
            ("strategy", "backtest", "TAPE", "--strategy", "baseline", *MARKET, "--plot", "x.gif"),
            *(2, ".html"),
        ),
        (
            ("strategy", "backtest", "TAPE", "--strategy", "gru", *GRU, "--option", "runtime=gpu"),
            *(5, "no runtime gpu"),
        ),
        (("strategy", "backtest", "none.tape", "--strategy", "baseline"), 2, "No such file"),
        (
            (*("strategy", "backtest", "TAPE", "--strategy", "baseline", *MARKET), *ENDLESS),
            *(2, "--latency-ms"),
        ),
        (("strategy", "train", "TAPE", "--test", "TAPE", "--out", "x.json"), 2, "judged"),
        (("tape", "replay", "TAPE", "--ring", "x", "--speed", "fast"), 2, "no speed"),
        (("tape", "record", "no-such-ring", "--out", "y.tape"), 2, "no-such-ring"),
    ],
)
def test_bad_input_is_explained(
    arguments: tuple[str, ...], status: int, words: str, tape: Path, ring: str
) -> None:
    done = invoke(*[tape if each == "TAPE" else each for each in arguments])
    assert done.exit_code == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_training_without_torch_is_explained(tape: Path, tmp_path: Path) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        simulated(tmp_path / "other.tape", 1).close()
        out = tmp_path / "m.json"
        done = invoke("strategy", "train", tape, "--test", tmp_path / "other.tape", "--out", out)
        assert done.exit_code == 5
        assert "needs torch" in done.stderr
    else:
        pytest.skip("torch is here")


def test_lists_are_printed() -> None:
    shown = invoke("strategy", "list").stdout
    for word in ("baseline", "gru", "whale", "exact", "aoti"):
        assert word in shown
    assert "margin above the cost" in invoke("strategy", "list", "gru").stdout


@pytest.mark.slow
def test_recorded_on_paper_and_explained_while_a_tape_plays(
    tape: Path, tmp_path: Path, ring: str
) -> None:
    """Replay, recorder and paper mode in processes of their own; then the session is run again."""
    copy, decisions = tmp_path / "copy.tape", tmp_path / "d.jsonl"
    environment = os.environ | {"COLUMNS": "160"}
    processes = []
    with TapeReader(tape) as source, RingWriter.create(ring, slots=65_536) as writer:
        for name in source.names:
            if name:
                writer.instrument(name)
        paper = ["strategy", "paper", "--ring", ring, "--strategy", "gru", *GRU]
        for arguments in (
            ["tape", "record", ring, "--out", str(copy)],
            [*paper, "--decisions", str(decisions)],
        ):
            processes.append(
                subprocess.Popen(
                    [*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=environment
                )
            )
        for process in processes:
            assert process.stdout is not None
            assert "ring" in process.stdout.readline()
        count = replay(source, writer, speed=None)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert f"{count:,} ticks" in said[0]
    assert f"{count:,} ticks" in said[1]
    with TapeReader(copy) as recorded, TapeReader(tape) as source:
        assert bytes(recorded.ticks) == bytes(source.ticks)
    made = [record for record in read_decisions(decisions) if isinstance(record, DecisionRecord)]
    told = invoke("strategy", "explain", decisions, copy)
    assert told.exit_code == 0, told.stderr
    assert f"{len(made)} decisions made again" in told.stdout
