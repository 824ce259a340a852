"""The fast channel: what is believed, and that the first wrong byte ends it."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from strongroom_host.enclave_client.channel import FastChannel, StreamTransport, refused_reply
from strongroom_host.enclave_client.errors import (
    ChannelBroken,
    ChannelClosed,
    ChannelTimeout,
    Denied,
    EnclaveRefused,
    NotVerified,
    ReceiptInvalid,
    SequenceRefused,
    WrongPhase,
)
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_wire.bundle import Role
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import (
    MAX_FRAME,
    ChannelOpen,
    Intent,
    Kind,
    Reply,
    SealedChannel,
)
from strongroom_wire.owners import verify_signature

from tests.host.enclave_client.simulator import Boot, serve_frames

INTENT = Intent(Kind.CANCEL_ALL, 0, 1, 2)
Script = Callable[[SealedChannel, bytes], bytes | None]


def honest(sealed: SealedChannel, frame: bytes) -> bytes:
    intent = Intent.parse(sealed.open(frame))
    return sealed.seal(Reply(Code.OK, 1, request=bytes([intent.kind])).serialise())


def connect(
    boot: Boot,
    evidence: VerifiedEvidence,
    identity: ClientIdentity,
    script: Script = honest,
    *,
    busy_poll: bool = False,
    timeout: float = 30,
) -> FastChannel:
    ours, theirs = socket.socketpair()
    serve_frames(boot, theirs, script)
    return FastChannel(
        evidence, identity, StreamTransport(ours, busy_poll=busy_poll), timeout=timeout
    )


@pytest.mark.parametrize("busy_poll", [False, True])
def test_intents_go_there_and_replies_come_back(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity, busy_poll: bool
) -> None:
    with connect(boot, evidence, identity, busy_poll=busy_poll) as channel:
        for kind in (Kind.CANCEL_ALL, Kind.QUERY_OPEN, Kind.HEARTBEAT):
            assert channel.exchange(Intent(kind, 0, 1, 2)).request == bytes([kind])


def test_the_opening_is_signed_for_this_boot(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    sent: list[bytes] = []

    class Recorder:
        def exchange(self, message: bytes, timeout: float) -> bytes:
            sent.append(message)
            return boot.answer_opening(message)[0]

        def close(self) -> None: ...

    FastChannel(evidence, identity, Recorder())
    opening = ChannelOpen.parse(sent[0])
    assert opening.client == identity.frame_public
    verify_signature(
        identity.frame_public, opening.signature, opening.message(boot.bundle.keys_digest)
    )


def test_nothing_but_verified_evidence_opens_a_channel(
    boot: Boot, identity: ClientIdentity
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(NotVerified):
        FastChannel(cast(Any, boot.bundle), identity, StreamTransport(ours))


class Fixed:
    """A transport that answers whatever it was given."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.closed = list(answers), False

    def exchange(self, message: bytes, timeout: float) -> bytes:
        return self.answers.pop(0)

    def close(self) -> None:
        self.closed = True


def test_an_opening_answered_by_another_boot_is_refused(
    evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    forged = Boot().receipt[Role.SIGNER].sign(b"x")
    transport = Fixed(b"SRC1" + bytes(8) + bytes(32) + forged)
    with pytest.raises(ReceiptInvalid):
        FastChannel(evidence, identity, transport)
    assert transport.closed


def test_the_answer_to_another_opening_is_refused(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    recorded: list[bytes] = []

    class Recorder(Fixed):
        def exchange(self, message: bytes, timeout: float) -> bytes:
            recorded.append(boot.answer_opening(message)[0])
            return recorded[0]

    FastChannel(evidence, identity, Recorder())
    with pytest.raises(ReceiptInvalid):
        FastChannel(evidence, identity, Fixed(recorded[0]))


@pytest.mark.parametrize("answer", [b"", b"x", b"SRC1" + bytes(103), bytes(108)])
def test_a_malformed_opening_answer_is_refused(
    evidence: VerifiedEvidence, identity: ClientIdentity, answer: bytes
) -> None:
    with pytest.raises(ChannelBroken):
        FastChannel(evidence, identity, Fixed(answer))


def test_a_refused_opening_is_typed(evidence: VerifiedEvidence, identity: ClientIdentity) -> None:
    code = int(Code.WRONG_PHASE).to_bytes(2, "big")
    with pytest.raises(WrongPhase):
        FastChannel(evidence, identity, Fixed(code))
    with pytest.raises(EnclaveRefused):
        FastChannel(evidence, identity, Fixed(bytes(2)))


def _closed(channel: FastChannel) -> None:
    with pytest.raises(ChannelClosed) as caught:
        channel.exchange(INTENT)
    assert "closed" in str(caught.value)


def test_a_refused_frame_closes_the_channel(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    channel = connect(
        boot, evidence, identity, lambda s, f: int(Code.BAD_SEQUENCE).to_bytes(2, "big")
    )
    with pytest.raises(SequenceRefused):
        channel.exchange(INTENT)
    _closed(channel)


def test_a_replayed_reply_closes_the_channel(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    replies: list[bytes] = []

    def replay(sealed: SealedChannel, frame: bytes) -> bytes:
        replies.append(honest(sealed, frame))
        return replies[0]

    channel = connect(boot, evidence, identity, replay)
    channel.exchange(INTENT)
    with pytest.raises(ChannelBroken):
        channel.exchange(INTENT)
    _closed(channel)


def test_a_reply_flipped_anywhere_closes_the_channel(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    for at in (0, 4, 5, 8, 15, 23, 24, 40, -1):

        def flip(sealed: SealedChannel, frame: bytes, at: int = at) -> bytes:
            reply = bytearray(honest(sealed, frame))
            reply[at] ^= 1
            return bytes(reply)

        channel = connect(boot, evidence, identity, flip)
        with pytest.raises(ChannelBroken):
            channel.exchange(INTENT)
        _closed(channel)


def test_our_own_frame_reflected_closes_the_channel(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    channel = connect(boot, evidence, identity, lambda sealed, frame: frame)
    with pytest.raises(ChannelBroken):
        channel.exchange(INTENT)
    _closed(channel)


def test_an_authentic_reply_that_is_no_reply_closes_the_channel(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    channel = connect(boot, evidence, identity, lambda sealed, frame: sealed.seal(b"nonsense"))
    with pytest.raises(ChannelBroken):
        channel.exchange(INTENT)
    _closed(channel)


def test_an_oversized_reply_is_not_read(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    channel = connect(boot, evidence, identity, lambda sealed, frame: bytes(MAX_FRAME + 1))
    with pytest.raises(ChannelBroken):
        channel.exchange(INTENT)
    _closed(channel)


def test_an_oversized_length_is_refused_before_anything_is_read() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall((MAX_FRAME + 1).to_bytes(4, "big"))
    with ours, theirs, pytest.raises(ChannelBroken, match="oversized"):
        StreamTransport(ours).exchange(b"hello", 0.2)


@pytest.mark.parametrize("extra", [b"x", b"\0\0\0\1x"])
def test_more_than_one_answer_is_refused(extra: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall((3).to_bytes(4, "big") + b"abc" + extra)
    with ours, theirs, pytest.raises(ChannelBroken, match="nobody asked"):
        StreamTransport(ours).exchange(b"hello", 1)


@pytest.mark.parametrize("busy_poll", [False, True])
def test_an_answer_in_pieces_is_put_together(busy_poll: bool) -> None:
    ours, theirs = socket.socketpair()
    message = bytes(range(256)) * 256

    def drip() -> None:
        data = len(message).to_bytes(4, "big") + message
        for at, size in ((0, 1), (1, 2), (3, 2), (5, 70_000)):
            theirs.sendall(data[at : at + size])
            time.sleep(0.01)

    with ours, theirs:
        thread = threading.Thread(target=drip)
        thread.start()
        transport = StreamTransport(ours, busy_poll=busy_poll)
        assert transport.exchange(b"hello", 5) == message
        thread.join()


def test_a_peer_that_does_not_read_ends_in_a_timeout() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ChannelTimeout):
        StreamTransport(ours).exchange(bytes(10_000_000), 0.1)


def test_a_closed_connection_closes_the_channel(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    channel = connect(boot, evidence, identity, lambda sealed, frame: None)
    with pytest.raises(ChannelBroken):
        channel.exchange(INTENT)
    _closed(channel)


@pytest.mark.parametrize("busy_poll", [False, True])
def test_silence_ends_in_a_timeout_that_closes(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity, busy_poll: bool
) -> None:
    over = threading.Event()

    def late(sealed: SealedChannel, frame: bytes) -> bytes:
        over.wait(60)
        return honest(sealed, frame)

    channel = connect(boot, evidence, identity, late, busy_poll=busy_poll)
    with pytest.raises(ChannelTimeout) as caught:
        channel.exchange(INTENT, timeout=0.05)
    over.set()
    assert "unknown" in caught.value.remedy
    _closed(channel)


@pytest.mark.parametrize("busy_poll", [False, True])
def test_a_dripping_peer_cannot_outlast_the_timeout(busy_poll: bool) -> None:
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        theirs.sendall((1000).to_bytes(4, "big"))
        for _ in range(1000):
            if stop.wait(0.005):
                return
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    with ours, theirs:
        thread.start()
        with pytest.raises(ChannelTimeout):
            StreamTransport(ours, busy_poll=busy_poll).exchange(b"hello", 0.1)
        stop.set()
        thread.join()


def test_a_refusal_stays_a_reply_until_asked(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    figures = Reply(Code.DENIED, 3, Rule.ORDER_NOTIONAL, 0, 25, 55)

    def deny(sealed: SealedChannel, frame: bytes) -> bytes:
        sealed.open(frame)
        return sealed.seal(figures.serialise())

    with connect(boot, evidence, identity, deny) as channel:
        reply = channel.exchange(INTENT)
        assert reply == figures
        error = refused_reply(reply, "an order")
        assert isinstance(error, Denied)
        assert (error.rule, error.limit, error.figure) == (Rule.ORDER_NOTIONAL, 25, 55)
        # A denial is an answer: the channel stays open.
        assert channel.exchange(INTENT) == figures
    assert refused_reply(Reply(Code.OK, 1), "x") is None
    other = refused_reply(Reply(Code.NO_CREDENTIAL, 1), "x")
    assert other is not None
    assert other.code is Code.NO_CREDENTIAL
    assert other.authenticated


def test_closing_twice_is_harmless(
    boot: Boot, evidence: VerifiedEvidence, identity: ClientIdentity
) -> None:
    channel = connect(boot, evidence, identity)
    channel.close()
    channel.close()
    _closed(channel)
