"""`strongroom trade` and `latency`: what is missing or wrong is said before the first tick."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.ring.writer import RingWriter
from typer.testing import CliRunner

TOKEN = "1234567890"


@pytest.fixture
def ring() -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    with RingWriter.create(name) as writer:
        writer.instrument(f"polymarket:{TOKEN}")
        yield name


def failure(*words: str, **extra: str) -> str:
    """What a command that must fail says, after checking that it is one message."""
    environment = {"RELAY_PSK_HEX": None, "COLUMNS": "200", **extra}
    done = CliRunner().invoke(app, list(words), env=environment)
    assert done.exit_code not in (0, 1), done.output
    lines = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.output
    return done.output


def trade(ring: str, *words: str, **extra: str) -> str:
    start = ("trade", "run", "--ring", ring, "--strategy", "baseline", "--market", TOKEN)
    return failure(*start, *words, **extra)


def test_no_ring(tmp_path: Path) -> None:
    message = trade("test-nowhere", "--client", str(tmp_path))
    assert "test-nowhere" in message


def test_no_identity_in_the_clients_folder(ring: str, tmp_path: Path) -> None:
    message = trade(ring, "--client", str(tmp_path))
    assert str(tmp_path) in message


@pytest.mark.parametrize(
    ("words", "extra", "said"),
    [
        (("--relay", "nowhere"), {}, "no relay's address"),
        (("--relay", "127.0.0.1:1"), {}, "no pre-shared key"),
        (("--relay", "127.0.0.1:1"), {"RELAY_PSK_HEX": "ab" * 8}, "too short"),
        (("--relay", "127.0.0.1:1"), {"RELAY_PSK_HEX": "ab" * 32}, "pattern"),
        (("--psk-file", "x"), {}, "without --relay"),
        (("--option", "size"), {}, "is no option"),
        (("--option", "a=1", "--option", "a=2"), {}, "is no option"),
        (("--enclave", "nonsense"), {}, "nonsense"),
    ],
)
def test_options_that_cannot_be(words: tuple[str, ...], extra: dict[str, str], said: str) -> None:
    assert said in trade("test-nowhere", *words, **extra)


def test_no_session_to_look_at() -> None:
    message = failure("latency", f"nobody-{os.getpid()}")
    assert "no trading process" in message


def test_a_tape_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "tape").write_bytes(b"no tape")
    assert "tape" in failure("latency", "--tape", str(tmp_path / "tape"))


def test_a_drawing_that_is_none(tmp_path: Path) -> None:
    message = failure("latency", "--plot", str(tmp_path / "x.gif"))
    assert ".svg" in message
