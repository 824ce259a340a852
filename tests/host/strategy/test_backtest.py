"""One tape, one answer; no look ahead; and a record that can be run again."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from strongroom_host.strategy.backtest import Result, backtest
from strongroom_host.strategy.decisions import (
    DecisionRecord,
    DecisionWriter,
    EndRecord,
    EventRecord,
    GapRecord,
    Record,
    SessionRecord,
    read_decisions,
)
from strongroom_host.strategy.errors import DecisionsUnfinished, DecisionsUnreadable, NotReproduced
from strongroom_host.strategy.explain import explain, session_of
from strongroom_host.strategy.fills import Costs
from strongroom_host.strategy.registry import STRATEGIES, load_strategy
from strongroom_host.strategy.report import (
    Subject,
    curve_of_account,
    hours_of,
    metrics_of,
    page,
    pusd,
)
from strongroom_host.tape.reader import TapeReader

from tests.host.strategy.ticks import COIN, MEMPOOL, NAMES, OTHER, TOKEN, simulated, write_tape

OPTIONS: dict[str, dict[str, str]] = {
    "baseline": {"market": TOKEN},
    "gru": {"market": TOKEN, "coin": COIN, "mempool": MEMPOOL},
    "whale": {"mempool": MEMPOOL, "market": OTHER, "transfer_btc": "100", "rest_s": "5"},
}
NAMED = pytest.mark.parametrize("name", sorted(OPTIONS))


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TapeReader]:
    with simulated(tmp_path_factory.mktemp("tape") / "x.tape", 150) as reader:
        yield reader


def run(name: str, tape: TapeReader, **options: str) -> tuple[Result, list[Record]]:
    records: list[Record] = []
    strategy = load_strategy(name, OPTIONS[name] | options, tape.names)
    return backtest(strategy, tape, Costs(), write=records.append), records


def session(name: str, tape: TapeReader) -> SessionRecord:
    strategy = load_strategy(name, OPTIONS[name], tape.names)
    what = (strategy.name, strategy.model_sha256.hex(), dict(strategy.parameters))
    return SessionRecord(*what, tape.names, tape.source, 1)


def test_every_strategy_is_tested() -> None:
    assert set(OPTIONS) == set(STRATEGIES)


@NAMED
def test_the_same_tape_gives_the_same_decisions(name: str, tape: TapeReader) -> None:
    first, records = run(name, tape)
    second, again = run(name, tape)
    assert (first, records) == (second, again)
    assert first.decisions == len([r for r in records if isinstance(r, DecisionRecord)]) > 0


def test_how_the_model_runs_changes_nothing(tape: TapeReader) -> None:
    onnx, exact = run("gru", tape, runtime="onnx"), run("gru", tape, runtime="exact")
    assert onnx == exact
    assert onnx[0].decisions > 20


@NAMED
@settings(
    deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.integers(5, 95))
def test_nobody_looks_ahead(
    name: str, tape: TapeReader, tmp_path_factory: pytest.TempPathFactory, share: int
) -> None:
    """What is decided on the beginning of a tape does not depend on how it goes on."""
    _, whole = run(name, tape)
    count = len(tape) * share // 100
    path = tmp_path_factory.mktemp("prefix") / "x.tape"
    with TapeReader(write_tape(path, bytes(tape.ticks[: count * 64]), tape.names)) as beginning:
        _, part = run(name, beginning)
    assert part == whole[: len(part)]
    if len(part) < len(whole):
        rest = whole[len(part)]
        place = rest.tick if isinstance(rest, DecisionRecord) else getattr(rest, "after", None)
        assert place is not None
        assert place >= count


@NAMED
def test_a_hole_in_the_tape_is_told_and_everything_can_be_run_again(
    name: str, tape: TapeReader, tmp_path: Path
) -> None:
    data = bytes(tape.ticks)
    cut = len(tape) // 2 * 64
    path = write_tape(tmp_path / "x.tape", data[:cut] + data[cut + 64 * 300 :], tape.names)
    with TapeReader(path) as holed:
        result, records = run(name, holed)
        assert result.gaps == 300
        assert len([r for r in records if getattr(r, "missed", 0) == 300]) == 1
        strategy = load_strategy(name, OPTIONS[name], holed.names)
        found = explain(session(name, holed), records, holed, strategy, killed=True)
        assert (found.decisions, found.repeated) == (result.decisions, result.decisions)


@NAMED
def test_a_session_can_be_run_again_with_and_without_its_strategy(
    name: str, tape: TapeReader
) -> None:
    result, records = run(name, tape)
    told = session(name, tape)
    whole = [*records, EndRecord(len(records) + 1, "")]
    found = explain(told, whole, tape, load_strategy(name, OPTIONS[name], tape.names))
    assert found.repeated == found.decisions == result.decisions
    assert explain(told, whole, tape).repeated is None
    assert explain(told, records, tape, killed=True) == explain(told, whole, tape)


@pytest.mark.parametrize("lost", [0, 1, 5])
def test_a_record_without_its_end_is_unfinished_unless_the_session_was_killed(
    tape: TapeReader, tmp_path: Path, lost: int
) -> None:
    """Lines cut from the end leave a record whose every line follows from the tape."""
    path = tmp_path / "decisions.jsonl"
    _, records = run("baseline", tape)
    with DecisionWriter(path, session("baseline", tape)) as writer:
        for record in records:
            writer.write(record)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: -1 - lost]))
    read = read_decisions(path)
    told = session_of(read)
    strategy = load_strategy("baseline", OPTIONS["baseline"], tape.names)
    with pytest.raises(DecisionsUnfinished, match="no last line") as caught:
        explain(told, read, tape, strategy)
    assert caught.value.exit_status == 3
    assert "--killed" in caught.value.remedy
    left = sum(isinstance(each, DecisionRecord) for each in records[: len(records) - lost])
    assert f"{left} decisions" in str(caught.value.actual)
    read = read_decisions(path)
    found = explain(session_of(read), read, tape, killed=True)
    assert found.decisions == left


def test_a_reader_that_lost_ticks_which_the_tape_has(tape: TapeReader) -> None:
    """The session's own gap: the tape's recorder was not overrun, the strategy's reader was."""
    from strongroom_host.strategy.decisions import GapRecord
    from strongroom_host.strategy.fills import FillModel
    from strongroom_host.strategy.session import Session

    records: list[Record] = []
    strategy = load_strategy("baseline", OPTIONS["baseline"], tape.names)
    running = Session(strategy, FillModel([1], Costs()), records.append)
    for view in tape:
        if not 2000 < view.sequence <= 2500:
            if view.sequence == 2501:
                running.gap(500)
            running.tick(view)
        if view.sequence == 6000:
            break
    assert GapRecord(2000, 500, 0) in records
    again = load_strategy("baseline", OPTIONS["baseline"], tape.names)
    found = explain(session("baseline", tape), records, tape, again, killed=True)
    assert found.repeated == running.decided > 0


def test_the_desk_hears_of_gaps(tape: TapeReader) -> None:
    from strongroom_host.strategy.fills import FillModel
    from strongroom_host.strategy.session import Session

    model = FillModel([1, 4], Costs())
    running = Session(load_strategy("baseline", OPTIONS["baseline"], tape.names), model)
    for view in tape:
        running.tick(view)
        if view.sequence > 500 and all(book.whole for book in model.books.values()):
            break
    assert all(book.whole for book in model.books.values())
    running.gap(1)
    assert not any(book.whole for book in model.books.values())


Change = Callable[[list[dict[str, object]]], None]


def _digest(lines: list[dict[str, object]]) -> None:
    lines[3]["inputs_digest"] = "00" * 32


def _price(lines: list[dict[str, object]]) -> None:
    price = next(each for each in lines[1:] if each.get("action") == "order")
    assert isinstance(price["price"], int)
    price["price"] += 10_000


def _gone(lines: list[dict[str, object]]) -> None:
    del lines[next(n for n, each in enumerate(lines) if each["record"] == "decision")]


def _event(lines: list[dict[str, object]]) -> None:
    event = next(each for each in lines if each["record"] == "event")
    assert isinstance(event["open"], int)
    event["open"] += 1


def _model(lines: list[dict[str, object]]) -> None:
    lines[0]["model_sha256"] = "11" * 32


def _size(lines: list[dict[str, object]]) -> None:
    parameters = lines[0]["parameters"]
    assert isinstance(parameters, dict)
    parameters["size"] = 5


def _sooner(lines: list[dict[str, object]]) -> None:
    next(line for line in lines if line["record"] == "decision")["received_ns"] = 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_sooner, "another time"),
        (_digest, "other inputs"),
        (_price, "made otherwise"),
        (_gone, "not on the record"),
        (_event, "other inputs|otherwise|not on the record"),
        (_model, "the model is another"),
        (_size, "the parameters is another"),
    ],
)
def test_a_record_that_was_touched_shows(
    change: Change, words: str, tape: TapeReader, tmp_path: Path
) -> None:
    path = tmp_path / "decisions.jsonl"
    _, records = run("baseline", tape)
    with DecisionWriter(path, session("baseline", tape)) as writer:
        for record in records:
            writer.write(record)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    text = "".join(json.dumps(line) + "\n" for line in lines[:-1])
    lines[-1] |= {
        "records": len(lines) - 1,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }  # as whoever edits it can write it, too
    path.write_text(text + json.dumps(lines[-1]) + "\n")
    read = read_decisions(path)
    told = session_of(read)
    strategy = load_strategy("baseline", OPTIONS["baseline"], tape.names)
    with pytest.raises(NotReproduced, match=words) as caught:
        explain(told, read, tape, strategy)
    assert caught.value.exit_status == 3


@pytest.mark.parametrize(
    ("which", "field", "value", "words"),
    [
        ("session", "model_sha256", "zz", "the session's model is damaged"),
        ("decision", "inputs_digest", "x", "decision 1 is damaged"),
        ("decision", "reason", "LUCK", "decision 1 is damaged"),
        ("event", "outcome", "LOST", "the outcome after tick"),
        ("event", "order_hash", "x", "the outcome after tick"),
        ("event", "side", -1, "the outcome after tick"),
        ("event", "number", -1, "the outcome after tick"),
        ("event", "cash", 1 << 63, "the outcome after tick"),
        ("gap", "missed", -1, "the gap after tick"),
    ],
)
def test_a_record_whose_fields_cannot_be_is_damaged(
    which: str, field: str, value: object, words: str, tape: TapeReader
) -> None:
    """Whole lines of the right types, which only say what no session ever said."""
    _, records = run("baseline", tape)
    whole: list[Record] = [session("baseline", tape), GapRecord(0, 0, 1), *records]
    kinds: dict[str, type[Record]] = {"session": SessionRecord, "decision": DecisionRecord}
    kinds |= {"event": EventRecord, "gap": GapRecord}
    place = next(n for n, each in enumerate(whole) if isinstance(each, kinds[which]))
    whole[place] = replace(whole[place], **{field: value})
    told, gap, *rest = whole
    assert isinstance(told, SessionRecord)
    with pytest.raises(DecisionsUnreadable, match=words):
        explain(told, [gap, *rest] if which == "gap" else rest, tape, killed=True)


def test_a_second_decision_at_a_tick_names_that_tick(tape: TapeReader) -> None:
    _, records = run("baseline", tape)
    at = max(n for n, each in enumerate(records) if isinstance(each, DecisionRecord))
    last = records[at]
    assert isinstance(last, DecisionRecord)
    told = session("baseline", tape)
    again = replace(last, number=last.number + 1)
    assert explain(told, [*records[: at + 1], again], tape, killed=True).decisions == again.number
    for forged in (replace(again, tick=1), replace(again, received_ns=5)):
        with pytest.raises(NotReproduced, match="another tick"):
            explain(told, [*records[: at + 1], forged], tape)


@pytest.mark.parametrize("place", [0, 500, 2500])
def test_a_tape_that_was_touched_shows_without_the_strategy(
    place: int, tape: TapeReader, tmp_path: Path
) -> None:
    _, records = run("baseline", tape)
    data = bytearray(tape.ticks)
    data[place * 64 + 56] ^= 1
    touched = write_tape(tmp_path / "x.tape", data, tape.names)
    with TapeReader(touched) as other, pytest.raises(NotReproduced, match="other inputs"):
        explain(session("baseline", tape), records, other)


def test_a_tape_that_lacks_ticks_or_instruments_is_refused(
    tape: TapeReader, tmp_path: Path
) -> None:
    _, records = run("baseline", tape)
    short = write_tape(tmp_path / "short.tape", bytes(tape.ticks[: 64 * 900]), tape.names)
    with TapeReader(short) as other, pytest.raises(NotReproduced, match="lacks the tick"):
        explain(session("baseline", tape), records, other)
    data = bytes(tape.ticks)
    place = next(r.tick for r in records if isinstance(r, DecisionRecord)) - 1
    holed = write_tape(
        tmp_path / "holed.tape", data[: 64 * place] + data[64 * (place + 1) :], tape.names
    )
    with TapeReader(holed) as other, pytest.raises(NotReproduced, match="lacks the tick"):
        explain(session("baseline", tape), records, other)
    renamed = write_tape(tmp_path / "renamed.tape", bytes(tape.ticks), (*NAMES[:4], "else"))
    with TapeReader(renamed) as other, pytest.raises(NotReproduced, match="other instruments"):
        explain(session("baseline", tape), records, other)


@NAMED
def test_equity_is_money_and_holdings(name: str, tape: TapeReader) -> None:
    """From the events alone: what was paid and got, and what is held at the tape's last bid."""
    result, records = run(name, tape)
    cash, held = 1000 * 10**6, dict[int, int]()
    for record in records:
        if getattr(record, "filled", 0):
            assert not isinstance(record, SessionRecord)
            event = record.event()  # type: ignore[union-attr]
            cash += event.cash
            sign = 1 if event.side == 1 else -1
            held[event.instrument] = held.get(event.instrument, 0) + sign * event.filled
    bids = dict[int, int]()
    for view in tape:
        if view.kind == 3:
            bids[view.instrument] = view.price // 100
    worth = sum(size * bids[instrument] // 10**6 for instrument, size in held.items())
    # What the last latency holds back was traded, but not yet told.
    assert abs(result.ended - cash - worth) <= (0 if name != "baseline" else 10 * 10**6)
    assert result.ended == result.equity[-1][1]
    assert all(size >= 0 for size in held.values())


@NAMED
def test_it_can_be_looked_at(name: str, tape: TapeReader) -> None:
    result, _ = run(name, tape)
    curve = curve_of_account(result)
    assert curve.lines[0][0].level == 1
    assert curve.lines[0][-1].level == pytest.approx(result.ended / result.begun)
    series = hours_of(result)
    growth = 1.0
    for period in series.periods:
        assert period.value is not None
        growth *= 1 + float(period.value)
    assert growth == pytest.approx(result.ended / result.begun)
    assert metrics_of(result).twr.value is not None
    html = page(Subject(f"<{name}>", name, "00", {"size": 1}, result))
    assert f"&lt;{name}&gt;" in html
    assert "<script" not in html
    assert result.digest.hex() in html


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.000000"), (-1, "-0.000001"), (1_234_567_890, "1,234.567890")]
)
def test_amounts_are_written_exactly(value: int, text: str) -> None:
    assert pusd(value) == text
