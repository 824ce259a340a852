"""The chain of heartbeats: each names the id of the last answer, whatever becomes of the others."""

from __future__ import annotations

import pytest
from strongroom_host.relay import Heartbeats, Pending, RelayUnreachable
from strongroom_host.venue import NotSent, OutcomeUnknown, VenueResponse

S = 1_000_000_000


class Sender:
    """Takes beats; the test answers them."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Pending]] = []
        self.error: NotSent | None = None

    def begin(self, request: bytes, deadline_ns: int) -> Pending:
        if self.error is not None:
            raise self.error
        pending = Pending(b"i" * 16, request, deadline_ns, deadline_ns)
        self.sent.append((request, pending))
        return pending

    @property
    def named(self) -> list[str]:
        return [request.decode() for request, _ in self.sent]

    def answer(self, body: bytes, status: int = 200) -> None:
        pending = self.sent[-1][1]
        pending._response, pending.done = VenueResponse(status, (), body), True


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def beats(sender: Sender) -> Heartbeats:
    return Heartbeats(lambda identity: f"<{identity}>".encode(), sender, 3 * S)


def test_each_beat_names_the_last_answers_id(beats: Heartbeats, sender: Sender) -> None:
    beats.turn(0)
    sender.answer(b'{"heartbeat_id":"one-1","error_msg":null}')
    beats.turn(S)
    assert sender.named == ["<>"], "and not before its time"
    beats.turn(3 * S)
    sender.answer(b'{"heartbeat_id":"two"}')
    beats.turn(6 * S)
    assert sender.named == ["<>", "<one-1>", "<two>"]
    assert (beats.state.answered, beats.state.failures) == (2, 0)


def test_one_beat_at_a_time(beats: Heartbeats, sender: Sender) -> None:
    for second in range(20):
        beats.turn(second * S)
    assert len(sender.sent) == 1


def test_another_id_that_is_expected_is_taken_up_soon(beats: Heartbeats, sender: Sender) -> None:
    beats.turn(0)
    sender.answer(b'{"error_msg":"Invalid Heartbeat ID","heartbeat_id":"theirs"}', 400)
    beats.turn(S // 10)
    assert beats.state.failures == 1
    beats.turn(S)
    assert sender.named == ["<>", "<theirs>"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"\xff",
        b'{"heartbeat_id":7}',
        b'{"heartbeat_id":"a\\"b"}',
        b'{"heartbeat_id":"' + b"x" * 65 + b'"}',
        b'{"heartbeat_id":"a b"}',
        pytest.param(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", id="nested"),
        '{"heartbeat_id":"é"}'.encode(),
    ],
)
def test_what_is_no_id_is_not_taken_for_one(beats: Heartbeats, sender: Sender, body: bytes) -> None:
    beats.turn(0)
    sender.answer(b'{"heartbeat_id":"good"}')
    beats.turn(3 * S)
    sender.answer(body)
    beats.turn(4 * S)
    beats.turn(6 * S)
    assert sender.named == ["<>", "<good>", "<good>"]
    assert beats.state.trouble


def test_lost_beats_are_made_good_sooner(beats: Heartbeats, sender: Sender) -> None:
    beats.turn(0)
    sender.sent[-1][1].fail(OutcomeUnknown("no answer"))
    beats.turn(S)
    assert (beats.state.failures, beats.state.trouble) == (1, "no answer")
    beats.turn(2 * S)
    assert len(sender.sent) == 2
    sender.error = RelayUnreachable("the relay does not answer")
    sender.sent[-1][1].fail(OutcomeUnknown("no answer"))
    beats.turn(3 * S)
    beats.turn(4 * S)
    assert beats.state.failures == 3
    assert "does not answer" in beats.state.trouble
    sender.error = None
    beats.turn(6 * S)
    sender.answer(b'{"heartbeat_id":"back"}')
    beats.turn(7 * S)
    assert (beats.state.answered, beats.state.failures) == (1, 0)
