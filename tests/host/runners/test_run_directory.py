"""A run directory is taken only if it is safe, and never from a boot that lives."""

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from strongroom_host.runners.errors import RunDirectoryInUse, RunDirectoryRefused
from strongroom_host.runners.run_directory import RunDirectory, default_run_directory


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(1)
    return sock


def test_a_new_one_is_private(short: Path) -> None:
    directory = RunDirectory.claim(short / "run")
    assert stat.S_IMODE((short / "run").stat().st_mode) == 0o700
    directory.release()
    directory.release()


def test_what_a_dead_boot_left_is_cleared_and_its_console_kept(short: Path) -> None:
    run = short / "run"
    (run / "front").mkdir(parents=True)
    run.chmod(0o700)
    listening(run / "frames.sock").close()
    (run / "bootstrap.sock").symlink_to(run / "front" / "bootstrap.sock")
    (run / "console.log").write_text("last words")
    directory = RunDirectory.claim(run)
    left = {path.name for path in run.iterdir()}
    assert left == {"console.previous.log", "runner.lock"}
    assert (run / "console.previous.log").read_text() == "last words"
    directory.release()


def test_one_that_is_locked_is_refused_until_it_is_given_up(short: Path) -> None:
    directory = RunDirectory.claim(short / "run")
    with pytest.raises(RunDirectoryInUse) as refused:
        RunDirectory.claim(short / "run")
    assert "stop that one first" in refused.value.remedy
    directory.release()
    RunDirectory.claim(short / "run").release()


def test_whoever_inherited_the_lock_keeps_the_directory(short: Path) -> None:
    directory = RunDirectory.claim(short / "run")
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[directory.lock]
    )
    directory.release()
    with pytest.raises(RunDirectoryInUse):
        RunDirectory.claim(short / "run")
    child.communicate()
    RunDirectory.claim(short / "run").release()


def test_an_enclave_started_by_hand_holds_no_lock_but_answers(short: Path) -> None:
    run = short / "run"
    run.mkdir(mode=0o700)
    with listening(run / "frames.sock"), pytest.raises(RunDirectoryInUse, match="another enclave"):
        RunDirectory.claim(run)
    RunDirectory.claim(run).release()


def test_a_folder_of_something_else_is_refused_and_left_alone(short: Path) -> None:
    (short / "front").mkdir()
    (short / "thesis.txt").write_text("years of work")
    with pytest.raises(RunDirectoryRefused) as refused:
        RunDirectory.claim(short)
    assert refused.value.actual == "thesis.txt"
    assert (short / "front").is_dir()


def test_too_long_a_path_names_the_limit_and_a_way_out(short: Path) -> None:
    with pytest.raises(RunDirectoryRefused, match="too long") as refused:
        RunDirectory.claim(short / ("x" * 83))
    assert str(default_run_directory()) in refused.value.remedy
    assert not (short / ("x" * 83)).exists()


def test_the_longest_path_allowed_can_be_bound(short: Path) -> None:
    run = short / ("x" * (103 - len("/front/bootstrap.sock") - len(bytes(short)) - 1))
    directory = RunDirectory.claim(run)
    (run / "front").mkdir()
    listening(run / "front" / "bootstrap.sock").close()
    directory.release()


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_one_that_others_may_write_is_refused(short: Path, mode: int) -> None:
    run = short / "run"
    run.mkdir()
    run.chmod(mode)
    with pytest.raises(RunDirectoryRefused, match="not safe"):
        RunDirectory.claim(run)


def test_a_link_is_refused(short: Path) -> None:
    (short / "real").mkdir(mode=0o700)
    (short / "run").symlink_to(short / "real")
    with pytest.raises(RunDirectoryRefused, match="not safe"):
        RunDirectory.claim(short / "run")


def test_somebody_elses_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short / "run").mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(RunDirectoryRefused, match="not safe"):
        RunDirectory.claim(short / "run")


def test_a_lock_file_that_is_a_link_is_not_followed(short: Path) -> None:
    run = short / "run"
    run.mkdir(mode=0o700)
    (run / "runner.lock").symlink_to(short / "elsewhere")
    with pytest.raises(RunDirectoryRefused, match="cannot write"):
        RunDirectory.claim(run)
    assert not (short / "elsewhere").exists()


def test_below_a_file_there_is_no_folder(short: Path) -> None:
    (short / "file").touch()
    with pytest.raises(RunDirectoryRefused, match="cannot use"):
        RunDirectory.claim(short / "file" / "run")
