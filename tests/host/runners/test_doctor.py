"""The doctor: each thing that can be wrong is found, named, and given a remedy."""

import os
import resource
import shutil
import socket
import sys
import time
from pathlib import Path

import pytest
from strongroom_host.runners.doctor import Level, examine, machine, packages
from strongroom_host.runners.doctor.machine import (
    examine_clock,
    examine_devices,
    examine_files,
    examine_folders,
    examine_ports,
    examine_users,
)
from strongroom_host.runners.doctor.packages import examine_packages, examine_python
from strongroom_host.runners.doctor.result import Result
from strongroom_host.runners.implementations import event_loop, in_use


def by_name(results: list[Result]) -> dict[str, Result]:
    return {result.name: result for result in results}


def bad(result: Result, level: Level, word: str) -> None:
    assert result.level is level, result
    assert word in result.detail, result
    assert result.remedy, result


def test_this_machine_can_run_an_enclave(short: Path, tmp_path: Path) -> None:
    results = list(examine(short / "run", tmp_path / "state", ("127.0.0.1", 0)))
    assert [result for result in results if result.level is Level.FAIL] == []
    assert all(result.remedy for result in results if result.level is not Level.OK)
    names = by_name(results)
    for name in ("Python", "own packages", "cryptography", "user separation", "clock", "devices"):
        assert name in names
    assert not (short / "run").exists()


def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "SUPPORTED_PYTHON", ((2, 7),))
    bad(examine_python(), Level.FAIL, ".")


def test_what_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_OURS", ("strongroom_wire", "strongroom_missing"))
    monkeypatch.setattr(packages, "_COMPILED", (("coincurve", "no_such_module"),))
    monkeypatch.setattr(packages, "_PURE", ("rich", "also_missing"))
    results = by_name(list(examine_packages()))
    bad(results["own packages"], Level.FAIL, "strongroom_missing")
    bad(results["coincurve"], Level.FAIL, "no_such_module")
    bad(results["other packages"], Level.FAIL, "also_missing")
    assert "rich" not in results["other packages"].detail


def test_a_module_that_ends_its_process_does_not_end_the_doctor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lethal.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(packages, "_COMPILED", (("grpcio", "lethal"),))
    bad(by_name(list(examine_packages()))["grpcio"], Level.FAIL, "status")


def test_a_build_of_this_machine_is_not_the_wheel_of_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Built:
        version = "1"

        def read_text(self, name: str) -> str:
            return "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n"

    monkeypatch.setattr(packages, "_COMPILED", (("cbor2", "cbor2"),))
    monkeypatch.setattr(packages, "distribution", lambda name: Built())
    bad(by_name(list(examine_packages()))["cbor2"], Level.WARN, "built on this machine")


def test_fallbacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_PURE", "1")
    assert in_use()["Keccak-256"] == "pycryptodome"
    assert event_loop() is None
    assert "STRONGROOM_PURE=1" in by_name(list(examine_packages()))["implementations"].detail
    monkeypatch.setenv("STRONGROOM_PURE", "")
    monkeypatch.setattr(packages, "_OPTIONAL", (("fastest", "no_such_module"),))
    bad(by_name(list(examine_packages()))["implementations"], Level.WARN, "fastest")


def test_a_busy_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        results = by_name(list(examine_ports("127.0.0.1", port)))
    bad(results[f"port {port}"], Level.FAIL, "in use")


def test_folders_that_cannot_be_used(short: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    results = by_name(list(examine_folders(tmp_path / "file", tmp_path / "open")))
    bad(results["run directory"], Level.FAIL, "no folder")
    bad(results["state directory"], Level.FAIL, "others could replace")
    results = by_name(list(examine_folders(short / ("x" * 99), tmp_path / "file" / "x")))
    bad(results["socket paths"], Level.FAIL, "Unix sockets")
    assert results["run directory"].level is Level.OK
    bad(results["state directory"], Level.FAIL, "file")


def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    results = by_name(list(examine_folders(tmp_path, tmp_path)))
    bad(results["run directory"], Level.FAIL, "others could replace")


@pytest.mark.parametrize(("free", "level"), [(1 << 20, Level.FAIL), (1 << 29, Level.WARN)])
def test_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    bad(by_name(list(examine_folders(tmp_path, tmp_path)))["run disk"], level, "GiB free")


def test_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    bad(examine_users(), Level.WARN, "only root")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    bad(examine_users(), Level.WARN, "cannot run this installation")


@pytest.mark.parametrize("now", [0.0, 1.7e9, 5e9])
def test_a_clock_that_cannot_be_right(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr(time, "time", lambda: now)
    bad(examine_clock(), Level.FAIL, "cannot be true")


@pytest.mark.parametrize("level", [Level.WARN, Level.OK])
def test_a_clock_that_nothing_synchronises(monkeypatch: pytest.MonkeyPatch, level: Level) -> None:
    monkeypatch.setattr(machine, "_unsynchronised", lambda: level is Level.WARN)
    assert examine_clock().level is level


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda self: False)
    bad(examine_devices(), Level.WARN, "throw-away root")
    monkeypatch.setattr(Path, "exists", lambda self: str(self) == "/dev/nsm")
    assert examine_devices().level is Level.OK


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 256))
    bad(examine_files(), Level.WARN, "256")
