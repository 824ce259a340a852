"""Whatever goes wrong: one message on stderr, a status, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from strongroom_attest.errors import EmptyPolicy
from strongroom_host.cli.app import COMMANDS, app
from strongroom_host.cli.failures import DEFECT, report
from strongroom_host.enclave_client.errors import Denied, ManifestMismatch, refusal
from strongroom_host.errors import BadInput
from strongroom_wire.errors import BadSignature, Code, Malformed, Rule
from typer.testing import CliRunner

runner = CliRunner()


@pytest.mark.parametrize(
    ("error", "status", "parts"),
    [
        (BadInput("bad", expected="x", actual="y", remedy="z"), 2, ["bad", "x", "y", "z"]),
        (ManifestMismatch("other", expected="a", actual="b"), 3, ["other", "a", "b"]),
        (refusal(Code.NO_CREDENTIAL, "order"), 4, ["NO_CREDENTIAL (110)", "provision enroll"]),
        (Denied("order", Rule.ORDER_NOTIONAL, 25_000_000, 55_000_000), 4,
         ["ORDER_NOTIONAL", "25.000000 pUSD", "55.000000 pUSD", "make the order smaller"]),
        (Malformed("frame", "24 bytes", 3), 2, ["frame", "24 bytes"]),
        (BadSignature("sig", "by x", "none"), 3, ["sig"]),
        (EmptyPolicy("nothing compared"), 3, ["nothing compared"]),
        (FileNotFoundError(2, "No such file", "x.json"), 5, ["x.json", "No such file"]),
        (ModuleNotFoundError("no", name="grpc"), 5, ["grpc", "make env"]),
        (RuntimeError("boom"), DEFECT, ["defect", "boom"]),
    ],
)  # fmt: skip
def test_each_kind_of_failure_has_a_message_and_a_status(
    error: Exception, status: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_a_message_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(BadInput("\x1b[2Jgone [bold]x[/bold] \x07", actual="\x1b]0;t\x07" + "y" * 5000))
    err = capsys.readouterr().err
    assert "\x1b]" not in err
    assert "\x1b[2J" not in err
    assert "\x07" not in err
    assert "[bold]x[/bold]" in err
    assert len(err) < 3000


def test_a_traceback_is_shown_on_request_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_DEBUG", "1")
    report(RuntimeError("boom"))
    assert "RuntimeError: boom" in capsys.readouterr().err


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "strongroom_host.cli.main", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def test_help_names_every_command() -> None:
    shown = runner.invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert all(name in shown.output for name in COMMANDS)


def test_every_command_can_be_loaded_and_has_help() -> None:
    for name in COMMANDS:
        shown = runner.invoke(app, [name, "--help"])
        assert shown.exit_code == 0, (name, shown.output)
        assert "not available" not in shown.output, name


def test_unknown_commands_and_options_are_usage_errors() -> None:
    for arguments in (["frobnicate"], ["enclave", "status", "--frob"], ["manifest", "sign"]):
        done = run(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


def test_a_missing_package_is_a_message(tmp_path: Path) -> None:
    """An interpreter that sees our code but none of the packages."""
    host = Path(typer.__file__).parents[1]
    ours = [path for path in sys.path if path and Path(path).resolve() != host.resolve()]
    roots = [str(Path(__import__(name).__file__ or "").parents[1])
             for name in ("strongroom_host", "strongroom_wire", "strongroom_attest")]  # fmt: skip
    assert ours
    done = subprocess.run(
        [sys.executable, "-S", "-m", "strongroom_host.cli.main", "--help"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(roots), "PATH": os.environ["PATH"]},
        timeout=60,
    )
    assert done.returncode == 5
    assert "package" in done.stderr
    assert "make env" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_whose_package_is_missing_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(COMMANDS, "demo", "strongroom_host.cli.absent:demo")
    assert runner.invoke(app, ["owner", "--help"]).exit_code == 0
    failed = runner.invoke(app, ["demo"])
    assert failed.exit_code == 5
    assert "missing" in failed.stderr


BAD: list[tuple[list[str], int, str]] = [
    (["enclave", "status", "--enclave", "nowhere"], 2, "not the address of an enclave"),
    (["enclave", "status", "--enclave", "127.0.0.1:9"], 5, "no answer from"),
    (["enclave", "status", "--enclave", "unix:{tmp}"], 5, "no answer from"),
    (["enclave", "evidence"], 2, "no trust file"),
    (["enclave", "trust"], 2, "where the expected measurements come from"),
    (["enclave", "trust", "--release", "{tmp}/none"], 2, "cannot read"),
    (["enclave", "trust", "--release", "{tmp}/junk"], 2, "not a release record"),
    (["manifest", "lint", "{tmp}/none"], 2, "cannot read"),
    (["manifest", "lint", "{tmp}/junk"], 2, "not a manifest"),
    (["manifest", "explain", "{tmp}/binary"], 2, "not a manifest"),
    (["manifest", "sign", "{tmp}/junk"], 2, "not a document that owners sign"),
    (["manifest", "sign", "{tmp}/junk.signed.json"], 2, "not a signed file"),
    (["manifest", "new", "--account", "Bad Name"], 2, "no owner key"),
    (["manifest", "pin", "{tmp}/junk"], 2, "not a signed file"),
    (["permit"], 2, "manifest.signed.json"),
    (["permit", "--budget", "main=1"], 2, "cannot read"),
    (["permit", "--budget", "main=1", "--until", "tomorrow"], 2, "not a time"),
    (["permit", "--budget", "main=1", "--until", "2030-01-01"], 2, "no time zone"),
    (["permit", "--budget", "main=1", "--hours", "-1"], 2, "in the past"),
    (["permit", "submit", "{tmp}/junk"], 2, "cannot read"),
    (["provision", "list"], 0, ""),
    (["owner", "show"], 2, "no owner key"),
    (["owner", "init"], 2, "passphrase"),
    (["owner", "client", "Bad Name", "--out", "{tmp}/c"], 2, "cannot be a client's name"),
    (["order", "cancel"], 2, "say what to cancel"),
    (["order", "cancel", "zz"], 2, "not a 32-byte hash"),
    (["order", "place", "--token", "x", "--side", "buy", "--price", "0.5", "--size", "1"], 2,
     "not a token id"),
    (["order", "place", "--token", "1", "--side", "hold", "--price", "0.5", "--size", "1"], 2,
     "not a side"),
    (["order", "place", "--token", "1", "--side", "buy", "--price", "half", "--size", "1"], 2,
     "not an amount"),
    (["order", "place", "--token", "1", "--side", "buy", "--price", "0.5", "--size", "1",
      "--tick", "0.02"], 2, "not a tick"),
    (["panic"], 2, "cannot read"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "status", "message"), BAD)
def test_bad_input_is_one_message(
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRONGROOM_OWNER", str(tmp_path / "owner"))
    monkeypatch.setenv("STRONGROOM_CLIENT", str(tmp_path / "client"))
    for name in ("junk", "junk.signed.json"):
        (tmp_path / name).write_text('{"junk": 1}')
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    done = runner.invoke(app, [part.format(tmp=tmp_path) for part in arguments])
    assert done.exit_code == status, done.output
    assert message in done.stderr
    if status:
        assert done.stderr.count("error: ") == 1
        assert isinstance(done.exception, SystemExit)
