"""The counter's frequency: plausible and steady, or not told at all."""

import mmap
import platform

import pytest
from strongroom_host.runners import timestamp_counter
from strongroom_host.runners.timestamp_counter import clock_arguments, counter_khz

on_amd64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="no amd64 processor")


@on_amd64
def test_it_agrees_with_itself() -> None:
    found = [khz for khz in (counter_khz() for _ in range(4)) if khz is not None]
    if len(found) < 2:
        pytest.skip("this machine is too busy, or allows no executable page")
    assert max(found) - min(found) <= max(found) // 500


@on_amd64
def test_the_kernel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamp_counter, "_round", lambda _: 2_596_130)
    assert clock_arguments() == ("-append", "tsc_early_khz=2596130 tsc=nowatchdog")


@on_amd64
@pytest.mark.parametrize(
    "rounds",
    [
        [2_596_130, 2_596_131, 2_596_129, 2_596_130, 2_700_000],
        [0] * 5,
        [99_999] * 5,
        [1 << 40] * 5,
    ],
)
def test_what_cannot_be_right_is_not_told(
    monkeypatch: pytest.MonkeyPatch, rounds: list[int]
) -> None:
    left = iter(rounds)
    monkeypatch.setattr(timestamp_counter, "_round", lambda _: next(left))
    assert clock_arguments() == ()


def test_other_processors_and_strict_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(mmap, "mmap", refused)
    assert clock_arguments() == ()
    monkeypatch.undo()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert clock_arguments() == ()
