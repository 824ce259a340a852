import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from strongroom_host.errors import BadInput
from strongroom_host.latency.histogram import BUCKETS, POINTS, Histogram, exact
from strongroom_host.latency.plot import bars, page, svg
from strongroom_host.latency.stages import LIVE, PARTS, Stage
from strongroom_host.latency.stats import Counter, StatsAbsent, StatsFile, read_stats, running
from strongroom_host.latency.table import aligned, budget, legend, shown


@given(some.lists(some.integers(0, (1 << 40) - 1), min_size=1, max_size=300))
def test_a_percentile_is_never_below_the_true_one_and_little_above(found: list[int]) -> None:
    histogram = Histogram.of(found)
    ordered = sorted(found)
    assert histogram.total() == len(found)
    for share in (0.01, 0.5, 0.9, 1.0):
        true = ordered[max(1, -(-len(found) * share // 1).__int__()) - 1]
        assert true <= histogram.at(share) <= true + true // 64 + 1


@given(some.integers(0, (1 << 40) - 1))
def test_one_duration_falls_into_one_bucket_that_holds_it(duration: int) -> None:
    ((top, count),) = Histogram.of([duration]).steps()
    assert count == 1
    assert duration <= top <= duration + duration // 64 + 1


def test_what_is_beyond_any_measure_is_counted_at_the_ends() -> None:
    histogram = Histogram.of([-5, 1 << 60])
    assert histogram.total() == 2
    assert histogram.at(0.5) == 0
    assert histogram.at(1.0) == (1 << 40) - 1


@pytest.mark.parametrize(
    ("count", "known"), [(1, 0), (2, 1), (100, 2), (999, 2), (1000, 3), (10_000, 4)]
)
def test_a_percentile_is_shown_only_where_there_are_enough(count: int, known: int) -> None:
    for points in (Histogram.of(range(count)).points(), exact(range(count))):
        assert list(points) == list(POINTS)
        assert sum(value is not None for value in points.values()) == known


def test_exact_percentiles() -> None:
    assert exact(range(1, 10_001)) == {"p50": 5000, "p99": 9900, "p99.9": 9990, "p99.99": 9999}


def test_merged_counts_are_the_sum() -> None:
    one, other = Histogram.of([5, 5000]), Histogram.of([5, 70_000])
    one.merge(other)
    assert one.steps() == Histogram.of([5, 5, 5000, 70_000]).steps()


def test_counts_lie_where_they_were_told_to() -> None:
    memory = memoryview(bytearray(8 * BUCKETS)).cast("Q")
    Histogram(memory).record(7)
    assert memory[7] == 1
    with pytest.raises(ValueError, match="buckets"):
        Histogram(memory[:5])


# --- the table ----------------------------------------------------------------------------------


def histograms() -> dict[Stage, Histogram]:
    made = {stage: Histogram.of([100 * (n + 1)] * 10_000) for n, stage in enumerate(PARTS)}
    made[Stage.OUT] = Histogram.of([*[5_000] * 9_998, 900_000, 900_000])
    made[Stage.SIGN] = Histogram.of([25_000] * 10)
    made[Stage.LOG] = Histogram()
    return made


def test_shares_are_of_the_parts_and_add_up() -> None:
    rows = budget(histograms())
    parts = [row for row in rows if row.stage in PARTS]
    assert sum(row.share or 0 for row in parts) == pytest.approx(1)
    assert [row.share for row in rows if row.stage is Stage.OUT] == [None]
    assert Stage.LOG not in [row.stage for row in rows]  # nothing was timed


def test_jitter_is_the_furthest_percentile_less_the_median() -> None:
    (row,) = (row for row in budget(histograms()) if row.stage is Stage.OUT)
    assert row.points["p99.99"] is not None
    assert row.points["p50"] is not None
    assert row.jitter == row.points["p99.99"] - row.points["p50"] > 800_000


def test_the_table_says_what_was_measured_apart() -> None:
    rows = budget(histograms())
    text = "\n".join(aligned(rows))
    assert "sign*" in text
    assert "enclave*" not in text
    assert any(line.startswith("*: measured apart") for line in legend(rows))
    assert len({len(line.split("  ")[0]) for line in aligned(rows)}) > 1


@pytest.mark.parametrize(
    ("duration", "text"),
    [(None, "-"), (0, "0 ns"), (999, "999 ns"), (1_000, "1 µs"), (2_345_678, "2.35 ms")],
)
def test_durations_for_people(duration: int | None, text: str) -> None:
    assert shown(duration) == text


def test_drawings_hold_every_stage_and_no_script() -> None:
    rows = budget(histograms())
    drawn, whole = svg(rows, "a <b>"), page(rows, "a <b>", legend(rows))
    for row in rows:
        assert row.stage.title in drawn
    assert "<b>" not in drawn
    assert "a &lt;b&gt;" in whole
    assert "script" not in whole.replace("without scripts", "")
    assert len(bars(rows)) == len(PARTS)
    assert all("#" in text for text in bars(rows, plain=True))


# --- figures in shared memory --------------------------------------------------------------------


def test_another_reader_sees_counts_as_they_are_made() -> None:
    name = f"test-{os.getpid()}"
    file = StatsFile(name)
    try:
        with pytest.MonkeyPatch.context():
            file.figures.count(Counter.TICKS, 3)
            pid, began, seen = read_stats(name)
            file.figures.stages[Stage.OUT].record(1234)
            assert (pid, seen.counters[Counter.TICKS]) == (os.getpid(), 3)
            assert abs(time.time_ns() - began) < 60 * 10**9
            assert seen.stages[Stage.OUT].total() == 1
            assert name in running()
            assert file.path.stat().st_mode & 0o777 == 0o600
    finally:
        file.close()
    assert seen.stages[Stage.OUT].total() == 1  # outlives it for who looks
    assert name not in running()


def test_every_live_stage_has_a_place_of_its_own() -> None:
    with StatsFile(f"test-{os.getpid()}-all") as figures:
        for number, stage in enumerate(LIVE, start=1):
            for _ in range(number):
                figures.stages[stage].record(5)
        _, _, seen = read_stats(f"test-{os.getpid()}-all")
        assert [seen.stages[stage].total() for stage in LIVE] == list(range(1, len(LIVE) + 1))


def test_no_such_session_is_explained() -> None:
    with pytest.raises(StatsAbsent, match="nobody") as caught:
        read_stats("nobody")
    assert "--tape" in caught.value.remedy


def test_another_files_content_is_no_figures(tmp_path: Path) -> None:
    name = f"test-{os.getpid()}-odd"
    file = StatsFile(name)
    file.path.write_bytes(b"x" * 100)
    try:
        with pytest.raises(StatsAbsent):
            read_stats(name)
    finally:
        file.close()


@pytest.mark.parametrize("name", ["a/b", "x" * 41, "a b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(BadInput):
        StatsFile(name)
