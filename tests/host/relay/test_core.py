"""The relay as a whole, without sockets: who gets in, what goes out, what is counted as what."""

from __future__ import annotations

import json

import pytest
from strongroom_host.relay import frames_v1
from strongroom_host.relay.answers import Answered
from strongroom_host.relay.core import CoreLimits
from strongroom_host.relay.fragments import MAX_PIECE, cut
from strongroom_host.relay.frames_v2 import OVERHEAD, HandshakeKeys
from strongroom_host.relay.jobs import Failed
from strongroom_host.relay.messages import (
    Ack,
    Answer,
    Beat,
    Close,
    Deposit,
    Failure,
    FromRelay,
    Held,
    HeldState,
    Outcome,
    Ping,
    Poll,
    Pong,
    Request,
    Status,
)
from strongroom_host.relay.reasons import Reason
from strongroom_host.relay.sessions import MAX_AHEAD_NS, RETENTION_NS, SessionLimits

from tests.host.relay.world import (
    ANSWER,
    ELSEWHERE,
    HERE,
    OTHER_PSK,
    PSK,
    SECOND,
    Client,
    World,
    order,
    request,
)

ID = b"m" * 16


def failure(said: list[FromRelay]) -> tuple[Outcome, Reason]:
    [only] = said
    assert isinstance(only, Failure)
    return only.outcome, only.reason


def whole(said: list[FromRelay]) -> Answered:
    pieces = {piece.number: piece for piece in said if isinstance(piece, Answer)}
    assert set(pieces) == set(range(pieces[0].total))
    return Answered.unpack(b"".join(pieces[at].piece for at in sorted(pieces)))


# --- v1 ---------------------------------------------------------------------------------------


def v1(world: World, offset_s: float = 0.0, raw: bytes = b"", psk: bytes = PSK) -> bytes:
    return frames_v1.build(psk, 1, world.wall + int(offset_s * SECOND), raw or order())


def test_v1_is_forwarded_once_and_never_answered() -> None:
    world = World()
    world.pass_time(20)
    frame = v1(world)
    assert world.give(frame) == []
    assert world.forwarded() == [order()]
    assert world.give(frame) == []
    assert world.give(frame, ELSEWHERE) == []
    assert len(world.venue.jobs) == 1
    assert world.refused() == {"v1_replayed": 2}
    assert world.counters.events[0] == 1


def test_v1_says_by_how_much_the_clock_is_off() -> None:
    world = World()
    world.pass_time(20)
    world.give(v1(world, -7.25))
    world.give(v1(world, 9.5))
    assert world.refused() == {"v1_stale": 1, "v1_ahead": 1}
    assert "7.250 s behind this clock" in world.log[0]
    assert "9.500 s ahead of this clock" in world.log[1]
    assert "NTP" in world.log[0]


def test_a_restart_does_not_open_v1s_window_again() -> None:
    before = World()
    before.pass_time(20)
    frames = [v1(before, offset) for offset in (-4.9, 0.0, 4.9)]
    for frame in frames:
        before.give(frame)
    assert len(before.venue.jobs) == 3
    after = restarted(before)
    for passed in (0, 1, 2, 3, 4):
        for frame in frames:
            after.give(frame)
        after.pass_time(1)
        assert after.forwarded() == [], passed
    assert set(after.refused()) <= {"v1_before_start", "v1_stale"}


def restarted(world: World) -> World:
    """The same relay, a moment later, in a new process."""
    return World(seed=2, now=world.now, wall=world.wall)


def test_v1_can_be_off() -> None:
    world = World(limits=CoreLimits(v1=False))
    world.pass_time(20)
    world.give(v1(world))
    assert (world.refused(), world.forwarded()) == ({"v1_off": 1}, [])


def test_v1_forwards_only_what_is_allowed() -> None:
    world = World()
    world.pass_time(20)
    world.give(v1(world, raw=request("GET /auth/api-keys")))
    world.give(v1(world, raw=b"garbage"))
    world.give(v1(world, psk=OTHER_PSK))
    assert world.forwarded() == []
    assert world.refused() == {"not_allowed": 1, "not_a_request": 1, "v1_forged": 1}


def test_v1_is_dropped_when_its_window_closes_before_a_connection_is_free() -> None:
    world = World()
    world.pass_time(20)
    world.venue.result = None
    world.give(v1(world, -3.0))
    [job] = world.venue.jobs
    assert job.deadline_ns == world.now + 2 * SECOND


# --- v2: the way in ---------------------------------------------------------------------------


def test_a_session_and_an_order() -> None:
    world = World()
    client = Client(world).enter()
    assert whole(client.post(order())) == ANSWER
    assert world.forwarded() == [order()]
    assert world.refused() == {}


def test_greetings_cost_nothing_that_is_kept() -> None:
    world = World()
    client = Client(world)
    for _ in range(500):
        [answer] = world.give(client.hello, ELSEWHERE)
        assert len(answer) <= len(client.hello)
    assert len(world.core._door) == 0
    client.enter()
    assert len(world.core._door) == 1


def test_a_start_is_good_once() -> None:
    world = World()
    client = Client(world).enter()
    assert world.give(client.start) == []
    client.say(Close().pack())
    assert world.give(client.start) == [], "also when its session is gone"
    world.pass_time(9)
    assert world.give(client.start) == []
    world.pass_time(2)
    assert world.give(client.start) == []
    assert world.refused() == {"start_replayed": 3, "start_outdated": 1}


def test_a_repeated_start_opens_the_same_session() -> None:
    world = World()
    client = Client(world).enter()
    again = client.keys.start(client.challenge, client.numbers(), b"bot".ljust(16, b"\0"))
    assert len(client.read(world.give(again))) == 1
    assert len(world.core._door) == 1


def test_another_boot_takes_nothing_of_this_one() -> None:
    world = World()
    client = Client(world).enter()
    packets = [client.start, client.sealer.seal(Request(ID, world.now, 0, 1, order()).pack())]
    after = restarted(world)
    for packet in packets:
        after.give(packet)
    assert after.forwarded() == []
    assert after.refused() == {"start_outdated": 1, "unknown_session": 1}


def test_a_start_from_elsewhere_or_with_another_psk_opens_nothing() -> None:
    world = World()
    client = Client(world)
    assert world.give(client.start, ELSEWHERE) == []
    other = HandshakeKeys(OTHER_PSK)
    world.give(other.hello(b"x" * 16))
    world.give(other.start(client.challenge, 1, b"bot".ljust(16)))
    assert world.refused() == {"start_outdated": 1, "hello_forged": 1, "start_forged": 1}
    assert len(world.core._door) == 0


def test_sessions_are_limited_and_idle_ones_make_room() -> None:
    world = World(limits=CoreLimits(sessions=2))
    for name in (b"a", b"b"):
        Client(world, name=name).enter()
    third = Client(world, name=b"c")
    assert world.give(third.start) == []
    assert world.refused() == {"sessions_full": 1}
    world.pass_time(16, ticks=False)
    Client(world, name=b"d").enter()


# --- v2: packets ------------------------------------------------------------------------------


def test_a_packet_passes_once_whoever_sends_it_again() -> None:
    world = World()
    client = Client(world).enter()
    packet = client.sealer.seal(Request(ID, world.now + SECOND, 0, 1, order()).pack())
    assert world.give(packet)
    assert world.give(packet) == []
    assert world.give(packet, ELSEWHERE) == []
    assert world.refused() == {"replayed": 2}
    assert len(world.venue.jobs) == 1


def test_late_packets_pass_until_the_window_has_left_them_behind() -> None:
    world = World()
    client = Client(world).enter()
    late = [client.sealer.seal(Ping(at).pack()) for at in range(3)]
    for _ in range(1023):
        client.say(Ping(0).pack())
    assert [len(world.give(packet)) for packet in late] == [0, 0, 1]
    assert world.refused() == {"too_old": 2}


def test_answers_go_where_the_newest_packet_came_from() -> None:
    world = World()
    client = Client(world).enter()
    held_back = client.sealer.seal(Ping(1).pack())
    client.address = ELSEWHERE
    assert client.say(Ping(2).pack())
    world.give(held_back, HERE)
    assert world.sent[-1][1] == ELSEWHERE, "who holds packets back pulls nothing over to himself"


def test_strangers_get_no_reset_for_less_than_it_costs_them() -> None:
    world = World()
    packet = b"SR\x02\x04" + b"s" * 8 + (1).to_bytes(8, "big") + b"x" * 17
    answers = [world.give(packet) for _ in range(300)]
    given = [answer for [answer] in filter(None, answers)]
    assert len(given) == 100, "not more than so many in a second"
    assert all(len(answer) < len(packet) for answer in given)
    assert world.refused() == {"unknown_session": 300}
    world.pass_time(1.1)
    assert world.give(packet)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "truncated"),
        (b"S", "truncated"),
        (b"SR\x02", "truncated"),
        (b"SR\x02\x01", "truncated"),
        (b"SR\x02\x04" + bytes(32), "truncated"),
        (b"SR\x02\x05" + bytes(60), "unknown_type"),
        (b"SR\x02\x00" + bytes(60), "unknown_type"),
        (b"SR\x02\x77" + bytes(60), "unknown_type"),
        (b"x" * 44, "truncated"),
        (b"x" * 45, "v1_forged"),
        (b"x" * 65_000, "v1_forged"),
    ],
)
def test_noise_is_counted_by_kind(datagram: bytes, reason: str) -> None:
    world = World()
    assert world.give(datagram) == []
    assert world.refused() == {reason: 1}
    assert world.counters.refused == 1


def test_what_makes_no_sense_is_counted_though_it_is_authentic() -> None:
    world = World()
    client = Client(world).enter()
    assert client.say(b"\x63") == []
    assert world.refused() == {"malformed": 1}


# --- messages ---------------------------------------------------------------------------------


def test_a_message_is_forwarded_once_however_often_it_comes() -> None:
    world = World()
    client = Client(world).enter()
    first = client.post(order())
    for _ in range(5):
        assert client.post(order()) == first
    assert len(world.venue.jobs) == 1
    world.pass_time(60)
    assert failure(client.post(order(), life_s=-58.0)) == (Outcome.UNKNOWN, Reason.EXPIRED)
    assert len(world.venue.jobs) == 1


def test_while_it_is_under_way_the_sender_hears_that_it_is_known() -> None:
    world = World()
    client = Client(world).enter()
    world.venue.result = None
    assert client.post(order()) == []
    world.pass_time(0.006)
    [ack] = client.read([data for data, _ in world.sent[-1:]])
    assert ack == Ack(ID)
    assert client.post(order(), life_s=1.994) == [Ack(ID)]
    world.venue.jobs[0].done(ANSWER)
    assert whole(client.read([data for data, _ in world.sent[-1:]])) == ANSWER
    assert len(world.venue.jobs) == 1


def test_no_receipt_for_what_is_answered_at_once() -> None:
    world = World()
    client = Client(world).enter()
    client.post(order())
    before = len(world.sent)
    world.pass_time(1)
    assert len(world.sent) == before


def test_nobody_wakes_up_for_a_receipt_that_is_not_needed_any_more() -> None:
    world = World()
    client = Client(world).enter()
    world.pass_time(0)
    before_ns = world.core.next_ns()
    world.venue.result = None
    for number in range(2):
        client.post(order(), b"%016d" % number)
    assert world.core.next_ns() == world.now + CoreLimits().ack_after_ns < before_ns
    first, second = world.venue.jobs
    second.done(ANSWER)
    assert world.core.next_ns() < before_ns
    first.done(ANSWER)
    assert world.core.next_ns() == before_ns


def test_after_its_deadline_nothing_is_forwarded() -> None:
    world = World()
    client = Client(world).enter()
    got = client.say(Request(ID, world.now - 1, 0, 1, order()).pack())
    assert failure(got) == (Outcome.NOT_SENT, Reason.EXPIRED)
    assert world.forwarded() == []


def test_before_its_deadline_nobody_says_that_it_was_not_sent() -> None:
    """It may still be on its way."""
    world = World()
    client = Client(world).enter()
    deadline = world.now + SECOND
    assert client.say(Poll(ID, deadline, 0, 1).pack()) == []
    world.now = deadline
    assert client.say(Poll(ID, deadline, 0, 1).pack()) == []
    assert whole(client.say(Request(ID, deadline, 0, 1, order()).pack())) == ANSWER
    assert len(world.venue.jobs) == 1


def test_long_after_its_deadline_nothing_is_certain() -> None:
    """The relay may have forgotten that it did forward it."""
    world = World()
    client = Client(world).enter()
    deadline = world.now + SECOND
    client.say(Request(ID, deadline, 0, 1, order()).pack())
    world.now = deadline + RETENTION_NS + 2 * SECOND
    world.core.tick(world.now)
    poll = client.say(Poll(ID, deadline, 0, 1).pack())
    assert failure(poll) == (Outcome.UNKNOWN, Reason.EXPIRED)
    again = client.say(Request(ID, deadline, 0, 1, order()).pack())
    assert failure(again) == (Outcome.UNKNOWN, Reason.EXPIRED)
    assert len(world.venue.jobs) == 1


def test_what_was_forwarded_is_known_as_long_as_certainty_is_promised() -> None:
    world = World()
    client = Client(world).enter()
    deadline = world.now + SECOND
    client.say(Request(ID, deadline, 0, 1, order()).pack())
    while world.now + SECOND // 4 <= deadline + RETENTION_NS:
        world.pass_time(0.25)
        assert whole(client.say(Poll(ID, deadline, 0, 1).pack())) == ANSWER


def test_a_deadline_too_far_ahead_is_refused() -> None:
    world = World()
    client = Client(world).enter()
    assert client.say(Request(ID, world.now + MAX_AHEAD_NS + 1, 0, 1, order()).pack()) == []
    assert world.refused() == {"deadline_too_far": 1}
    assert world.forwarded() == []


def test_one_id_for_two_messages_is_noticed() -> None:
    world = World()
    client = Client(world).enter()
    client.post(order())
    got = client.post(order(), life_s=2.5)
    assert failure(got) == (Outcome.UNKNOWN, Reason.MESSAGE_REUSED)
    assert len(world.venue.jobs) == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (request("GET /auth/api-keys"), Reason.NOT_ALLOWED),
        (request("POST /order", b"{}", host="other.test"), Reason.WRONG_HOST),
        (b"garbage", Reason.NOT_A_REQUEST),
    ],
)
def test_what_is_not_let_through_is_refused_for_good(raw: bytes, reason: Reason) -> None:
    world = World()
    client = Client(world).enter()
    for _ in range(2):
        assert failure(client.post(raw)) == (Outcome.NOT_SENT, reason)
    assert world.forwarded() == []
    assert world.refused() == {reason.label: 1}, "once: the second time it is known"


def test_failures_upstream_reach_the_sender_as_they_are() -> None:
    world = World()
    client = Client(world).enter()
    world.venue.result = Failed(Outcome.UNKNOWN, Reason.UPSTREAM_BROKE, "reset")
    assert failure(client.post(order())) == (Outcome.UNKNOWN, Reason.UPSTREAM_BROKE)
    assert failure(client.post(order())) == (Outcome.UNKNOWN, Reason.UPSTREAM_BROKE)
    assert len(world.venue.jobs) == 1, "and nothing is sent a second time"
    world.venue.result = Failed(Outcome.NOT_SENT, Reason.NO_CONNECTION)
    assert failure(client.post(order(), b"n" * 16)) == (Outcome.NOT_SENT, Reason.NO_CONNECTION)


def test_large_requests_come_in_pieces_in_any_order() -> None:
    world = World()
    client = Client(world).enter()
    raw = order(20_000)
    pieces = cut(raw, MAX_PIECE)
    deadline = world.now + SECOND
    packed = [Request(ID, deadline, n, len(pieces), p).pack() for n, p in enumerate(pieces)]
    said = [client.say(message) for message in [*packed[::-1], *packed]]
    assert sum(map(bool, said)) == 1 + len(packed)
    assert world.forwarded() == [raw]


def test_pieces_that_contradict_or_never_end() -> None:
    world = World()
    client = Client(world).enter()
    deadline = world.now + SECOND
    client.say(Request(ID, deadline, 0, 3, b"a").pack())
    got = client.say(Request(ID, deadline, 0, 3, b"b").pack())
    assert failure(got) == (Outcome.NOT_SENT, Reason.FRAGMENTS_CONTRADICT)
    ids = [b"%016d" % number for number in range(33)]
    said = [client.say(Request(each, deadline, 0, 2, b"a").pack()) for each in ids]
    assert not any(said)
    assert world.refused()["fragments_full"] == 1
    world.pass_time(1.1)
    assert client.say(Request(ids[-1], world.now + 1, 0, 2, b"a").pack()) == []
    poll = client.say(Poll(ids[0], deadline, 0, 1).pack())
    assert failure(poll) == (Outcome.NOT_SENT, Reason.EXPIRED)
    assert world.forwarded() == []


def test_a_last_piece_that_is_late_completes_nothing() -> None:
    """Somebody may have been told by then that nothing was sent, and nothing would be."""
    world = World()
    client = Client(world).enter()
    deadline = world.now + SECOND
    raw = order(2_000)
    first, second = cut(raw, MAX_PIECE)
    client.say(Request(ID, deadline, 0, 2, first).pack())
    world.pass_time(1.001, ticks=False)
    got = client.say(Poll(ID, deadline, 0, 1).pack())
    assert failure(got) == (Outcome.NOT_SENT, Reason.EXPIRED)
    got = client.say(Request(ID, deadline, 1, 2, second).pack())
    assert failure(got) == (Outcome.NOT_SENT, Reason.EXPIRED)
    assert world.forwarded() == []


def test_large_answers_come_in_bursts_and_on_demand() -> None:
    world = World()
    client = Client(world).enter()
    world.venue.result = replace_body(ANSWER, b"x" * 100_000)
    first = client.post(order())
    assert len(first) == 32
    deadline = world.now + 2 * SECOND
    everything = [
        *first,
        *client.say(Poll(ID, deadline, 32, (1 << 32) - 1).pack()),
        *client.say(Poll(ID, deadline, 64, (1 << 64) - 1).pack()),
    ]
    assert whole(everything).body == b"x" * 100_000
    [one] = client.say(Poll(ID, deadline, 7, 1).pack())
    assert isinstance(one, Answer)
    assert one.number == 7
    assert max(len(data) for data, _ in world.sent) <= 1232


def replace_body(answer: Answered, body: bytes) -> Answered:
    return answer._replace(body=body)


def test_old_answers_make_room_and_say_so() -> None:
    limits = CoreLimits(session=SessionLimits(answer_bytes=50_000))
    world = World(limits=limits)
    client = Client(world).enter()
    world.venue.result = replace_body(ANSWER, b"x" * 20_000)
    ids = [b"%016d" % number for number in range(4)]
    for each in ids:
        client.post(order(), each)
    got = client.post(order(), ids[0])
    assert failure(got) == (Outcome.UNKNOWN, Reason.ANSWER_GONE)
    assert whole(client.post(order(), ids[3])).body == b"x" * 20_000
    assert len(world.venue.jobs) == 4


def test_messages_are_limited_and_then_refused() -> None:
    world = World(limits=CoreLimits(session=SessionLimits(messages=3)))
    client = Client(world).enter()
    for number in range(3):
        client.post(order(), b"%016d" % number)
    deadline = world.now + 2 * SECOND
    assert client.say(Request(ID, deadline, 0, 1, order()).pack()) == []
    assert world.refused() == {"messages_full": 1}
    world.pass_time(3)
    assert failure(client.say(Poll(ID, deadline, 0, 1).pack())) == (
        Outcome.NOT_SENT,
        Reason.EXPIRED,
    )
    world.pass_time(40)
    assert whole(client.post(order())) == ANSWER


@pytest.mark.parametrize("case", ["no room", "no room for pieces", "too far ahead"])
def test_nothing_is_forwarded_that_was_said_not_to_be(case: str) -> None:
    """A copy sent before the refusal was heard may come when there is room again."""
    limits = SessionLimits(messages=1 if case == "no room" else 9, in_pieces=1)
    world = World(limits=CoreLimits(session=limits))
    client = Client(world).enter()
    total = 1 if case == "no room" else 2
    client.say(Request(b"o" * 16, world.now + SECOND, 0, total, order(10)).pack())
    before = len(world.forwarded())
    deadline = world.now + (65 if case == "too far ahead" else 50) * SECOND
    pieces = cut(order(2_000 if case == "no room for pieces" else 20), MAX_PIECE)
    packed = [Request(ID, deadline, n, len(pieces), p).pack() for n, p in enumerate(pieces)]
    said = [answer for message in packed for answer in client.say(message)]
    for _ in range(40):
        world.pass_time(1)
    said += [answer for message in packed for answer in client.say(message)]
    assert len(world.forwarded()) == before + 1, "there is room now"
    assert not any(isinstance(each, Failure) for each in said)


def test_draining_refuses_what_is_new_and_answers_what_is_old() -> None:
    world = World()
    client = Client(world).enter()
    client.post(order())
    world.core.draining = True
    assert failure(client.post(order(), b"n" * 16)) == (Outcome.NOT_SENT, Reason.DRAINING)
    assert whole(client.post(order())) == ANSWER


def test_pings_and_status() -> None:
    world = World()
    client = Client(world).enter()
    assert client.say(Ping(77).pack()) == [Pong(77, world.now)]
    world.give(b"noise" * 20)
    told = json.loads(whole(client.say(Status(ID).pack())).body)
    assert told["refused"] == {"v1_forged": 1}
    assert (told["sessions"], told["deposits"]) == (1, 0)
    assert told["events"]["taken_packet"] == 2


# --- the dead man's switch --------------------------------------------------------------------

CANCEL = request("DELETE /cancel-all")


def deposit(world: World, token: int = 1, fire_s: float = 5, raw: bytes = CANCEL) -> bytes:
    fire, valid = world.now + int(fire_s * SECOND), world.now + 60 * SECOND
    return Deposit(token, 3, fire, valid, raw).pack()


def test_a_silent_client_has_its_cancel_sent() -> None:
    world = World()
    client = Client(world).enter()
    assert client.say(deposit(world)) == [Held(1, 3, HeldState.HELD)]
    world.pass_time(4)
    assert client.say(Beat(2, 3, world.now + 5 * SECOND).pack()) == [Held(2, 3, HeldState.HELD)]
    world.pass_time(4.9)
    assert world.forwarded() == []
    assert world.core.next_ns() <= world.now + SECOND // 10
    world.pass_time(0.1)
    assert world.forwarded() == [CANCEL]
    world.pass_time(30)
    assert world.forwarded() == [CANCEL]
    assert client.say(Beat(3, 3, world.now + 5 * SECOND).pack()) == [Held(3, 3, HeldState.SENT)]


def test_a_cancel_that_failed_is_sent_again_until_it_is_answered() -> None:
    world = World()
    client = Client(world).enter()
    client.say(deposit(world))
    world.venue.result = Failed(Outcome.UNKNOWN, Reason.UPSTREAM_BROKE)
    world.pass_time(5)
    world.pass_time(0.3)
    assert len(world.venue.jobs) == 2
    world.venue.result = ANSWER
    for _ in range(5):
        world.pass_time(0.3)
    assert len(world.venue.jobs) == 3


def test_a_cancel_is_not_tried_for_ever() -> None:
    world = World()
    client = Client(world).enter()
    client.say(deposit(world))
    world.venue.result = Failed(Outcome.NOT_SENT, Reason.NO_CONNECTION)
    for _ in range(300):
        world.pass_time(0.3)
    tried = len(world.venue.jobs)
    assert 100 < tried < 60 * 5
    world.pass_time(10)
    assert len(world.venue.jobs) == tried


def test_it_outlives_its_session_but_not_a_beat_of_the_next_one() -> None:
    world = World()
    client = Client(world).enter()
    client.say(deposit(world))
    late = client.sealer.seal(Beat(9, 3, world.now + 50 * SECOND).pack())
    world.pass_time(1)
    again = Client(world).enter()
    assert again.say(Beat(1, 3, world.now + 9 * SECOND).pack()) == [Held(1, 3, HeldState.HELD)]
    world.give(late)
    world.pass_time(9)
    assert world.forwarded() == [CANCEL], "a packet of the session before does not put it off"


def test_only_cancels_are_held() -> None:
    world = World()
    client = Client(world).enter()
    for raw in (order(), request("GET /data/orders"), request("POST /v1/heartbeats"), b"x"):
        assert client.say(deposit(world, raw=raw)) == [Held(1, 3, HeldState.REFUSED)]
    world.pass_time(60)
    assert world.forwarded() == []
    assert world.refused() == {"not_a_cancel": 3, "not_a_request": 1}


def test_other_clients_do_not_reach_it() -> None:
    world = World()
    Client(world, name=b"a").enter().say(deposit(world))
    other = Client(world, name=b"b", address=ELSEWHERE).enter()
    assert other.say(Beat(1, 3, 0).pack()) == [Held(1, 3, HeldState.NONE)]
    world.pass_time(5)
    assert world.forwarded() == [CANCEL]


# --- counting ---------------------------------------------------------------------------------


def test_every_datagram_is_counted_once() -> None:
    world = World()
    client = Client(world).enter()
    world.pass_time(20)
    packet = client.sealer.seal(Ping(1).pack())
    given = [v1(world), v1(world), packet, packet, client.hello, client.start, b"", b"x" * 100]
    given += [packet[:-1] + b"!", b"SR\x02\x04" + bytes(60), client.sealer.seal(b"\0")]
    before = world.counters.taken + world.counters.refused
    for datagram in given:
        world.give(datagram)
    assert world.counters.taken + world.counters.refused == before + len(given)


def test_the_log_is_no_flood() -> None:
    world = World()
    for _ in range(1000):
        world.give(b"x" * 100)
    assert len(world.log) == 1
    world.pass_time(10.1)
    world.give(b"x" * 100)
    assert world.log[1].endswith("(999 more like it since)")
    assert all(HERE[0] in line and "do:" in line for line in world.log)


def test_overhead_is_what_a_packet_needs() -> None:
    world = World()
    client = Client(world).enter()
    packet = client.sealer.seal(b"")
    assert len(packet) == OVERHEAD
    world.give(packet)
    assert world.refused() == {"truncated": 1}
