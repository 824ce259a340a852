"""vhost-user messages: put together from any chunks, refused when they cannot be right."""

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock import messages
from strongroom_host.vsock.errors import MalformedMessage
from strongroom_host.vsock.memory import Region
from strongroom_host.vsock.messages import MAX_DESCRIPTORS, MAX_PAYLOAD, Message, MessageReader
from strongroom_host.vsock.virtqueue import RingAddresses


def encoded(request: int, payload: bytes = b"", flags: int = 1) -> bytes:
    return struct.pack("<III", request, flags, len(payload)) + payload


def message(payload: bytes, descriptors: list[int] | None = None) -> Message:
    return Message(1, needs_reply=False, payload=payload, descriptors=descriptors or [])


def read(data: bytes, chunk: int = 1 << 20) -> list[Message]:
    """Returns the messages in a stream that delivers at most so many bytes at a time."""
    reader, found = MessageReader(), []
    while data:
        count = min(chunk, reader.wanted)
        assert count
        done = reader.receive(data[:count], [])
        data = data[count:]
        if done is not None:
            found.append(done)
    return found


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=300), st.booleans())),
    st.integers(1, 40),
)
def test_messages_survive_any_chunks(sent: list[tuple[int, bytes, bool]], chunk: int) -> None:
    data = b"".join(encoded(number, body, 1 | 8 * reply) for number, body, reply in sent)
    found = [(m.request, m.payload, m.needs_reply) for m in read(data, chunk)]
    assert found == sent


@pytest.mark.parametrize(
    "data",
    [
        encoded(1, flags=0),
        encoded(1, flags=2),
        encoded(1, flags=5),
        struct.pack("<III", 1, 1, MAX_PAYLOAD + 1),
        struct.pack("<III", 1, 1, 0xFFFFFFFF),
    ],
)
def test_other_versions_replies_and_giants_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read(data)


def test_descriptors_are_counted_over_a_whole_message() -> None:
    reader = MessageReader()
    reader.receive(encoded(1, b"x" * 10)[:4], range(100, 100 + MAX_DESCRIPTORS))
    with pytest.raises(MalformedMessage):
        reader.receive(b"x", [1])


def test_descriptors_nobody_took_are_closed() -> None:
    pipe = os.pipe()
    reader = MessageReader()
    assert reader.receive(encoded(1)[:5], list(pipe)) is None
    reader.close()
    for descriptor in pipe:
        with pytest.raises(OSError, match="Bad file"):
            os.close(descriptor)


def test_payloads_are_read_as_the_protocol_has_them() -> None:
    assert messages.parse_u64(message(struct.pack("<Q", 1 << 40))) == 1 << 40
    assert messages.parse_state(message(struct.pack("<II", 1, 256))) == messages.VringState(1, 256)
    addresses = message(struct.pack("<IIQQQQ", 1, 0, 10, 20, 30, 40))
    assert messages.parse_addresses(addresses) == (1, RingAddresses(10, 20, 30))
    table = struct.pack("<II", 2, 0) + struct.pack("<8Q", *range(8))
    found = messages.parse_regions(message(table, [5, 6]))
    assert found == [Region(0, 1, 2, 3), Region(4, 5, 6, 7)]
    assert messages.parse_descriptor(message(struct.pack("<Q", 1), [7])) == (1, 7)
    assert messages.parse_descriptor(message(struct.pack("<Q", 0x102))) == (2, None)
    config = messages.parse_config(message(struct.pack("<III", 0, 2, 1) + b"ab"))
    assert config == messages.ConfigAccess(0, 2, 1, b"ab")


@pytest.mark.parametrize(
    ("parse", "payload", "descriptors"),
    [
        (messages.parse_u64, bytes(7), 0),
        (messages.parse_u64, bytes(9), 0),
        (messages.parse_state, bytes(4), 0),
        (messages.parse_addresses, bytes(39), 0),
        (messages.parse_regions, bytes(4), 0),
        (messages.parse_regions, struct.pack("<II", 1, 0) + bytes(32), 0),
        (messages.parse_regions, struct.pack("<II", 1, 0) + bytes(32), 2),
        (messages.parse_regions, struct.pack("<II", 1, 0) + bytes(31), 1),
        (messages.parse_regions, struct.pack("<II", 9, 0) + bytes(9 * 32), 9),
        (messages.parse_regions, struct.pack("<II", 0xFFFFFFFF, 0), 0),
        (messages.parse_descriptor, bytes(8), 0),
        (messages.parse_descriptor, bytes(8), 2),
        (messages.parse_descriptor, struct.pack("<Q", 0x100), 1),
        (messages.parse_config, bytes(11), 0),
        (messages.parse_config, struct.pack("<III", 0, 3, 0) + b"ab", 0),
        (messages.parse_config, struct.pack("<III", 0, 257, 0) + bytes(257), 0),
    ],
)
def test_payloads_of_the_wrong_shape_are_refused(
    parse: object, payload: bytes, descriptors: int
) -> None:
    assert callable(parse)
    with pytest.raises(MalformedMessage):
        parse(message(payload, list(range(1000, 1000 + descriptors))))
