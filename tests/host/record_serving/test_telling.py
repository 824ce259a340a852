"""What the operator reads: a state that lasts is a line now and then, not one each time."""

import io
import json

import pytest
from strongroom_host.record_serving.telling import OperatorLog, Repeats


class Clock:
    """Seconds, as a test turns them."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_lasts_is_said_after_longer_and_longer_times(clock: Clock) -> None:
    repeats, said = Repeats(clock), list[tuple[float, int]]()
    for _ in range(4 * 9_000):  # four times a second, for two and a half hours
        if times := repeats.due("no evidence"):
            said.append((clock.at - 1000.0, times))
        clock.at += 0.25
    assert said == [(0.0, 1), (60.0, 240), (180.0, 480), (420.0, 960), (900.0, 1920),
                    (1860.0, 3840), (3780.0, 7680), (7380.0, 14400)]  # fmt: skip


def test_what_comes_again_after_a_while_is_said_at_once(clock: Clock) -> None:
    repeats = Repeats(clock)
    assert repeats.due("a") == 1
    clock.at += 30
    assert repeats.due("a") == 0
    clock.at += 300
    assert repeats.due("a") == 2, "with the one that was not said"
    clock.at += 30
    assert repeats.due("a") == 0
    clock.at += 31
    assert repeats.due("a") == 2, "a minute is where it begins again"


def test_each_is_for_itself_and_few_are_remembered(clock: Clock) -> None:
    repeats = Repeats(clock)
    assert [repeats.due(f"leaf {n}") for n in range(200)] == [1] * 200
    assert repeats.due("leaf 199") == 0
    assert repeats.due("leaf 0") == 1, "forgotten: nothing grows with what comes"


def test_the_operator_s_lines_say_how_often(clock: Clock) -> None:
    told = io.StringIO()
    log = OperatorLog(told, Repeats(clock))
    for _ in range(500):
        log.warn("a page of the record's log was refused")
    log.warn("another thing")
    clock.at += 61
    log.warn("a page of the record's log was refused")
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [(line["level"], line["what"], line.get("times")) for line in lines] == [
        ("error", "a page of the record's log was refused", None),
        ("error", "another thing", None),
        ("error", "a page of the record's log was refused", 500),
    ]
    assert log.warnings == 502, "a counter for Prometheus has all of them"
