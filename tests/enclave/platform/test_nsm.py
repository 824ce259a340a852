"""Requests leave in the exact bytes of the NSM's API, and only exact answers are taken."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.platform import PlatformError
from strongroom_enclave.platform.nsm import (
    MAX_RESPONSE,
    MalformedResponse,
    NsmError,
    NsmPlatform,
    Transport,
)

VALUE = bytes(range(48))

Call = Callable[[NsmPlatform], object]

# Written out by hand from the API: 0xA0+n map, 0x60+n text, 0x40+n bytes, 0x58 nn longer bytes,
# 0x18 nn integer of 8 bits, F6 null, F5 true.
GOLDEN: dict[str, tuple[Call, bytes, bytes, object]] = {
    "attest": (
        lambda p: p.attest(b"\x01\x02", b"\x03"),
        b"\xa1\x6bAttestation\xa3\x69user_data\x42\x01\x02\x65nonce\x41\x03\x6apublic_key\xf6",
        b"\xa1\x6bAttestation\xa1\x68document\x43\xaa\xbb\xcc",
        b"\xaa\xbb\xcc",
    ),
    "random": (
        lambda p: p.random(3),
        b"\x69GetRandom",
        b"\xa1\x69GetRandom\xa1\x66random\x59\x01\x00" + bytes(range(256)),
        b"\x00\x01\x02",
    ),
    "extend": (
        lambda p: p.extend(16, b"\xab\xcd"),
        b"\xa1\x69ExtendPCR\xa2\x65index\x10\x64data\x42\xab\xcd",
        b"\xa1\x69ExtendPCR\xa1\x64data\x58\x30" + VALUE,
        VALUE,
    ),
    "lock": (
        lambda p: p.lock(32),
        b"\xa1\x68LockPCRs\xa1\x65range\x18\x20",
        b"\x68LockPCRs",
        None,
    ),
}
EVERY_CALL = pytest.mark.parametrize("name", GOLDEN)


def answering(answer: bytes) -> NsmPlatform:
    return NsmPlatform(lambda request: answer)


def refused(name: str, answer: bytes) -> None:
    with pytest.raises(MalformedResponse):
        GOLDEN[name][0](answering(answer))


@EVERY_CALL
def test_request_and_answer_bytes(name: str) -> None:
    call, request, answer, result = GOLDEN[name]
    sent: list[bytes] = []

    def transport(data: bytes) -> bytes:
        sent.append(data)
        return answer

    platform = NsmPlatform(transport)
    assert call(platform) == result
    assert sent == [request]


@EVERY_CALL
def test_every_truncation_is_refused(name: str) -> None:
    answer = GOLDEN[name][2]
    for size in range(len(answer)):
        refused(name, answer[:size])


@EVERY_CALL
@pytest.mark.parametrize("tail", [b"\x00", b"\xf6", b"\xff"])
def test_bytes_after_the_answer_are_refused(name: str, tail: bytes) -> None:
    refused(name, GOLDEN[name][2] + tail)


@EVERY_CALL
def test_open_length_maps_are_read(name: str) -> None:
    # AWS's documents went from definite to open lengths in 2025; its answers may.
    call, _, answer, result = GOLDEN[name]
    item = cbor2.loads(answer)
    assert call(answering(cbor2.dumps(item, indefinite_containers=True))) == result


BODIES = {
    "attest": "Attestation",
    "random": "GetRandom",
    "extend": "ExtendPCR",
}
EVERY_BODY = pytest.mark.parametrize("name", BODIES)


@EVERY_BODY
def test_a_key_twice_is_refused(name: str) -> None:
    answer = GOLDEN[name][2]
    key = 1 + 1 + len(BODIES[name])  # one-entry map, then the text
    assert answer[0] == 0xA1
    refused(name, b"\xa2" + answer[1:] + answer[1:])
    body = answer[key:]
    assert body[0] in (0xA1, 0xA2)
    refused(name, answer[:key] + bytes([2 * body[0] - 0xA0]) + body[1:] + body[1:])


@EVERY_BODY
def test_other_keys_are_refused(name: str) -> None:
    good = cbor2.loads(GOLDEN[name][2])
    command = BODIES[name]
    fields = good[command]
    first = next(iter(fields))
    wrongs: tuple[object, ...] = (
        {**good, "Error": "InternalError"},
        {**good, "more": 1},
        {command: {**fields, "more": 1}},
        {command: {k: v for k, v in fields.items() if k != first}},
        {command: {}},
        {command: None},
        {command: list(fields.values())},
        {command.lower(): fields},
        {command.encode(): fields},
        {},
        fields,
        command,
        None,
        [good],
    )
    for wrong in wrongs:
        refused(name, cbor2.dumps(wrong))


@EVERY_BODY
@pytest.mark.parametrize("value", [None, 7, 1.5, "text", [1], {"a": 1}, True, b""])
def test_fields_of_another_type_are_refused(name: str, value: object) -> None:
    fields = cbor2.loads(GOLDEN[name][2])[BODIES[name]]
    for key, good in fields.items():
        if type(good) is not type(value):
            refused(name, cbor2.dumps({BODIES[name]: {**fields, key: value}}))


@pytest.mark.parametrize("name", ["extend"])
@pytest.mark.parametrize("size", [0, 32, 47, 49, 64])
def test_registers_have_48_bytes(name: str, size: int) -> None:
    fields = cbor2.loads(GOLDEN[name][2])[BODIES[name]]
    refused(name, cbor2.dumps({BODIES[name]: {**fields, "data": bytes(size)}}))


@pytest.mark.parametrize("size", [0, 257])
def test_random_blocks_have_1_to_256_bytes(size: int) -> None:
    # An empty block accepted would ask for ever.
    refused("random", cbor2.dumps({"GetRandom": {"random": bytes(size)}}))


def test_an_empty_document_is_refused() -> None:
    refused("attest", cbor2.dumps({"Attestation": {"document": b""}}))


@pytest.mark.parametrize("answer", ["LockPCR", "lockpcrs", b"LockPCRs", True, None, ["LockPCRs"]])
def test_lock_takes_its_own_name_only(answer: object) -> None:
    refused("lock", cbor2.dumps(answer))


ERRORS = [
    "InvalidArgument", "InvalidIndex", "InvalidResponse", "ReadOnlyIndex", "InvalidOperation",
    "BufferTooSmall", "InputTooLarge", "InternalError",
]  # fmt: skip


@EVERY_CALL
@pytest.mark.parametrize("code", ERRORS)
def test_error_answers_carry_their_name(name: str, code: str) -> None:
    with pytest.raises(NsmError) as caught:
        GOLDEN[name][0](answering(cbor2.dumps({"Error": code})))
    assert caught.value.actual == code


@EVERY_CALL
@pytest.mark.parametrize(
    "error",
    [
        {"Error": "Unheard"},
        {"Error": "Success"},
        {"Error": 3},
        {"Error": ["InternalError"]},
        {"Error": None},
        {"error": "InternalError"},
        "Error",
    ],
)
def test_other_errors_are_malformed(name: str, error: object) -> None:
    refused(name, cbor2.dumps(error))


@pytest.mark.parametrize("n", [1, 255, 256, 257, 600])
def test_random_concatenates_blocks(n: int) -> None:
    blocks = iter(bytes([block]) * 256 for block in range(5))
    platform = NsmPlatform(lambda _: cbor2.dumps({"GetRandom": {"random": next(blocks)}}))
    expected = b"".join(bytes([block]) * 256 for block in range(3))[:n]
    assert platform.random(n) == expected


@pytest.mark.parametrize("index", range(32))
def test_indexes_take_8_bits_at_most(index: int) -> None:
    seen: list[bytes] = []

    def transport(request: bytes) -> bytes:
        seen.append(request)
        return b"\x68LockPCRs"

    NsmPlatform(transport).lock(index + 1)
    encoded = bytes([index + 1]) if index < 23 else bytes([0x18, index + 1])
    assert seen[0].endswith(b"range" + encoded)


def test_an_answer_over_the_limit_is_refused() -> None:
    overhead = len(cbor2.dumps({"Attestation": {"document": bytes(300)}})) - 300
    for more, fits in ((0, True), (1, False)):
        document = bytes(MAX_RESPONSE - overhead + more)
        answer = cbor2.dumps({"Attestation": {"document": document}})
        if fits:
            assert answering(answer).attest(b"", b"") == document
        else:
            refused("attest", answer)


# --- time -----------------------------------------------------------------------------------------

NOW = 1_795_224_926_522


def clock(make: Callable[[bytes], object]) -> NsmPlatform:
    """A module that answers Attestation with what `make` builds around the nonce asked for."""

    def transport(request: bytes) -> bytes:
        fields = cbor2.loads(request)["Attestation"]
        assert fields["user_data"] == b""
        document = make(fields["nonce"])
        encoded = document if isinstance(document, bytes) else cbor2.dumps(document)
        return cbor2.dumps({"Attestation": {"document": encoded}})

    return NsmPlatform(transport)


def payload(nonce: bytes, /, **change: object) -> bytes:
    fields = {
        "module_id": "i-0-enc0",
        "timestamp": NOW,
        "pcrs": {0: VALUE, 16: VALUE},
        "cabundle": [b"a", b"b"],
        "nonce": nonce,
        **change,
    }
    return cbor2.dumps({key: value for key, value in fields.items() if value != "absent"})


def sign1(body: object) -> list[object]:
    return [b"\xa1\x01\x38\x22", {}, body, bytes(96)]


def test_time_is_the_documents_timestamp() -> None:
    assert clock(lambda nonce: sign1(payload(nonce))).now_ms() == NOW


def test_time_of_a_tagged_document() -> None:
    assert clock(lambda nonce: cbor2.CBORTag(18, sign1(payload(nonce)))).now_ms() == NOW


def test_every_question_for_time_has_its_own_nonce() -> None:
    nonces: list[bytes] = []

    def document(nonce: bytes) -> object:
        nonces.append(nonce)
        return sign1(payload(nonce))

    platform = clock(document)
    for _ in range(8):
        platform.now_ms()
    assert len(set(nonces)) == 8
    assert {len(nonce) for nonce in nonces} == {16}


@pytest.mark.parametrize(
    "make",
    [
        lambda nonce: sign1(payload(bytes(16))),
        lambda nonce: sign1(payload(nonce, nonce=None)),
        lambda nonce: sign1(payload(nonce, nonce="absent")),
        lambda nonce: sign1(payload(nonce[:-1])),
        lambda nonce: sign1(payload(nonce, timestamp="absent")),
        lambda nonce: sign1(payload(nonce, timestamp=str(NOW))),
        lambda nonce: sign1(payload(nonce, timestamp=float(NOW))),
        lambda nonce: sign1(payload(nonce, timestamp=True)),
        lambda nonce: sign1(payload(nonce, timestamp=0)),
        lambda nonce: sign1(payload(nonce, timestamp=-NOW)),
        lambda nonce: sign1(payload(nonce, timestamp=NOW // 1000)),
        lambda nonce: sign1(payload(nonce, timestamp=NOW * 1000)),
        lambda nonce: sign1(payload(nonce, timestamp=1 << 63)),
        lambda nonce: sign1(payload(nonce) + b"\x00"),
        lambda nonce: sign1(payload(nonce)[:-1]),
        lambda nonce: sign1(b"\xa2" + b"\x69timestamp\x01" * 2),
        lambda nonce: sign1(b"\x80"),
        lambda nonce: sign1({"nonce": nonce, "timestamp": NOW}),
        lambda nonce: sign1(payload(nonce))[:3],
        lambda nonce: [*sign1(payload(nonce)), b""],
        lambda nonce: cbor2.CBORTag(17, sign1(payload(nonce))),
        lambda nonce: {2: payload(nonce)},
        lambda nonce: payload(nonce),
        lambda nonce: cbor2.dumps(sign1(payload(nonce))) + b"\x00",
        lambda nonce: b"\xff",
    ],
)
def test_other_documents_give_no_time(make: Callable[[bytes], object]) -> None:
    with pytest.raises(MalformedResponse):
        clock(make).now_ms()


def signed(signature: object) -> Callable[[bytes], object]:
    return lambda nonce: [*sign1(payload(nonce))[:3], signature]


def test_memory_is_taken_for_copied_where_nobody_signs_documents() -> None:
    for size in (0, 64, 96):  # QEMU's module writes 64 zeros
        assert clock(signed(bytes(size))).copyable()
    assert not clock(signed(b"\0" * 95 + b"\1")).copyable()
    assert not clock(lambda nonce: cbor2.CBORTag(18, signed(b"\1" * 96)(nonce))).copyable()
    for other in (signed(None), signed("text"), lambda nonce: sign1(payload(nonce))[:3]):
        with pytest.raises(MalformedResponse):
            clock(other).copyable()


def test_an_answer_late_by_one_gives_no_time() -> None:
    late: list[bytes] = []

    def transport(request: bytes) -> bytes:
        nonce = cbor2.loads(request)["Attestation"]["nonce"]
        late.append(cbor2.dumps({"Attestation": {"document": cbor2.dumps(sign1(payload(nonce)))}}))
        return late[-2] if len(late) > 1 else late[0]

    platform = NsmPlatform(transport)
    assert platform.now_ms() == NOW
    with pytest.raises(MalformedResponse):
        platform.now_ms()


# --- nothing but our own errors -------------------------------------------------------------------


def only_platform_errors(transport: Transport) -> None:
    platform = NsmPlatform(transport)
    calls: list[Call] = [call for call, *_ in GOLDEN.values()]
    for call in (*calls, NsmPlatform.now_ms):
        with suppress(PlatformError):
            call(platform)


items = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.binary(max_size=300)
    | st.text(max_size=12)
    | st.sampled_from(["Error", "LockPCRs", "GetRandom", "random", "document", "data", "lock"])
    | st.sampled_from(ERRORS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*BODIES.values(), "Error", "random", "document", "data", "lock"])
            | st.integers(),
            inner,
            max_size=3,
        )
        | st.builds(cbor2.CBORTag, st.integers(0, 300), inner)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=400))
def test_any_bytes_raise_platform_errors_only(answer: bytes) -> None:
    only_platform_errors(lambda request: answer)


def test_whatever_the_decoder_raises_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise OverflowError

    monkeypatch.setattr(cbor2, "CBORDecoder", broken)
    refused("lock", GOLDEN["lock"][2])


def encoded(item: Any) -> bytes:
    try:
        return cbor2.dumps(item)
    except cbor2.CBOREncodeError:
        return b""


@given(items)
def test_any_item_raises_platform_errors_only(item: object) -> None:
    answer = encoded(item)
    only_platform_errors(lambda request: answer)


@given(items, items)
def test_any_document_raises_platform_errors_only(outer: object, inner: object) -> None:
    documents = [encoded(outer), encoded([b"", {}, encoded(inner), b""])]
    for document in documents:
        answer = cbor2.dumps({"Attestation": {"document": document}})
        only_platform_errors(lambda request, answer=answer: answer)  # type: ignore[misc]


@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_any_flipped_bit_is_another_value_or_refused(name: str, data: st.DataObject) -> None:
    call, _, answer, _ = GOLDEN[name]
    at = data.draw(st.integers(0, 8 * len(answer) - 1))
    flipped = bytearray(answer)
    flipped[at // 8] ^= 1 << at % 8
    with suppress(PlatformError):
        call(answering(bytes(flipped)))


def test_secret_bytes_stay_out_of_messages() -> None:
    secret = b"SECRET" * 60
    with pytest.raises(MalformedResponse) as caught:
        answering(cbor2.dumps({"GetRandom": {"random": secret}})).random(1)
    assert "SECRET" not in str(caught.value)
