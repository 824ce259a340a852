"""The live view fits the terminal that it is drawn in, whatever there is to say."""

import io

import pytest
from rich.console import Console
from strongroom_host.latency.stats import Counter, Figures
from strongroom_host.trading.viewer import Screen


def drawn(rows: int, columns: int) -> list[str]:
    figures = Figures()
    for measured in figures.stages.values():
        for taken_ns in (900, 123_456, 12_345_678, 1_234_567_890):
            measured.record(taken_ns)
    for counter in Counter:
        figures.count(counter, 1_234_567)
    screen = Screen(figures)
    screen.take("=standing aside: feed 1 down \u00b7 12 open \u00b7 " + "what is wrong " * 20)
    for number in range(40):
        screen.take(f"d#{number} " + "denied, at great length " * 10)
    out = io.StringIO()
    console = Console(file=out, width=columns, height=rows, force_terminal=False)
    console.print(screen.drawn(0.0, rows, columns))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("rows", "columns"), [(24, 80), (24, 60), (24, 200), (16, 80), (10, 80), (60, 80)]
)
def test_it_fits_with_the_newest_line_and_the_state(rows: int, columns: int) -> None:
    lines = drawn(rows, columns)
    assert len(lines) < rows, "the cursor has a row as well"
    assert all(len(line) <= columns for line in lines)
    assert lines[0].startswith("standing aside")
    assert any("#39 " in line for line in lines)
    assert lines[-1].startswith("\u2570"), "the frame is whole"


def test_an_ordinary_terminal_has_the_latency_and_some_decisions() -> None:
    lines = drawn(24, 80)
    assert any("p50" in line for line in lines)
    assert sum("denied" in line and "#" in line for line in lines) >= 3
    assert any("heartbeats" in line for line in lines)


def test_a_low_one_leaves_the_latency_out() -> None:
    assert not any("p50" in line for line in drawn(12, 80))
