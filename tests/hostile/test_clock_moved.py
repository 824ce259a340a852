"""The platform's clock moved under a running boot: signing stops, for good, and cancels go on."""

import time
from pathlib import Path

import pytest
from strongroom_wire.errors import Code, Rule
from strongroom_wire.statements import Action

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Channel, Desk, now_ms


class Hand:
    """Moves the clock of the software NSM."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.move("offset", 0)

    def move(self, mode: str, number: int) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(f"{mode} {number}")
        draft.replace(self.path)


@pytest.fixture
def moved(start: Start, tmp_path: Path) -> tuple[Boot, Hand]:
    hand = Hand(tmp_path / "clock")
    return start(Desk(), clock=hand.path).make_ready(), hand


def until_denied(channel: Channel, seconds: float = 20) -> Rule:
    """Returns the rule of the first denial; an order signed meanwhile is within policy."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        reply = channel.buy(1)
        if reply.code is Code.DENIED:
            assert reply.request == b""
            return reply.rule
        time.sleep(0.05)
    raise AssertionError("the enclave did not notice")


@pytest.mark.parametrize(
    ("mode", "number"),
    [
        ("offset", 10_000),
        ("offset", -10_000),
        ("offset", 3_600_000 * 24 * 365),
        ("at", now_ms() - 60_000),
    ],
    ids=["ahead", "back", "a year ahead", "frozen in the past"],
)
def test_a_clock_that_jumps_ends_signing_for_good(
    moved: tuple[Boot, Hand], mode: str, number: int
) -> None:
    boot, hand = moved
    channel = boot.channel()
    assert channel.buy(1).code is Code.OK
    hand.move(mode, number)
    assert until_denied(channel) is Rule.CLOCK
    hand.move("offset", 0)
    time.sleep(0.5)  # several anchors
    assert channel.buy(1).rule is Rule.CLOCK, "a clock that was moved back is believed again"
    assert boot.submit_permit(boot.permit(2)) is Code.OK
    assert channel.buy(1).rule is Rule.CLOCK, "a permit makes up for a clock"
    assert channel.cancel_all().code is Code.OK


def test_a_clock_that_stands_still_ends_signing(moved: tuple[Boot, Hand]) -> None:
    boot, hand = moved
    channel = boot.channel()
    hand.move("at", now_ms())
    assert until_denied(channel) is Rule.CLOCK
    assert channel.cancel_all().code is Code.OK


def test_a_small_difference_is_lived_with(moved: tuple[Boot, Hand]) -> None:
    boot, hand = moved
    channel = boot.channel()
    hand.move("offset", 1_000)
    time.sleep(0.5)
    assert channel.buy(1).code is Code.OK


def test_a_time_before_the_image_was_built_is_no_time(start: Start, tmp_path: Path) -> None:
    hand = Hand(tmp_path / "clock")
    hand.move("at", 1_700_000_000_000)
    boot = start(Desk(), clock=hand.path)
    assert boot.order(Action.GENERATE, "main")[0] is Code.OK
    assert boot.submit_permit(boot.permit()) is Code.OK
    assert boot.enrol() == (Code.DENIED, b""), "a login was dated by a clock that nobody believes"
