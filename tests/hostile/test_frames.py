"""The fast channel in the hands of whoever carries its bytes: each frame counts once, in order."""

import secrets
import time
from contextlib import suppress

import msgspec
import pytest
from msgspec.structs import replace
from strongroom_host.contract.frames import intent_bytes
from strongroom_wire import frames
from strongroom_wire.errors import BadSignature, Code, Malformed, Refused, Rule, WireError

from tests.hostile.driver import Boot, Bot, Channel, now_ms, refusal


@pytest.fixture
def channel(ready: Boot) -> Channel:
    return ready.channel()


def again(channel: Channel) -> None:
    """Gives the channel another connection: a refused frame costs the one that it came on."""
    channel.wire = channel.boot.wire()


def test_a_replayed_frame_signs_nothing(channel: Channel) -> None:
    before = channel.signed_so_far()
    frame = channel.frame(channel.boot.buying(5))
    answer = channel.carry(frame)
    assert answer is not None
    assert frames.Reply.parse(channel.sealed.open(answer)).code is Code.OK
    for _ in range(3):
        assert refusal(channel.carry(frame)) is Code.BAD_SEQUENCE
        assert channel.wire is not None
        assert channel.wire.receive() is None, "the connection goes on after a refused frame"
        again(channel)
    assert channel.signed_so_far() == before + 5


def test_a_replay_costs_no_sequence_and_no_decision(channel: Channel) -> None:
    first = channel.cancel_all()
    frame = channel.frame(channel.boot.buying(5))
    carried = channel.carry(frame)
    assert carried is not None
    second = frames.Reply.parse(channel.sealed.open(carried))
    assert refusal(channel.carry(frame)) is Code.BAD_SEQUENCE
    again(channel)
    third = channel.cancel_all()
    assert [r.decision - first.decision for r in (first, second, third)] == [0, 1, 2]


def test_reordered_and_missing_frames_are_refused_until_the_next_one_comes(
    channel: Channel,
) -> None:
    before = channel.signed_so_far()
    made = [channel.frame(channel.boot.buying(dollars)) for dollars in (1, 2, 3)]
    for early in (made[1], made[2], made[1]):
        assert refusal(channel.carry(early)) is Code.BAD_SEQUENCE
        again(channel)
    for frame in made:
        answer = channel.carry(frame)
        assert answer is not None
        assert frames.Reply.parse(channel.sealed.open(answer)).code is Code.OK
    assert channel.signed_so_far() == before + 6


def test_truncated_extended_and_flipped_frames_are_refused(channel: Channel) -> None:
    before = channel.signed_so_far()
    frame = channel.frame(channel.boot.buying(5))
    cut = [frame[:size] for size in (0, 1, 4, 15, 16, 23, 24, 39, 40, len(frame) - 1)]
    flipped = [
        frame[:at] + bytes([frame[at] ^ 1 << at % 8]) + frame[at + 1 :] for at in range(len(frame))
    ]
    for forged in (*cut, frame + b"\0", *flipped):
        assert refusal(channel.carry(forged)) is not Code.OK
        again(channel)
    answer = channel.carry(frame)
    assert answer is not None
    assert frames.Reply.parse(channel.sealed.open(answer)).code is Code.OK
    assert channel.signed_so_far() == before + 5


def test_a_frame_of_one_channel_is_worthless_in_another(ready: Boot) -> None:
    a, b = ready.channel(), ready.channel(ready.desk.bots[1])
    before = a.signed_so_far()
    b.cancel_all()  # both channels now expect sequence 1, so that nothing but the key differs
    frame = a.frame(ready.buying(5))
    relabelled = frame[:8] + b.opened.channel.to_bytes(8) + frame[16:]
    assert refusal(b.carry(relabelled)) is Code.BAD_SIGNATURE
    again(b)
    assert b.signed_so_far() == before
    answer = b.carry(frame)  # on another's connection it is still a frame of its own channel
    assert answer is not None
    assert frames.Reply.parse(a.sealed.open(answer)).code is Code.OK
    assert b.signed_so_far() == before + 5


def test_an_answer_of_the_enclave_is_no_frame_for_it(channel: Channel) -> None:
    answer = channel.carry(channel.frame(channel.boot.buying(5)))
    assert answer is not None
    assert refusal(channel.carry(answer)) is Code.MALFORMED
    again(channel)
    turned = answer[:4] + b"\x01" + answer[5:16] + (1).to_bytes(8) + answer[24:]
    assert refusal(channel.carry(turned)) is Code.BAD_SIGNATURE


def test_the_client_refuses_replayed_reordered_and_reflected_answers(channel: Channel) -> None:
    frame = channel.frame(channel.boot.buying(1))
    answer = channel.carry(frame)
    assert answer is not None
    channel.sealed.open(answer)
    with pytest.raises(Refused):
        channel.sealed.open(answer)
    with pytest.raises(Malformed):
        channel.sealed.open(frame)


def test_a_frame_past_its_deadline_is_not_acted_on(channel: Channel) -> None:
    before = channel.signed_so_far()
    for past in (0, now_ms() - 2_000):
        late = msgspec.structs.replace(channel.boot.buying(5), deadline=past)
        assert channel.ask(late).code is Code.EXPIRED
    assert channel.signed_so_far() == before


@pytest.mark.parametrize("off_ms", [-61_000, 61_000, -(10**12), 10**15])
def test_an_order_kept_back_or_dated_ahead_is_denied(channel: Channel, off_ms: int) -> None:
    reply = channel.buy(5, timestamp=now_ms() + off_ms)
    assert (reply.code, reply.rule, reply.request) == (Code.DENIED, Rule.TIMESTAMP, b"")


def test_a_replayed_opening_yields_other_keys(ready: Boot) -> None:
    bot, secret = ready.desk.bots[0], secrets.token_bytes(32)
    opening = ready.opening(bot, secret)
    wire = ready.wire()
    found = [wire.exchange(opening) for _ in range(3)]
    channels = [Channel(ready, bot, opening, secret, answer or b"") for answer in found]
    assert len({channel.opened.channel for channel in channels}) == 3
    assert len({key for channel in channels for key in channel.keys}) == 6
    old, new = channels[0], channels[1]
    old.wire = new.wire = wire
    before = old.signed_so_far()
    recorded = old.frame(ready.buying(5))
    new.frame(ready.buying(5))  # so that sequence 1 is next on both
    moved = recorded[:8] + new.opened.channel.to_bytes(8) + recorded[16:]
    assert refusal(wire.exchange(moved)) is not Code.OK
    again(old)
    answer = old.carry(recorded)
    assert answer is not None
    old.sealed.open(answer)
    assert old.signed_so_far() == before + 5


def test_an_opening_of_a_stranger_or_under_a_listed_name_is_refused(ready: Boot) -> None:
    secret, listed = secrets.token_bytes(32), ready.desk.bots[0]
    stranger = Bot("stranger")
    assert refusal(ready.wire().exchange(ready.opening(stranger, secret))) is Code.UNKNOWN_CLIENT
    real = frames.ChannelOpen.parse(ready.opening(listed, secret))
    other = frames.ChannelOpen.parse(ready.opening(listed, secrets.token_bytes(32)))
    message = real.message(ready.bundle.keys_digest)
    for forged in (
        replace(real, signature=stranger.frame.sign(message)),
        replace(real, signature=bytes(64)),
        replace(real, sealed=other.sealed),
        replace(real, client=ready.desk.bots[1].frame.public_key().public_bytes_raw()),
        replace(real, signature=listed.frame.sign(real.message(bytes(32)))),
    ):
        assert refusal(ready.wire().exchange(forged.serialise())) is Code.BAD_SIGNATURE


def test_the_client_refuses_an_opening_answered_by_another(ready: Boot) -> None:
    bot, secret = ready.desk.bots[0], secrets.token_bytes(32)
    opening, other = ready.opening(bot, secret), ready.opening(bot, secret)
    answer = ready.wire().exchange(opening)
    assert answer is not None
    forged = answer[:12] + bytes(32) + answer[44:]
    for asked, said in ((other, answer), (opening, forged)):
        with pytest.raises(BadSignature):
            Channel(ready, bot, asked, secret, said)


@pytest.mark.parametrize("head", [frames.MAX_FRAME + 1, 1 << 24, (1 << 32) - 1])
def test_an_oversized_length_closes_the_connection(ready: Boot, head: int) -> None:
    wire = ready.wire()
    wire.socket.sendall(head.to_bytes(4, "big"))
    assert wire.receive() is None


def test_half_a_frame_holds_up_nobody_else(ready: Boot) -> None:
    slow, channel = ready.wire(), ready.channel()
    frame = channel.frame(ready.buying(1))
    slow.socket.sendall(len(frame).to_bytes(4, "big") + frame[:30])
    other = ready.channel()
    assert other.cancel_all().code is Code.OK
    slow.socket.sendall(frame[30:])
    answer = slow.receive()
    assert answer is not None
    assert frames.Reply.parse(channel.sealed.open(answer)).code is Code.OK


def test_connections_without_end_leave_room_after_they_close(ready: Boot) -> None:
    crowd = [ready.wire() for _ in range(80)]
    for wire in crowd:
        wire.close()
    answered = False
    for _ in range(100):  # the signer notices the closes in its own time; until then it is full
        with suppress(AssertionError, OSError):
            answered = ready.channel().cancel_all().code is Code.OK
            break
        time.sleep(0.1)
    assert answered


def test_openings_without_end_only_push_out_the_oldest_channel(ready: Boot) -> None:
    oldest, kept = ready.channel(), None
    opening, wire = ready.opening(ready.desk.bots[0], secrets.token_bytes(32)), ready.wire()
    for number in range(300):
        assert len(wire.exchange(opening) or b"") == 108
        if number == 200:
            kept = ready.channel()
    assert kept is not None
    assert kept.cancel_all().code is Code.OK
    assert refusal(oldest.carry(oldest.frame(ready.buying(5)))) is Code.UNKNOWN_CHANNEL


@pytest.mark.parametrize("number", range(12))
def test_whatever_an_intent_says_it_is_answered_within_the_channel(
    channel: Channel, number: int
) -> None:
    intent = intent_bytes(channel.boot.buying(5))
    plaintext = [
        bytes([0]) + intent[1:],
        bytes([10]) + intent[1:],
        bytes([255]) * 200,
        b"",
        intent[:-1],
        intent + b"\0",
        intent[:1] + b"\x02" + intent[2:],
        intent[:2] + b"\xff\xff" + intent[4:],
        intent[:56] + b"\x09" + intent[57:],
        bytes([3]) + intent[1:24] + bytes(32 * 1001),
        bytes([6]) + b"\0" + intent[2:24] + b"\r\nHost: evil",
        bytes([8]) + b"\0" + intent[2:24] + b"\xff\xfe",
    ][number]
    answer = channel.carry(channel.sealed.seal(plaintext))
    assert answer is not None
    reply = frames.Reply.parse(channel.sealed.open(answer))
    assert reply.code in (Code.MALFORMED, Code.TOO_LARGE, Code.UNKNOWN_KEY)
    assert reply.request == b""
    assert reply.order_hashes == ()


def test_messages_of_no_kind_are_refused(ready: Boot) -> None:
    for message in (b"", b"\0", b"SRC1", b"SRF1", b"SRX1" + bytes(300), b"SRC1" + bytes(176)):
        with pytest.raises(WireError):
            raise Refused(refusal(ready.wire().exchange(message)))
