"""The sealed channel: key schedule and frames by hand, and a hostile relay in the middle."""

import hmac
import struct
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strongroom_wire.errors import Code, Malformed, Refused, TooLarge, WireError
from strongroom_wire.frames import (
    MAX_FRAME,
    ChannelOpen,
    ChannelOpened,
    Direction,
    SealedChannel,
    channel_keys,
)

from tests.wire.samples import byte, opened, opening
from tests.wire.test_encoding import packed

KEYS = (byte(0x51), byte(0x52))


def _pair(channel: int = 9) -> tuple[SealedChannel, SealedChannel]:
    client = SealedChannel(channel, KEYS, Direction.TO_ENCLAVE)
    return client, SealedChannel(channel, KEYS, Direction.FROM_ENCLAVE)


def test_opening_layout_is_the_documented_one() -> None:
    by_hand = b"SRC1" + byte(0x21) + byte(0x22, 80) + byte(0x23, 64)
    assert len(by_hand) == 180
    assert opening().serialise() == by_hand
    assert ChannelOpen.parse(by_hand) == opening()
    by_hand = b"SRC1" + struct.pack(">Q", 9) + byte(0x31) + byte(0x32, 64)
    assert len(by_hand) == 108
    assert opened().serialise() == by_hand
    assert ChannelOpened.parse(by_hand) == opened()


def test_what_is_signed_names_boot_opening_and_answer() -> None:
    domain, data = b"strongroom/channel/v1", opening().serialise()
    assert opening().message(byte(1)) == packed(
        domain, b"open", byte(1), byte(0x21), byte(0x22, 80)
    )
    assert opened().message(data) == packed(
        domain, b"opened", sha256(data).digest(), struct.pack(">Q", 9), byte(0x31)
    )
    assert opening().message(byte(1)) != opening().message(byte(2))
    assert opened().message(data) != replace(opened(), channel=8).message(data)
    assert opened().message(data) != replace(opened(), random=byte(0)).message(data)
    assert opened().message(data) != opened().message(data[:-1] + b"\x00")


def test_keys_are_rfc_5869s() -> None:
    secret, data, random = byte(0x71), opening().serialise(), byte(0x31)
    info = sha256(packed(b"strongroom/channel/v1", b"keys", data)).digest()
    extracted = hmac.digest(random, secret, "sha256")
    first = hmac.digest(extracted, info + b"\x01", "sha256")
    second = hmac.digest(extracted, first + info + b"\x02", "sha256")
    assert channel_keys(secret, data, random) == (first, second)


def test_keys_differ_by_secret_opening_and_random() -> None:
    data = opening().serialise()
    base = channel_keys(byte(1), data, byte(2))
    assert len({*base, *channel_keys(byte(3), data, byte(2))}) == 4
    assert len({*base, *channel_keys(byte(1), data[:-1] + b"\x00", byte(2))}) == 4
    # A replayed opening meets another random half, so no nonce is ever used twice under one key.
    assert len({*base, *channel_keys(byte(1), data, byte(4))}) == 4


def test_frame_layout_is_the_documented_one() -> None:
    client, enclave = _pair()
    for sequence, text in enumerate([b"one", b"", b"three"]):
        header = b"SRF1" + b"\x01" + bytes(3) + struct.pack(">QQ", 9, sequence)
        nonce = bytes(4) + struct.pack(">Q", sequence)
        by_hand = header + AESGCM(KEYS[0]).encrypt(nonce, text, header)
        assert client.seal(text) == by_hand
        assert enclave.open(by_hand) == text
    header = b"SRF1" + b"\x02" + bytes(3) + struct.pack(">QQ", 9, 0)
    by_hand = header + AESGCM(KEYS[1]).encrypt(bytes(12), b"back", header)
    assert enclave.seal(b"back") == by_hand
    assert client.open(by_hand) == b"back"


def _refused(channel: SealedChannel, frame: bytes, code: Code) -> None:
    with pytest.raises(WireError) as caught:
        channel.open(frame)
    assert caught.value.code is code


def test_replay_reorder_and_gap_are_refused_and_change_nothing() -> None:
    client, enclave = _pair()
    first, second, third = (client.seal(text) for text in (b"1", b"2", b"3"))
    _refused(enclave, second, Code.BAD_SEQUENCE)
    assert enclave.open(first) == b"1"
    _refused(enclave, first, Code.BAD_SEQUENCE)
    _refused(enclave, third, Code.BAD_SEQUENCE)
    assert enclave.open(second) == b"2"
    assert enclave.open(third) == b"3"
    _refused(enclave, first, Code.BAD_SEQUENCE)


def test_a_frame_is_not_taken_back_by_its_sender() -> None:
    client, enclave = _pair()
    _refused(client, client.seal(b"reflected"), Code.MALFORMED)
    _refused(enclave, enclave.seal(b"reflected"), Code.MALFORMED)


def test_direction_is_kept_by_the_key_as_well_as_the_header() -> None:
    client, _ = _pair()
    frame = bytearray(client.seal(b"reflected"))
    frame[4] = Direction.FROM_ENCLAVE
    _refused(client, bytes(frame), Code.BAD_SIGNATURE)
    # Even with one key for both ways the associated data would tell them apart.
    one = (KEYS[0], KEYS[0])
    client = SealedChannel(9, one, Direction.TO_ENCLAVE)
    frame = bytearray(client.seal(b"reflected"))
    frame[4] = Direction.FROM_ENCLAVE
    _refused(client, bytes(frame), Code.BAD_SIGNATURE)


def test_a_frame_of_another_channel_is_refused() -> None:
    client, _ = _pair(8)
    _, enclave = _pair(9)
    frame = client.seal(b"x")
    _refused(enclave, frame, Code.MALFORMED)
    renamed = frame[:8] + struct.pack(">Q", 9) + frame[16:]
    _refused(enclave, renamed, Code.BAD_SIGNATURE)


def test_other_keys_are_refused() -> None:
    client, _ = _pair()
    other = SealedChannel(9, (byte(0x53), KEYS[1]), Direction.FROM_ENCLAVE)
    _refused(other, client.seal(b"x"), Code.BAD_SIGNATURE)


def test_no_bit_of_a_frame_is_spare() -> None:
    client, enclave = _pair()
    frame = client.seal(b"intent")
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            enclave.open(bytes(flipped))
    assert enclave.open(frame) == b"intent"  # none of those attempts moved the channel


def test_every_cut_of_a_frame_is_refused() -> None:
    client, enclave = _pair()
    frame = client.seal(b"")
    assert len(frame) == 40
    for cut in range(len(frame)):
        _refused(enclave, frame[:cut], Code.MALFORMED)
    _refused(enclave, frame + b"\x00", Code.BAD_SIGNATURE)
    long = client.seal(b"later")
    assert enclave.open(frame) == b""
    for cut in range(40, len(long)):
        _refused(enclave, long[:cut], Code.BAD_SIGNATURE)
    assert enclave.open(long) == b"later"


def test_size_limits() -> None:
    client, enclave = _pair()
    most = bytes(MAX_FRAME - 40)
    with pytest.raises(TooLarge):
        client.seal(most + b"\x00")
    frame = client.seal(most)  # the refused one used up no sequence number
    assert len(frame) == MAX_FRAME
    with pytest.raises(TooLarge):
        enclave.open(frame + b"\x00")
    assert enclave.open(frame) == most


@pytest.mark.parametrize("length", [0, 4, 107, 109, 179, 181])
def test_openings_have_one_length(length: int) -> None:
    data = (b"SRC1" + bytes(300))[:length]
    for parse in (ChannelOpen.parse, ChannelOpened.parse):
        with pytest.raises(Malformed):
            parse(data)


@pytest.mark.parametrize("magic", [b"SRC0", b"SRF1", b"src1", bytes(4)])
def test_openings_have_one_magic(magic: bytes) -> None:
    with pytest.raises(Malformed):
        ChannelOpen.parse(magic + opening().serialise()[4:])
    with pytest.raises(Malformed):
        ChannelOpened.parse(magic + opened().serialise()[4:])


@pytest.mark.parametrize(
    "flawed",
    [
        replace(opening(), client=byte(1, 31)),
        replace(opening(), client=byte(1, 33), sealed=byte(2, 79)),  # the sum is right
        replace(opening(), sealed=byte(2, 81), signature=byte(3, 63)),
        replace(opening(), signature=b""),
        replace(opened(), random=byte(1, 31), signature=byte(2, 65)),
        replace(opened(), random=byte(1, 33)),
        replace(opened(), channel=-1),
        replace(opened(), channel=2**64),
    ],
)
def test_a_flawed_opening_is_never_sent(flawed: ChannelOpen | ChannelOpened) -> None:
    with pytest.raises(WireError):
        flawed.serialise()


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(max_size=200), max_size=8))
def test_conversations_round_trip(channel: int, texts: list[bytes]) -> None:
    client, enclave = _pair(channel)
    for text in texts:
        assert enclave.open(client.seal(text)) == text
        assert client.open(enclave.seal(text[::-1])) == text[::-1]


def test_the_two_refusals_are_typed() -> None:
    client, enclave = _pair()
    frame = client.seal(b"x")
    with pytest.raises(Refused) as caught:
        enclave.open((other := frame[:16] + struct.pack(">Q", 5)) + frame[24:])
    assert (caught.value.expected, caught.value.actual) == (frame[:24], other)
