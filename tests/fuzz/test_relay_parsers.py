"""Whatever comes over the network, to relay or client or from the venue: our own refusals only."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.relay import frames_v1, messages
from strongroom_host.relay.addresses import parse_address
from strongroom_host.relay.admission import Gate
from strongroom_host.relay.answers import Answered, AnswerReader
from strongroom_host.relay.conversation import Conversation
from strongroom_host.relay.frames_v2 import TO_CLIENT, HandshakeKeys, Sealer
from strongroom_host.relay.keys import SessionKeys, parse_psk
from strongroom_host.relay.pending import Timing
from strongroom_host.relay.reasons import Rejected

from tests.fuzz.effort import examples
from tests.fuzz.mutations import mutated
from tests.host.relay.test_messages import FROM_CLIENT, FROM_RELAY
from tests.host.relay.world import HOST, PSK, SECOND, Client, World, order, request

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time
FUZZ = examples(5)
KEYS = HandshakeKeys(PSK)
SALT = b"c" * 16
CHALLENGE = KEYS.challenge(b"k" * 32, b"a", SALT, b"r" * 16, SECOND)
GATE = Gate(HOST, 443)
ANSWER = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\n{12}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{1\r\n2\r\n2}\r\n0\r\n\r\n"


@given(st.data())
@FUZZ
def test_datagrams_at_a_relay(data: st.DataObject) -> None:
    world = World()
    client = Client(world).enter()
    world.pass_time(20)
    genuine = [
        frames_v1.build(PSK, 1, world.wall, order(1)),
        client.sealer.seal(messages.Request(b"i" * 16, world.now + 1, 0, 1, order(2)).pack()),
        client.hello,
        client.start,
        client.sealer.seal(messages.Ping(1).pack()),
        KEYS.reset(b"s" * 8, 1),
        CHALLENGE,
    ]
    for number in range(data.draw(st.integers(1, 12))):
        whole = data.draw(st.sampled_from(genuine))
        datagram = data.draw(st.one_of(mutated(whole), st.binary(max_size=200), st.just(whole)))
        before = world.counters.taken + world.counters.refused
        answers = world.give(datagram)
        assert world.counters.taken + world.counters.refused == before + 1
        if datagram not in genuine:
            assert sum(map(len, answers)) <= len(datagram), number
    forwarded = world.forwarded()
    assert set(forwarded) <= {order(1), order(2)}
    assert len(forwarded) == len(set(forwarded)), "and each once"


REQUESTS = st.one_of(
    mutated(order(20)), mutated(request("DELETE /cancel-all")), st.just(order(9)), st.binary()
)


@given(st.data())
def test_messages_of_a_hostile_client(data: st.DataObject) -> None:
    """Somebody with the PSK: he can have sent what may be sent, and break nothing."""
    world = World()
    client = Client(world).enter()
    for _ in range(data.draw(st.integers(1, 15))):
        said = data.draw(FROM_CLIENT)
        raw = data.draw(REQUESTS)
        if isinstance(said, messages.Request):
            near = world.now + data.draw(st.integers(-SECOND, 61 * SECOND))
            piece = raw[:1_165] or b"x"
            said = said._replace(deadline_ns=near, piece=piece)
            said = data.draw(st.sampled_from([said, said._replace(number=0, total=1)]))
        elif isinstance(said, messages.Deposit):
            near = world.now + data.draw(st.integers(-SECOND, 310 * SECOND))
            said = said._replace(valid_until_ns=near, request=raw[:1_100])
        packed = data.draw(st.one_of(st.just(said.pack()), mutated(said.pack())))
        world.give(client.sealer.seal(packed or b"\0"))
        world.pass_time(data.draw(st.sampled_from([0, 0, 1, 40, 130])))
        if not len(world.core._door):
            client = Client(world).enter()
    for forwarded in world.forwarded():
        GATE.admit(forwarded)


@given(st.data())
def test_packets_of_a_hostile_relay(data: st.DataObject) -> None:
    keys = SessionKeys.derive(PSK, SALT, b"r" * 16)
    sent: list[bytes] = []
    numbers = itertools.count(1).__next__
    talk = Conversation(b"r" * 8, keys, numbers, sent.append, 5 * SECOND, 0, Timing())
    relay = Sealer(keys.to_client, TO_CLIENT, b"r" * 8, itertools.count(1).__next__)
    identities = [b"%016d" % number for number in range(3)]
    under_way = [talk.begin(each, order(), SECOND, 9 * SECOND, 0) for each in identities]
    now = 0
    for _ in range(data.draw(st.integers(1, 15))):
        said = data.draw(FROM_RELAY)
        if isinstance(said, messages.Answer):
            packed = Answered(200, b"A: b\r\n", b"{}").pack()
            piece = data.draw(st.one_of(st.just(packed), mutated(packed)))[:1_165] or b"x"
            said = messages.Answer(data.draw(st.sampled_from(identities)), 0, 1, piece)
        elif isinstance(said, messages.Ack | messages.Failure):
            said = said._replace(message_id=data.draw(st.sampled_from(identities)))
        packed = data.draw(st.one_of(st.just(said.pack()), mutated(said.pack())))
        datagram = relay.seal(packed or b"\0")
        talk.packet(data.draw(st.one_of(st.just(datagram), mutated(datagram))), now)
        now += data.draw(st.integers(0, SECOND))
        talk.tick(now)
    talk.tick(100 * SECOND)
    for pending in under_way:
        assert pending.done
        with suppress(HostError):
            pending.result()


@given(st.one_of(mutated(KEYS.hello(SALT)), mutated(CHALLENGE), st.binary(max_size=200)))
@FUZZ
def test_the_way_in(data: bytes) -> None:
    for read in (
        KEYS.read_hello,
        KEYS.read_reset,
        lambda raw: KEYS.read_challenge(raw, SALT),
        lambda raw: KEYS.read_start(b"k" * 32, b"a", raw, SECOND),
        lambda raw: frames_v1.open_frame(PSK, raw),
    ):
        with suppress(Rejected):
            read(data)


@given(REQUESTS)
@FUZZ
def test_requests(raw: bytes) -> None:
    with suppress(Rejected):
        GATE.admit(raw)


@given(
    st.one_of(mutated(ANSWER), mutated(CHUNKED), st.binary(max_size=100)),
    st.integers(1, 40),
)
@FUZZ
def test_answers(raw: bytes, portion: int) -> None:
    reader = AnswerReader(b"POST", 1_000)
    with suppress(Rejected):
        for start in range(0, len(raw), portion):
            answer = reader.feed(raw[start : start + portion])
            if answer is not None:
                assert Answered.unpack(answer.pack()) == answer
                assert answer.response().status == answer.status
                return


@given(st.one_of(mutated(Answered(200, b"A: b\r\nC:d\r\n", b"{}").pack()), st.binary(max_size=80)))
@FUZZ
def test_what_is_carried_back(raw: bytes) -> None:
    with suppress(Rejected):
        answer = Answered.unpack(raw)
        assert answer.pack() == raw
        answer.response()


@given(st.one_of(st.text(max_size=80), st.binary(max_size=80).map(bytes.hex)))
@FUZZ
def test_what_people_write(text: str) -> None:
    with suppress(HostError):
        assert len(parse_psk(text, "X")) >= 32
    with suppress(HostError):
        host, port = parse_address(text)
        assert host
        assert 0 < port < 1 << 16
