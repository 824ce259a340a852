"""What a witness cosigns and what it refuses, with which status: C2SP tlog-witness by its steps."""

from __future__ import annotations

import itertools
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strongroom_host.log.notes import Note, NoteSignature, VerifierKey, open_checkpoint
from strongroom_host.log.submissions import Submission
from strongroom_host.witness.errors import (
    ClockBackwards,
    HistoryContradicted,
    OriginUnknown,
    Refusal,
    RequestMalformed,
    SignerUnknown,
    SizeConflict,
)
from strongroom_host.witness.memory import MAX_CONTRADICTIONS
from strongroom_host.witness.signing import MAX_SETBACK_S
from strongroom_wire.bundle import LogHead
from strongroom_wire.checkpoint import checkpoint_text

from tests.host.witness.logs import NOW, ORIGIN, Log, Station
from tests.wire.samples import byte, private_key, public

LOG = Log()


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """Return a witness that follows LOG."""
    return Station(tmp_path / "w", LOG.vkey)


def signed(head: LogHead, key: int = LOG.key, name: str = ORIGIN) -> bytes:
    """Return a note in which this key signs any head of the log."""
    text = checkpoint_text(ORIGIN, head)
    line = NoteSignature(name, VerifierKey(name, public(key)).id, private_key(key).sign(text))
    return Note(text, (line,)).serialise()


def test_a_line_is_the_witness_s_cosignature_of_this_head_now(station: Station) -> None:
    line = station.witness.add_checkpoint(LOG.submission(0, 5))
    assert line.startswith("\u2014 witness.example/w1 ".encode())
    opened = open_checkpoint(LOG.note(5) + line, ORIGIN, [LOG.vkey], [station.public])
    assert opened.witnesses == {station.public: NOW}
    station.clock.seconds = NOW + 9.9
    line = station.witness.add_checkpoint(LOG.submission(5, 300))
    opened = open_checkpoint(LOG.note(300) + line, ORIGIN, [LOG.vkey], [station.public])
    assert opened.witnesses == {station.public: NOW + 9}


def test_the_same_head_is_cosigned_again(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 5))
    station.clock.seconds += 60
    line = station.witness.add_checkpoint(LOG.submission(5, 5))
    opened = open_checkpoint(LOG.note(5) + line, ORIGIN, [LOG.vkey], [station.public])
    assert opened.witnesses == {station.public: NOW + 60}


def test_an_empty_log_is_cosigned_as_what_it_is(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 0))
    station.witness.add_checkpoint(LOG.submission(0, 3))
    other = Station(station.folder.root.parent / "other", LOG.vkey)
    with pytest.raises(HistoryContradicted):  # size zero under another root
        other.witness.add_checkpoint(Submission(0, (), signed(LogHead(0, byte(7)))).serialise())
    other.witness.add_checkpoint(LOG.submission(0, 3))


def test_a_log_that_is_not_followed_is_unknown(station: Station) -> None:
    with pytest.raises(OriginUnknown):
        station.witness.add_checkpoint(Log(origin="example.com/other").submission(0, 5))
    assert station.memory.recorded("example.com/other") is None


@pytest.mark.parametrize(
    "note",
    [
        signed(LOG.head(5), 32),  # by a stranger
        signed(LOG.head(5), name="example.com/other"),  # by the key under another name
        LOG.note(5).replace(b"\n5\n", b"\n6\n"),  # of something else
    ],
)
def test_only_the_log_s_keys_count(station: Station, note: bytes) -> None:
    with pytest.raises(SignerUnknown):
        station.witness.add_checkpoint(Submission(0, (), note).serialise())
    assert station.memory.recorded(ORIGIN) is None


def test_one_wrong_signature_of_a_known_key_is_enough_to_refuse(station: Station) -> None:
    station.memory.follow_key(VerifierKey(ORIGIN, public(33)))
    good, other = Note.parse(LOG.note(5)), Note.parse(signed(LOG.head(6), 33))
    spoilt = Note(good.text, (*good.signatures, *other.signatures)).serialise()
    with pytest.raises(SignerUnknown):
        station.witness.add_checkpoint(Submission(0, (), spoilt).serialise())


def test_strangers_signatures_are_ignored_and_not_passed_on(station: Station) -> None:
    good, stranger = Note.parse(LOG.note(5)), Note.parse(signed(LOG.head(9), 34))
    both = Note(good.text, (*stranger.signatures, *good.signatures)).serialise()
    line = station.witness.add_checkpoint(Submission(0, (), both).serialise())
    recorded = station.memory.recorded(ORIGIN)
    assert recorded is not None
    assert recorded.note == LOG.note(5) + line


def test_the_old_size_is_no_larger_than_the_new_one(station: Station) -> None:
    with pytest.raises(RequestMalformed):
        station.witness.add_checkpoint(LOG.submission(6, 5))


@pytest.mark.parametrize("old", [0, 4, 6])
def test_the_old_size_is_the_one_cosigned_last(station: Station, old: int) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 5))
    with pytest.raises(SizeConflict) as refused:
        station.witness.add_checkpoint(LOG.submission(old, 9))
    assert refused.value.size == 5
    station.witness.add_checkpoint(LOG.submission(5, 9))


def test_a_fork_is_refused_wherever_it_begins(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 9))
    for shared in (0, 1, 8):
        fork = Log("fork", shared=shared)
        for size in (9, 10, 40):
            with pytest.raises(HistoryContradicted):
                station.witness.add_checkpoint(fork.submission(9, size))
    station.witness.add_checkpoint(Log("other", shared=9).submission(9, 12))
    with pytest.raises(HistoryContradicted):  # the branch that was not taken
        station.witness.add_checkpoint(LOG.submission(12, 13))


def test_a_rollback_is_refused(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 9))
    for old in (0, 5):
        with pytest.raises(SizeConflict):
            station.witness.add_checkpoint(LOG.submission(old, 5))
    with pytest.raises(RequestMalformed):
        station.witness.add_checkpoint(LOG.submission(9, 5))
    recorded = station.memory.recorded(ORIGIN)
    assert recorded is not None
    assert recorded.head == LOG.head(9)


@pytest.mark.parametrize("change", ["dropped", "added", "altered", "none needed"])
def test_a_proof_is_exactly_right(station: Station, change: str) -> None:
    if change == "none needed":
        body = Submission(0, (byte(1),), LOG.note(5)).serialise()
    else:
        station.witness.add_checkpoint(LOG.submission(0, 5))
        proof = LOG.reader(9).consistency_proof(5)
        changed = {
            "dropped": proof[:-1],
            "added": (*proof, byte(1)),
            "altered": (byte(1), *proof[1:]),
        }[change]
        body = Submission(5, changed, LOG.note(9)).serialise()
    with pytest.raises(HistoryContradicted):
        station.witness.add_checkpoint(body)


GOOD = LOG.submission(0, 5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        GOOD.replace(b"old 0", b"old 00"),
        GOOD.replace(b"old 0", b"old +0"),
        GOOD.replace(b"old 0", b"old"),
        GOOD.replace(b"old 0\n", b""),
        GOOD.replace(b"old 0", b"OLD 0"),
        GOOD.replace(b"old 0", b"old 18446744073709551616"),
        GOOD.replace(b"old 0", b"old 0\r"),
        GOOD.replace(b"old 0\n", b"old 0\n" + b64encode(byte(1, 31)) + b"\n"),
        GOOD.replace(b"old 0\n", b"old 0\n" + (b64encode(byte(1)) + b"\n") * 64),
        GOOD.replace(b"old 0\n", b"old 0\n" + b64encode(byte(1)).replace(b"=", b"") + b"\n"),
        GOOD.replace(b"\n\n", b"\n", 1),
        GOOD[:-1],
        GOOD.replace(b"\n5\n", b"\n05\n"),
        GOOD + bytes(300_000),
        b"old 0\n\nno note\n",
    ],
)
def test_what_is_no_request_is_refused_as_such(station: Station, body: bytes) -> None:
    with pytest.raises(RequestMalformed):
        station.witness.add_checkpoint(body)
    assert station.memory.recorded(ORIGIN) is None


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(body=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)))
def test_nothing_but_refusals_comes_of_noise(station: Station, body: bytes) -> None:
    for request in (body, b"old 0\n\n" + body, GOOD + b"x" + body):
        with pytest.raises(Refusal):
            station.witness.add_checkpoint(request)


def test_time_does_not_go_back(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 5))
    station.clock.seconds = NOW - MAX_SETBACK_S
    line = station.witness.add_checkpoint(LOG.submission(5, 6))
    opened = open_checkpoint(LOG.note(6) + line, ORIGIN, [LOG.vkey], [station.public])
    assert opened.witnesses == {station.public: NOW}  # not before what was signed earlier
    for seconds in (NOW - MAX_SETBACK_S - 1, 0, -5):
        station.clock.seconds = seconds
        with pytest.raises(ClockBackwards):
            station.witness.add_checkpoint(LOG.submission(6, 7))
    assert station.memory.recorded(ORIGIN) is not None


def test_two_signed_histories_are_kept_as_proof(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 9))
    fork = Log("fork", shared=3)
    for body in (fork.submission(9, 9), fork.submission(9, 9), fork.submission(4, 9)):
        with pytest.raises((HistoryContradicted, SizeConflict)):
            station.witness.add_checkpoint(body)
    ((shown, cosigned),) = station.memory.contradictions(ORIGIN)
    assert shown == fork.note(9)
    assert open_checkpoint(cosigned, ORIGIN, [LOG.vkey], [station.public]).head == LOG.head(9)
    for n in range(MAX_CONTRADICTIONS + 5):
        with pytest.raises(HistoryContradicted):
            station.witness.add_checkpoint(Log(f"fork {n}").submission(9, 9))
    assert len(station.memory.contradictions(ORIGIN)) == MAX_CONTRADICTIONS


def test_of_many_histories_at_once_one_is_cosigned(tmp_path: Path) -> None:
    """All would pass the check of the size they start from, were it not part of the writing."""
    for start in range(1, 21, 2):
        station = Station(tmp_path / f"w{start}", LOG.vkey)
        station.witness.add_checkpoint(LOG.submission(0, start))
        forks = [Log(f"fork {n}", shared=start) for n in range(6)]
        bodies = [fork.submission(start, start + 1 + n % 3) for n, fork in enumerate(forks)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(_answer, itertools.repeat(station), bodies))
        assert sum(answer is not None for answer in answers) == 1
        station.memory.close()


def _answer(station: Station, body: bytes) -> bytes | None:
    try:
        return station.witness.add_checkpoint(body)
    except Refusal:
        return None


# What the Go checksum database signed, with the name of its key and that of its log, which differ.
GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_LOG = "go.sum database tree"
GO_NOTE = f"""\
{GO_LOG}
35225469
vt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=

\u2014 sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QT\
tPydhKCExixSfwQ=
""".encode()


def test_a_log_that_others_run_is_cosigned(tmp_path: Path) -> None:
    station = Station(tmp_path / "w")
    body, key = Submission(0, (), GO_NOTE).serialise(), VerifierKey.parse(GO_KEY)
    station.memory.follow_key(key)
    with pytest.raises(OriginUnknown):  # the log has another name than the key
        station.witness.add_checkpoint(body)
    station.memory.follow_key(key, GO_LOG)
    line = station.witness.add_checkpoint(body)
    opened = open_checkpoint(GO_NOTE + line, GO_LOG, [key], [station.public])
    assert (opened.head.size, opened.witnesses) == (35225469, {station.public: NOW})


def test_what_was_cosigned_is_remembered(station: Station) -> None:
    station.witness.add_checkpoint(LOG.submission(0, 9))
    station.memory.close()
    again = Station(station.folder.root)
    with pytest.raises(HistoryContradicted):
        again.witness.add_checkpoint(Log("fork", shared=2).submission(9, 10))
    again.witness.add_checkpoint(LOG.submission(9, 10))
    served = again.witness.checkpoint(sha256(ORIGIN.encode()).hexdigest())
    assert served is not None
    assert open_checkpoint(served, ORIGIN, [LOG.vkey], [again.public]).head == LOG.head(10)
    assert again.witness.checkpoint("00" * 32) is None
