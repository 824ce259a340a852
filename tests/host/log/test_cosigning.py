"""Cosignatures asked of witnesses: real ones over HTTP, and ones that answer what none should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from starlette.responses import RedirectResponse, Response
from strongroom_host.log.cosigning import MAX_SKEW_S, Cosigner, WitnessAt, WitnessProblem, cosign
from strongroom_host.log.errors import CheckpointMalformed, HeadsInconsistent, NoteMalformed
from strongroom_host.log.notes import (
    Note,
    NoteSignature,
    SignatureType,
    VerifierKey,
    open_checkpoint,
)
from strongroom_host.log.notes import cosign as cosignature
from strongroom_host.log.submissions import SIZE_TYPE, Submission
from strongroom_host.log.tree import LogReader
from strongroom_host.log.witness_client import MAX_ANSWER, WitnessClient
from strongroom_host.log.witness_errors import (
    BootRefused,
    CosignatureWrong,
    HistoryRefused,
    KeyUnknown,
    LogUnknown,
    WitnessAhead,
    WitnessAnswerInvalid,
    WitnessBusy,
    WitnessUnreachable,
    WitnessUrlInvalid,
)

from tests.host.log.histories import stored
from tests.host.witness.logs import (
    NOW,
    ORIGIN,
    Clock,
    Log,
    Station,
    document,
    introduction,
    origin_of,
    owners_of_account,
)
from tests.host.witness.serving import Answer, answering, serving, silent
from tests.wire.samples import private_key, public

LOG = Log()
LIAR = VerifierKey("liar.example/w", public(77), SignatureType.COSIGNATURE)
CLOCK = Clock()


class Witnesses:
    """Three real witnesses, each with its address."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        names = [f"witness.example/{n}" for n in range(3)]
        self.stations = [
            Station(root / f"w{n}", LOG.vkey, name=name) for n, name in enumerate(names)
        ]
        self.at = [
            WitnessAt(station.public, stack.enter_context(serving(station)))
            for station in self.stations
        ]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witnesses]:
    """Return real witnesses that live through all tests of this module."""
    with ExitStack() as stack:
        yield Witnesses(tmp_path_factory.mktemp("witnesses"), stack)


@pytest.fixture
def witnesses(tmp_path: Path) -> Iterator[Witnesses]:
    """Return real witnesses that remember nothing yet."""
    with ExitStack() as stack:
        yield Witnesses(tmp_path, stack)


def ask(log: Log, size: int, *at: WitnessAt) -> tuple[bytes, tuple[WitnessProblem, ...]]:
    return cosign(log.note(size), log.reader(size), at, now=CLOCK)


def lie(answer: Answer, log: Log = LOG, size: int = 5) -> WitnessProblem:
    """Return what becomes of the answers of a server that has the liar's name."""
    with answering(answer) as url:
        note, (problem,) = ask(log, size, WitnessAt(LIAR, url))
    assert note == log.note(size)
    return problem


def always(status: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda _path, _body: Response(body, status, headers)


def test_all_witnesses_cosign(witnesses: Witnesses) -> None:
    for size in (3, 3, 260, 261):
        note, problems = ask(LOG, size, *witnesses.at)
        assert problems == ()
        keys = [station.public for station in witnesses.stations]
        opened = open_checkpoint(note, ORIGIN, [LOG.vkey], keys)
        assert opened.witnesses == dict.fromkeys(keys, NOW)
        assert opened.head == LOG.head(size)


def test_one_that_fails_does_not_keep_the_others_from_it(witnesses: Witnesses) -> None:
    with answering(always(500, b"out of order")) as url:
        note, (problem,) = ask(LOG, 5, witnesses.at[0], WitnessAt(LIAR, url), witnesses.at[2])
    assert isinstance(problem.error, WitnessUnreachable)
    assert problem.witness.key == LIAR
    keys = [station.public for station in witnesses.stations]
    opened = open_checkpoint(note, ORIGIN, [LOG.vkey], keys)
    assert opened.witnesses == {keys[0]: NOW, keys[2]: NOW}


def test_without_witnesses_nothing_is_asked() -> None:
    assert cosign(LOG.note(5), LOG.reader(5), ()) == (LOG.note(5), ())


def test_a_cosigner_remembers_sizes(witnesses: Witnesses) -> None:
    asked: list[int] = []

    class Counting(WitnessClient):
        async def add_checkpoint(self, url: str, submission: Submission):  # type: ignore[no-untyped-def]
            asked.append(submission.old)
            return await super().add_checkpoint(url, submission)

    with Cosigner([witnesses.at[0]], now=CLOCK, client=Counting) as cosigner:
        for size in (5, 9, 30):
            assert cosigner.cosign(LOG.note(size), LOG.reader(size))[1] == ()
    assert asked == [0, 5, 9]
    with Cosigner([witnesses.at[0]], now=CLOCK, client=Counting) as cosigner:
        assert cosigner.cosign(LOG.note(31), LOG.reader(31))[1] == ()
    assert asked == [0, 5, 9, 0, 30]


def test_a_witness_is_asked_again_about_one_head_only_after_a_while(witnesses: Witnesses) -> None:
    station, clock = witnesses.stations[0], Clock()
    with Cosigner([witnesses.at[0]], now=clock) as cosigner:
        first, _ = cosigner.cosign(LOG.note(5), LOG.reader(5))
        for later in (1, 119, -119):
            clock.seconds = station.clock.seconds = NOW + later
            assert cosigner.cosign(LOG.note(5), LOG.reader(5)) == (first, ())
        clock.seconds = station.clock.seconds = NOW + 120
        second, _ = cosigner.cosign(LOG.note(5), LOG.reader(5))
        assert open_checkpoint(second, ORIGIN, [LOG.vkey], [station.public]).witnesses == {
            station.public: NOW + 120
        }
        clock.seconds = station.clock.seconds = NOW + 121
        third, _ = cosigner.cosign(LOG.note(6), LOG.reader(6))  # another head
        assert open_checkpoint(third, ORIGIN, [LOG.vkey], [station.public]).witnesses == {
            station.public: NOW + 121
        }


def test_a_witness_that_hangs_does_not_hold_up_every_head() -> None:
    moment, asked = Clock(1000), list[int]()

    def out_of_order(_path: str, body: bytes) -> Response:
        asked.append(Submission.parse(body).old)
        return Response(status_code=503)

    with (
        answering(out_of_order) as url,
        Cosigner([WitnessAt(LIAR, url)], now=CLOCK, monotonic=moment) as cosigner,
    ):
        for after in (0, 1.9, 0.2, 3.9, 0.2, 7.9, 0.2, 15.9, 0.2, 29.9, 0.2, 29.9, 0.2):
            moment.seconds += after
            _, (problem,) = cosigner.cosign(LOG.note(5), LOG.reader(5))
            assert isinstance(problem.error, WitnessUnreachable)
    assert len(asked) == 7, "after 0, 2, 4, 8, 16, 30 and 30 seconds"


def test_a_newer_cosignature_takes_the_place_of_the_older_one(witnesses: Witnesses) -> None:
    first, _ = ask(LOG, 5, witnesses.at[0])
    witnesses.stations[0].clock.seconds = NOW + 100
    second, problems = cosign(first, LOG.reader(5), [witnesses.at[0]], now=CLOCK)
    assert problems == ()
    assert len(Note.parse(second).signatures) == 2
    key = witnesses.stations[0].public
    assert open_checkpoint(second, ORIGIN, [LOG.vkey], [key]).witnesses == {key: NOW + 100}


def test_a_larger_stored_log_proves_a_smaller_head(witnesses: Witnesses) -> None:
    whole = LOG.reader(300)
    for size in (100, 299):
        note, problems = cosign(LOG.note(size), whole, [witnesses.at[0]], now=CLOCK)
        assert problems == ()
        assert note != LOG.note(size)


def test_a_head_of_another_log_than_the_stored_one_goes_nowhere(addresses: Witnesses) -> None:
    with pytest.raises(HeadsInconsistent):
        cosign(LOG.note(5), Log("other").reader(5), addresses.at, now=CLOCK)
    with pytest.raises(NoteMalformed):
        cosign(b"no note", LOG.reader(5), addresses.at, now=CLOCK)
    with pytest.raises(CheckpointMalformed):
        cosign(b"text\n\n\xe2\x80\x94 a AAAAAAAA\n", LOG.reader(5), addresses.at, now=CLOCK)


def test_a_fork_is_named_with_what_the_witness_signed(witnesses: Witnesses) -> None:
    signed, _ = ask(LOG, 9, witnesses.at[0])
    for size in (9, 30):
        fork = Log("fork", shared=4)
        note, (problem,) = ask(fork, size, witnesses.at[0])
        assert isinstance(problem.error, HistoryRefused)
        assert (problem.contradicts, problem.evidence) == (True, signed)
        assert note == fork.note(size)


def test_a_log_that_lost_leaves_is_named(witnesses: Witnesses) -> None:
    signed, _ = ask(LOG, 9, witnesses.at[0])
    for log in (LOG, Log("fork")):
        _, (problem,) = ask(log, 5, witnesses.at[0])
        assert isinstance(problem.error, WitnessAhead)
        assert problem.error.actual == 9
        # It may be that others have the missing leaves: nothing contradicts yet.
        assert (problem.contradicts, problem.evidence) == (False, signed)


def test_a_contradiction_is_the_witness_s_own_signature() -> None:
    """Who only says so, or shows what others signed, is named and proves nothing."""
    head = Log("fork").note(5)
    text = Note.parse(head).text
    by_liar = head + str(cosignature(text, LIAR.name, private_key(77), NOW)).encode()
    by_other = head + str(cosignature(text, LIAR.name, private_key(78), NOW)).encode()
    ours = LOG.note(5)
    same = ours + str(cosignature(Note.parse(ours).text, LIAR.name, private_key(77), NOW)).encode()
    elsewhere = Log("fork", origin="example.com/other").note(5)
    moved = cosignature(Note.parse(elsewhere).text, LIAR.name, private_key(77), NOW)
    for shown, proved in (
        (by_liar, True),
        (by_other, False),
        (head, False),
        (same, False),
        (elsewhere + str(moved).encode(), False),
        (b"nonsense", False),
        (b"", False),
    ):

        def answer(path: str, _body: bytes, shown: bytes = shown) -> Response:
            return Response(shown) if path.endswith("/checkpoint") else Response("no", 422)

        problem = lie(answer)
        assert isinstance(problem.error, HistoryRefused)
        assert (problem.contradicts, problem.evidence is not None) == (proved, proved)


def test_statuses_are_named() -> None:
    for status, error in (
        (403, KeyUnknown),
        (404, LogUnknown),
        (422, HistoryRefused),
        (400, WitnessAnswerInvalid),
        (409, WitnessAnswerInvalid),  # without the media type of a size
        (204, WitnessAnswerInvalid),
        (301, WitnessAnswerInvalid),
        (429, WitnessUnreachable),
        (503, WitnessUnreachable),
    ):
        assert isinstance(lie(always(status, b"because")).error, error), status


def test_what_a_stranger_sets_is_not_sent_back() -> None:
    """One that is not ASCII would end the keeper that asks."""

    def answer(path: str, _body: bytes) -> Response:
        found = Response(b"0\n", 409, {"Content-Type": SIZE_TYPE})
        found.raw_headers.append((b"set-cookie", "a=é".encode()))
        return found

    assert isinstance(lie(answer).error, WitnessBusy)


def test_what_a_stranger_says_takes_one_line() -> None:
    said = str(lie(always(404, b"no\nin order: 500 leaves of 3 boots\r\n\tall is well")))
    assert "no in order: 500 leaves of 3 boots all is well" in said
    assert "\n" not in said


@pytest.mark.parametrize("size", [b"", b"x\n", b"05\n", b"-1\n", b"5\n5\n", b"\xff\n", b"9" * 30])
def test_a_conflict_names_a_size(size: bytes) -> None:
    problem = lie(always(409, size, **{"Content-Type": SIZE_TYPE}))
    assert isinstance(problem.error, WitnessAnswerInvalid)


def test_conflicts_do_not_go_on_for_ever() -> None:
    asked = []

    def moving(path: str, body: bytes) -> Response:
        if path.endswith("/checkpoint"):
            return Response(status_code=404)
        asked.append(Submission.parse(body).old)
        if len(asked) > 9:
            return Response(status_code=500)
        return Response(f"{(asked[-1] + 1) % 5}\n", 409, {"Content-Type": SIZE_TYPE})

    assert isinstance(lie(moving).error, WitnessBusy)
    assert asked == [0, 1]
    same = always(409, b"0\n", **{"Content-Type": SIZE_TYPE})
    assert isinstance(lie(same).error, WitnessBusy)


def test_the_older_answer_to_another_root_is_understood() -> None:
    problem = lie(always(409, b"5\n", **{"Content-Type": SIZE_TYPE}))
    assert isinstance(problem.error, HistoryRefused)


def lines(*made: NoteSignature) -> bytes:
    return "".join(map(str, made)).encode()


TEXT, OTHER = Note.parse(LOG.note(5)).text, Note.parse(Log("fork").note(5)).text
BY_LIAR = partial(cosignature, TEXT, LIAR.name, private_key(77))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"no lines\n",
        lines(cosignature(TEXT, LIAR.name, private_key(78), NOW)),  # another key
        lines(cosignature(TEXT, "other.example/w", private_key(77), NOW)),  # another name
        lines(cosignature(OTHER, LIAR.name, private_key(77), NOW)),  # another head
        lines(NoteSignature(LIAR.name, LIAR.id, private_key(77).sign(TEXT))),  # no cosignature
        lines(BY_LIAR(NOW - MAX_SKEW_S - 1)),  # an old one
        lines(BY_LIAR(NOW + MAX_SKEW_S + 1)),  # ahead of us
        lines(BY_LIAR(0)),
        lines(BY_LIAR(NOW), BY_LIAR(NOW + 10**9)),  # one that is right, and one for later
        lines(BY_LIAR(NOW))[:-1],
        b"\n" + lines(BY_LIAR(NOW)),
        lines(*[BY_LIAR(NOW)] * 65),
        # A line that makes another text of ours, over which the signature then is.
        lines(NoteSignature("a", b"abcd", b"e"))
        + b"\n"
        + lines(
            cosignature(
                TEXT + b"\n" + lines(NoteSignature("a", b"abcd", b"e")),
                LIAR.name,
                private_key(77),
                NOW,
            )
        ),
    ],
)
def test_only_this_head_by_this_key_now_counts(answer: bytes) -> None:
    assert isinstance(lie(always(200, answer)).error, CosignatureWrong)


def test_lines_of_others_are_ignored() -> None:
    others = [cosignature(TEXT, f"w{n}", private_key(90 + n), NOW) for n in range(3)]
    with answering(always(200, lines(*others, BY_LIAR(NOW - MAX_SKEW_S)))) as url:
        note, problems = ask(LOG, 5, WitnessAt(LIAR, url))
    assert problems == ()
    assert note == LOG.note(5) + lines(BY_LIAR(NOW - MAX_SKEW_S))


def test_only_the_log_s_own_signatures_are_sent(witnesses: Witnesses) -> None:
    first, _ = ask(LOG, 5, witnesses.at[0])
    seen: list[bytes] = []

    def look(_path: str, body: bytes) -> Response:
        seen.append(Submission.parse(body).note)
        return Response(status_code=500)

    with answering(look) as url:
        cosign(first, LOG.reader(5), [WitnessAt(LIAR, url)], now=CLOCK)
    assert seen == [LOG.note(5)]


def test_large_answers_are_not_read_to_their_end() -> None:
    problem = lie(always(200, bytes(MAX_ANSWER + 1)))
    assert isinstance(problem.error, WitnessAnswerInvalid)


def test_compressed_answers_are_not_unpacked() -> None:
    packed = lines(BY_LIAR(NOW))
    problem = lie(always(200, packed[:-3], **{"Content-Encoding": "gzip"}))
    assert isinstance(problem.error, CosignatureWrong)


def test_redirects_are_not_followed(witnesses: Witnesses) -> None:
    to = f"{witnesses.at[0].url}/add-checkpoint"
    problem = lie(lambda _path, _body: RedirectResponse(to, 307))
    assert isinstance(problem.error, WitnessAnswerInvalid)
    assert witnesses.stations[0].memory.recorded(ORIGIN) is None


@pytest.mark.parametrize("drip", [b"", b"X-More: 1\r\n"])
def test_silence_and_a_byte_at_a_time_both_end(drip: bytes) -> None:
    client = partial(WitnessClient, deadline_s=0.4)
    with silent(drip) as url, Cosigner([WitnessAt(LIAR, url)], now=CLOCK, client=client) as asker:
        _, (problem,) = asker.cosign(LOG.note(5), LOG.reader(5))
    assert isinstance(problem.error, WitnessUnreachable)


def test_nobody_there_is_named() -> None:
    for url in ("http://127.0.0.1:1", "https://127.0.0.1:1", "http://[::1]:1/prefix/"):
        _, (problem,) = ask(LOG, 5, WitnessAt(LIAR, url))
        assert isinstance(problem.error, WitnessUnreachable)
        assert "liar.example/w" in str(problem)


def test_a_server_without_our_trust_is_not_asked(witnesses: Witnesses) -> None:
    https = witnesses.at[0].url.replace("http:", "https:")  # no TLS at all there
    _, (problem,) = ask(LOG, 5, WitnessAt(witnesses.at[0].key, https))
    assert isinstance(problem.error, WitnessUnreachable)


@pytest.mark.parametrize(
    "url",
    ["", "w.example", "ftp://w.example", "file:///etc/passwd", "https://", "https://u:p@w.example"]
    + ["https://w.example?x=1", "https://w.example/#x", "https://w.example:99999", "http://w\n.x"],
)
def test_addresses_are_checked_before_they_are_used(url: str) -> None:
    with pytest.raises(WitnessUrlInvalid):
        WitnessAt(LIAR, url)


def test_a_log_s_key_is_no_witness() -> None:
    with pytest.raises(CosignatureWrong):
        WitnessAt(LOG.vkey, "https://w.example")


def test_a_boot_is_introduced_where_it_is_not_known(witnesses: Witnesses) -> None:
    made = document()
    station, at = witnesses.stations[0], witnesses.at[0]
    station.memory.follow_owners(owners_of_account(made))
    for boot, size in ((0x61, 5), (0x62, 9)):
        log = Log(key=boot, origin=origin_of(made))
        note, reader = log.note(size), log.reader(size)
        _, (problem,) = cosign(note, reader, [at], now=CLOCK)
        assert isinstance(problem.error, KeyUnknown)
        cosigned, problems = cosign(note, reader, [at], introduction(boot), now=CLOCK)
        assert problems == ()
        opened = open_checkpoint(cosigned, log.origin, [log.vkey], [station.public])
        assert opened.witnesses == {station.public: NOW}
    wrong = introduction(0x63, permitted=(1,))
    log = Log(key=0x63, origin=origin_of(made))
    _, (problem,) = cosign(log.note(10), log.reader(10), [at], wrong, now=CLOCK)
    assert isinstance(problem.error, BootRefused)
    # One that follows nothing of it, and one of another make that has no such call.
    _, (problem,) = cosign(log.note(10), log.reader(10), [witnesses.at[1]], wrong, now=CLOCK)
    assert isinstance(problem.error, BootRefused | LogUnknown)
    problem = lie(lambda path, _: Response(status_code=404 if "boot" in path else 403))
    assert isinstance(problem.error, KeyUnknown)


def test_introducing_once_is_enough() -> None:
    asked: list[str] = []

    def never(path: str, _body: bytes) -> Response:
        asked.append(path)
        if len(asked) > 9:
            return Response(status_code=500)
        return Response(status_code=200 if "boot" in path else 403)

    with answering(never) as url:
        note, reader = LOG.note(5), LOG.reader(5)
        _, (problem,) = cosign(note, reader, [WitnessAt(LIAR, url)], introduction(), now=CLOCK)
    assert isinstance(problem.error, KeyUnknown)
    assert asked == ["/add-checkpoint", "/add-boot", "/add-checkpoint"]


def test_a_stored_log_without_its_tiles_is_our_fault_and_not_the_witness_s(
    addresses: Witnesses,
) -> None:
    empty = LogReader(stored([]), LOG.head(5))
    with pytest.raises(Exception, match="lacks a part of the log"):
        cosign(LOG.note(5), empty, addresses.at, now=CLOCK)
