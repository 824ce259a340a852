"""A session's record: what is written is read, and what is damaged is told."""

import hashlib
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.ring.tick import Side
from strongroom_host.strategy.decisions import (
    AnswerRecord,
    DecisionRecord,
    DecisionWriter,
    EndRecord,
    EventRecord,
    GapRecord,
    Record,
    SessionRecord,
    read_decisions,
)
from strongroom_host.strategy.errors import DecisionsUnreadable
from strongroom_host.strategy.port import Cancel, CancelAll, Decision, Intent, OrderType, Reason

from tests.host.strategy.test_view_and_inputs import EVENTS

HASHES = st.binary(min_size=32, max_size=32)
SIZES = st.integers(0, 2**62)
DECISIONS = st.one_of(
    st.builds(
        Intent,
        instrument=st.integers(1, 256),
        side=st.sampled_from([Side.BUY, Side.SELL]),
        price=SIZES,
        size=SIZES,
        order_type=st.sampled_from(OrderType),
        reason=st.sampled_from(Reason),
        inputs_digest=HASHES,
        expires_s=SIZES,
        post_only=st.booleans(),
    ),
    st.builds(Cancel, HASHES, st.sampled_from(Reason), HASHES),
    st.builds(CancelAll, st.sampled_from(Reason), HASHES),
)
SESSION = SessionRecord("baseline", "00" * 32, {"market": "m", "size": 1}, ("", "m"), "ring r", 5)


@given(decision=DECISIONS)
def test_a_decision_survives_its_record(decision: Decision) -> None:
    record = DecisionRecord.of(3, decision, b"\2" * 32, tick=7, received_ns=9, decided_ns=11)
    assert record.decision() == decision
    assert (record.number, record.tick, record.model_sha256) == (3, 7, "02" * 32)


def test_a_file_gives_back_its_records(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    intent = Intent(1, Side.SELL, 2, 3, OrderType.GTD, Reason.QUOTE, b"\7" * 32, 4, True)
    records: list[Record] = [
        DecisionRecord.of(1, intent, bytes(32), tick=1, received_ns=2),
        AnswerRecord(1, 0, leaf=5, order_hash="aa", at_ns=3),
        AnswerRecord(2, 7, rule="band"),
        GapRecord(1, 2, 3),
        EventRecord(1, 1, "FILLED", "aa" * 32, 1, 2, 3, 4, -5, 6, 0, 8),
    ]
    with DecisionWriter(path, SESSION) as writer:
        for record in records:
            writer.write(record)
    *read, end = read_decisions(path)
    assert read == [SESSION, *records]
    *lines, last = path.read_bytes().splitlines(keepends=True)
    assert end == EndRecord(6, hashlib.sha256(b"".join(lines)).hexdigest())
    assert b'"record":"end"' in last
    assert path.stat().st_mode & 0o777 == 0o600


@given(event=EVENTS)
def test_an_event_survives_its_record(event: object) -> None:
    from strongroom_host.strategy.port import OrderEvent

    assert isinstance(event, OrderEvent)
    assert EventRecord.of(9, event).event() == event


def test_sessions_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    DecisionWriter(path, SESSION).close()
    with pytest.raises(DecisionsUnreadable, match="exists already"):
        DecisionWriter(path, SESSION)


def test_a_last_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    with DecisionWriter(path, SESSION) as writer:
        writer.write(GapRecord(1, 2, 3))
        writer.write(GapRecord(2, 2, 3))
    lines = path.read_bytes().splitlines(keepends=True)
    for cut in range(1, len(lines[2])):
        path.write_bytes(b"".join(lines[:3])[:-cut])
        assert list(read_decisions(path)) == [SESSION, GapRecord(1, 2, 3)]
    for cut in range(1, len(lines[3])):  # of the last line of all, too
        path.write_bytes(b"".join(lines)[:-cut])
        assert list(read_decisions(path)) == [SESSION, GapRecord(1, 2, 3), GapRecord(2, 2, 3)]


def test_a_record_of_a_running_session_has_no_end_and_one_of_format_1_neither(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.jsonl"
    with DecisionWriter(path, SESSION) as writer:
        writer.write(GapRecord(1, 2, 3))
        writer.flush()
        data = path.read_bytes()
        assert list(read_decisions(path)) == [SESSION, GapRecord(1, 2, 3)]
    path.write_bytes(data.replace(b"decisions/2", b"decisions/1"))
    first, gap = read_decisions(path)
    assert isinstance(first, SessionRecord)
    assert first.format == "strongroom-decisions/1"
    assert gap == GapRecord(1, 2, 3)


def test_an_error_in_the_session_does_not_take_its_records_end(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    with suppress(RuntimeError), DecisionWriter(path, SESSION) as writer:
        writer.write(GapRecord(1, 2, 3))
        raise RuntimeError("the session")
    assert isinstance([*read_decisions(path)][-1], EndRecord)


def _without_its_second_line(data: bytes) -> bytes:
    first, _, *rest = data.splitlines(keepends=True)
    return b"".join((first, *rest))


def _with_its_second_line_twice(data: bytes) -> bytes:
    first, second, *rest = data.splitlines(keepends=True)
    return b"".join((first, second, second, *rest))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.replace(b"gap", b"gasp"), "line 2"),
        (lambda data: data[data.index(b"\n") + 1 :], "line 1: the session's head"),
        (lambda data: data + data, "line 4: the session's head"),
        (lambda data: data.replace(b"decisions/2", b"decisions/3"), "line 1: its format"),
        (
            lambda data: data + b'{"record":"gap","after":9,"missed":1,"feed":0}\n',
            "line 4: it comes",
        ),
        (lambda data: data + b"{", "line 4: it does not end"),
        (lambda data: data.replace(b'"missed":2', b'"missed":3'), "line 3: lines before it"),
        (_without_its_second_line, "line 2: lines before it"),
        (_with_its_second_line_twice, "line 4: lines before it"),
        (lambda data: b"x" * 2_000_000, "line 1: it does not end"),
        (lambda data: data.replace(b'"missed":2', b'"missed":"2"'), "line 2"),
    ],
)
def test_what_is_damaged_is_told(tmp_path: Path, change: object, words: str) -> None:
    path = tmp_path / "d.jsonl"
    with DecisionWriter(path, SESSION) as writer:
        writer.write(GapRecord(1, 2, 3))
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DecisionsUnreadable) as caught:
        list(read_decisions(path))
    assert words in str(caught.value.actual)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DecisionsUnreadable, match="cannot read"):
        list(read_decisions(tmp_path / "none"))


def full(_data: object = b"") -> int:
    raise OSError(28, "No space left on device")


def test_a_record_that_lost_a_line_has_no_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.jsonl"
    gap = GapRecord(1, 2, 0)
    with DecisionWriter(path, SESSION) as writer:
        writer.write(gap)
        with monkeypatch.context() as disk:
            disk.setattr(writer, "_file", SimpleNamespace(write=full))
            with pytest.raises(OSError, match="No space"):
                writer.write(gap)
    assert list(read_decisions(path)) == [SESSION, gap]


def test_a_full_disk_is_not_heard_instead_of_what_ended_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, quiet = (DecisionWriter(tmp_path / name, SESSION) for name in ("1", "2"))
    for writer in (ended, quiet):
        monkeypatch.setattr(writer, "sync", full)
    ended.__exit__(KeyError, KeyError(), None)
    with pytest.raises(OSError, match="No space"):
        quiet.__exit__(None, None, None)
