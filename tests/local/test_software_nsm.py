"""The software NSM's rules: registers, limits, error names, and an answer to everything."""

import hashlib
import threading

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from strongroom_enclave.platform.nsm import NsmError
from strongroom_local import nsm as module
from strongroom_local.measure import DEBUG
from strongroom_local.nsm import MAX_REQUEST, MAX_RESPONSE, Parent, SoftwareNsm

from tests.local.nitro import (
    MEASURED,
    ROOT,
    Described,
    ask,
    attestation,
    document,
    launch,
    payload,
    refusal,
)

ZERO = bytes(48)


def sha384(*parts: bytes) -> bytes:
    return hashlib.sha384(b"".join(parts)).digest()


def values(nsm: SoftwareNsm) -> list[bytes]:
    platform = Described(nsm.handle)
    return [platform.describe(index)[1] for index in range(32)]


def locks(nsm: SoftwareNsm) -> list[bool]:
    platform = Described(nsm.handle)
    return [platform.describe(index)[0] for index in range(32)]


# --- launch ---------------------------------------------------------------------------------------


def test_registers_at_the_launch() -> None:
    parent = Parent("arn:aws:iam::123456789012:role/x", "i-0123456789abcdef0")
    nsm = launch(parent=parent)
    expected = [
        MEASURED.pcr0,
        MEASURED.pcr1,
        MEASURED.pcr2,
        sha384(ZERO, b"arn:aws:iam::123456789012:role/x"),
        sha384(ZERO, b"i-0123456789abcdef0"),
        *[ZERO] * 27,
    ]
    assert values(nsm) == expected
    assert locks(nsm) == [True] * 16 + [False] * 16


def test_a_debug_launch_reports_zero_but_keeps_role_and_instance() -> None:
    nsm = SoftwareNsm(ROOT, DEBUG)
    assert values(nsm)[:3] == [ZERO] * 3
    assert ZERO not in values(nsm)[3:5]


def test_instance_ids_are_as_aws_gives_them() -> None:
    with pytest.raises(ValueError, match="17 hex"):
        Parent(instance_id="i-1234")


def test_every_launch_is_another_module() -> None:
    names = {ask(launch(), "DescribeNSM")["DescribeNSM"]["module_id"] for _ in range(4)}
    assert len(names) == 4
    assert all(name.startswith("i-00000000000000000-enc") for name in names)


def test_describe_nsm() -> None:
    nsm = launch()
    Described(nsm.handle).lock(18)
    answer = ask(nsm, "DescribeNSM")["DescribeNSM"]
    assert list(answer) == [
        "version_major",
        "version_minor",
        "version_patch",
        "module_id",
        "max_pcrs",
        "locked_pcrs",
        "digest",
    ]
    assert answer["max_pcrs"] == 32
    assert answer["locked_pcrs"] == list(range(18))
    assert answer["digest"] == "SHA384"


# --- registers ------------------------------------------------------------------------------------


def test_extend_follows_the_formula() -> None:
    platform = Described(launch().handle)
    first = platform.extend(16, b"one")
    assert first == sha384(ZERO, b"one")
    assert platform.extend(16, b"two") == sha384(first, b"two")
    assert platform.describe(16) == (False, sha384(first, b"two"))
    assert platform.describe(17) == (False, ZERO)


@pytest.mark.parametrize("index", range(16))
def test_launch_registers_cannot_be_extended(index: int) -> None:
    nsm = launch()
    with pytest.raises(NsmError) as caught:
        Described(nsm.handle).extend(index, b"x")
    assert caught.value.actual == "ReadOnlyIndex"
    assert values(nsm) == values(launch())


def test_a_locked_register_keeps_its_value() -> None:
    platform = Described(launch().handle)
    value = platform.extend(16, b"manifest")
    platform.lock(32)
    for index in range(32):
        with pytest.raises(NsmError) as caught:
            platform.extend(index, b"more")
        assert caught.value.actual == "ReadOnlyIndex"
    assert platform.describe(16) == (True, value)


def test_a_range_ends_before_its_number() -> None:
    nsm = launch()
    Described(nsm.handle).lock(17)
    assert locks(nsm) == [True] * 17 + [False] * 15
    Described(nsm.handle).lock(4)
    assert locks(nsm) == [True] * 17 + [False] * 15


def test_one_register_can_be_locked_once() -> None:
    nsm = launch()
    assert ask(nsm, {"LockPCR": {"index": 20}}) == "LockPCR"
    assert locks(nsm) == [index < 16 or index == 20 for index in range(32)]
    assert refusal(nsm, {"LockPCR": {"index": 20}}) == "ReadOnlyIndex"
    assert refusal(nsm, {"LockPCR": {"index": 0}}) == "ReadOnlyIndex"


def test_documents_carry_locked_registers_only() -> None:
    nsm = launch()
    ask(nsm, {"ExtendPCR": {"index": 17, "data": b"x"}})
    assert list(payload(document(nsm))["pcrs"]) == list(range(16))
    ask(nsm, {"LockPCR": {"index": 17}})
    assert list(payload(document(nsm))["pcrs"]) == [*range(16), 17]
    assert payload(document(nsm))["pcrs"][17] == sha384(ZERO, b"x")


class Registers(RuleBasedStateMachine):
    """The module against a model of two lists, through the enclave's own client."""

    indexes = st.integers(0, 31)

    @initialize()
    def boot(self) -> None:
        self.nsm = launch()
        self.platform = Described(self.nsm.handle)
        self.values = values(launch())
        self.locked = [index < 16 for index in range(32)]

    @rule(index=indexes, data=st.binary(max_size=100))
    def extend(self, index: int, data: bytes) -> None:
        if self.locked[index]:
            self.refused("ReadOnlyIndex", {"ExtendPCR": {"index": index, "data": data}})
        else:
            self.values[index] = sha384(self.values[index], data)
            assert self.platform.extend(index, data) == self.values[index]

    @rule(index=indexes)
    def lock_one(self, index: int) -> None:
        if self.locked[index]:
            self.refused("ReadOnlyIndex", {"LockPCR": {"index": index}})
        else:
            assert ask(self.nsm, {"LockPCR": {"index": index}}) == "LockPCR"
            self.locked[index] = True

    @rule(upto=st.integers(1, 20) | st.integers(1, 32))
    def lock_range(self, upto: int) -> None:
        self.platform.lock(upto)
        self.locked = [locked or index < upto for index, locked in enumerate(self.locked)]

    @rule(index=st.integers(32, 255), command=st.sampled_from(["DescribePCR", "LockPCR"]))
    def out_of_range(self, index: int, command: str) -> None:
        self.refused("InvalidIndex", {command: {"index": index}})
        self.refused("InvalidIndex", {"ExtendPCR": {"index": index, "data": b""}})
        self.refused("InvalidIndex", {"LockPCRs": {"range": index + 1 if index < 255 else 99}})

    @rule(request=st.binary(max_size=30))
    def noise(self, request: bytes) -> None:
        self.nsm.handle(b"\xa1\x69ExtendPCR" + request)

    def refused(self, code: str, request: object) -> None:
        assert refusal(self.nsm, request) == code

    @invariant()
    def agrees_with_the_model(self) -> None:
        if hasattr(self, "nsm"):
            described = [self.platform.describe(index) for index in range(32)]
            assert described == list(zip(self.locked, self.values, strict=True))

    def teardown(self) -> None:
        if hasattr(self, "nsm"):
            shown = {i: value for i, value in enumerate(self.values) if self.locked[i]}
            assert payload(document(self.nsm))["pcrs"] == shown


def test_registers_behave_as_the_model() -> None:
    run_state_machine_as_test(Registers, settings=settings(stateful_step_count=30))


# --- random ---------------------------------------------------------------------------------------


def test_random_gives_256_new_bytes() -> None:
    nsm = launch()
    blocks = {ask(nsm, "GetRandom")["GetRandom"]["random"] for _ in range(4)}
    assert {len(block) for block in blocks} == {256}
    assert len(blocks) == 4


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_item", "name"),
    [
        ({"DescribePCR": {"index": 32}}, "InvalidIndex"),
        ({"DescribePCR": {"index": 255}}, "InvalidIndex"),
        ({"DescribePCR": {"index": 256}}, "InvalidArgument"),
        ({"DescribePCR": {"index": -1}}, "InvalidArgument"),
        ({"DescribePCR": {"index": True}}, "InvalidArgument"),
        ({"DescribePCR": {"index": "1"}}, "InvalidArgument"),
        ({"DescribePCR": {}}, "InvalidArgument"),
        ({"DescribePCR": {"index": 1, "more": 1}}, "InvalidArgument"),
        ({"DescribePCR": 1}, "InvalidArgument"),
        ({"DescribePCR": None}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 32, "data": b""}}, "InvalidIndex"),
        ({"ExtendPCR": {"index": 0, "data": b""}}, "ReadOnlyIndex"),
        ({"ExtendPCR": {"index": 16, "data": "x"}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": None}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16}}, "InvalidArgument"),
        ({"LockPCR": {"index": 32}}, "InvalidIndex"),
        ({"LockPCR": {"range": 3}}, "InvalidArgument"),
        ({"LockPCRs": {"range": 33}}, "InvalidIndex"),
        ({"LockPCRs": {"range": -1}}, "InvalidArgument"),
        ({"LockPCRs": {"index": 3}}, "InvalidArgument"),
        ({"Attestation": {}}, "InvalidArgument"),
        ({"Attestation": {"user_data": None, "nonce": None}}, "InvalidArgument"),
        (attestation("text"), "InvalidArgument"),
        (attestation(None, 1), "InvalidArgument"),
        (attestation(None, None, 1.5), "InvalidArgument"),
        (attestation(None, None, [b""]), "InvalidOperation"),  # deeper than any request
        (attestation(bytes(1025)), "InputTooLarge"),
        (attestation(None, bytes(1025)), "InputTooLarge"),
        (attestation(None, None, bytes(1025)), "InputTooLarge"),
        ("Attestation", "InvalidOperation"),
        ("DescribePCR", "InvalidOperation"),
        ({"GetRandom": None}, "InvalidOperation"),
        ({"DescribeNSM": {}}, "InvalidOperation"),
        ({"describepcr": {"index": 1}}, "InvalidOperation"),
        ({"DescribePCR": {"index": 1}, "LockPCR": {"index": 1}}, "InvalidOperation"),
        ({b"DescribePCR": {"index": 1}}, "InvalidOperation"),
        ({}, "InvalidOperation"),
        ([], "InvalidOperation"),
        (None, "InvalidOperation"),
        (7, "InvalidOperation"),
        ("", "InvalidOperation"),
    ],
)
def test_refusals(request_item: object, name: str) -> None:
    nsm = launch()
    assert refusal(nsm, request_item) == name
    assert values(nsm) == values(launch())
    assert locks(nsm) == locks(launch())


LOCK = b"\xa1\x68LockPCRs\xa1\x65range"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\xff",
        b"\x69GetRando",
        b"\x69GetRandom\x00",
        b"\x78\x09GetRandom",
        b"\x7f\x69GetRandom\xff",
        LOCK,
        LOCK + b"\x11\x00",
        LOCK + b"\x18\x11",
        LOCK + b"\x19\x00\x11",
        LOCK + b"\x1a\x00\x00\x00\x11",
        LOCK + b"\xc2\x41\x11",
        b"\xbf\x68LockPCRs\xa1\x65range\x11\xff",
        b"\xa1\x68LockPCRs\xa2\x65range\x11\x65range\x12",
        b"\xa2" + LOCK[1:] + b"\x11" + LOCK[1:] + b"\x11",
        b"\xa1\x68LockPCRs" + b"\x81" * 60 + b"\x00",
    ],
)
def test_only_the_shortest_definite_encoding_is_a_request(request_bytes: bytes) -> None:
    nsm = launch()
    assert cbor2.loads(nsm.handle(request_bytes)) == {"Error": "InvalidOperation"}
    assert locks(nsm) == locks(launch())
    assert nsm.handle(LOCK + b"\x11") == b"\x68LockPCRs"


def test_requests_have_4096_bytes_at_most() -> None:
    nsm = launch()
    overhead = len(cbor2.dumps({"ExtendPCR": {"index": 16, "data": bytes(300)}})) - 300
    data = bytes(MAX_REQUEST - overhead)
    assert ask(nsm, {"ExtendPCR": {"index": 16, "data": data}})["ExtendPCR"]
    before = values(nsm)
    assert refusal(nsm, {"ExtendPCR": {"index": 16, "data": data + b"\x00"}}) == "InputTooLarge"
    assert values(nsm) == before


def test_the_largest_document_fits() -> None:
    nsm = launch()
    Described(nsm.handle).lock(32)
    answer = nsm.handle(cbor2.dumps(attestation(bytes(1024), bytes(1024), bytes(1024))))
    assert len(cbor2.loads(answer)["Attestation"]["document"]) > 7000
    assert len(answer) < MAX_RESPONSE


def test_an_answer_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nsm = launch()
    monkeypatch.setattr(module, "MAX_RESPONSE", len(nsm.handle(b"\x69GetRandom")) - 1)
    assert refusal(nsm, "GetRandom") == "BufferTooSmall"


def test_a_failure_inside_is_an_error_answer(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> int:
        raise RuntimeError("no clock")

    nsm = launch(clock_ms=broken)
    assert refusal(nsm, attestation()) == "InternalError"
    assert "no clock" in caplog.text
    assert ask(nsm, "DescribeNSM")["DescribeNSM"]["max_pcrs"] == 32


def test_requests_of_two_threads_are_served_in_turn() -> None:
    seen: list[bool] = []

    def slow() -> int:
        other.start()
        other.join(0.1)
        seen.append(other.is_alive())  # it waits until this document is made
        return 1_795_000_000_000

    nsm = launch(clock_ms=slow)
    other = threading.Thread(target=nsm.handle, args=(b"\x69GetRandom",))
    document(nsm)
    other.join()
    assert seen == [True]


# --- an answer to everything ----------------------------------------------------------------------

REGISTER_COMMANDS = ["DescribePCR", "ExtendPCR", "LockPCR", "LockPCRs"]
COMMANDS = [*REGISTER_COMMANDS, "DescribeNSM", "GetRandom", "Attestation"]
FIELDS = ["index", "data", "range", "user_data", "nonce", "public_key"]
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.integers(0, 40)
    | st.floats()
    | st.binary(max_size=40)
    | st.text(max_size=8)
    | st.sampled_from(COMMANDS)
)
items = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(COMMANDS), inner, max_size=2)
        | st.dictionaries(st.sampled_from(FIELDS) | st.integers(), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.integers(0, 300), inner)
    ),
    max_leaves=8,
)


def answered(request: bytes) -> None:
    answer = cbor2.loads(launch().handle(request))
    if isinstance(answer, dict):
        (name,) = answer
        assert name in (*COMMANDS, "Error")
        if name == "Error":
            assert answer["Error"] in {
                "InvalidArgument", "InvalidIndex", "ReadOnlyIndex", "InvalidOperation",
                "BufferTooSmall", "InputTooLarge",
            }  # fmt: skip
    else:
        assert answer in ("LockPCR", "LockPCRs")


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(request_bytes: bytes) -> None:
    answered(request_bytes)


@given(items)
def test_any_item_is_answered(item: object) -> None:
    try:
        request = cbor2.dumps(item)
    except cbor2.CBOREncodeError:
        return
    answered(request)


@given(
    st.sampled_from(
        [
            {"ExtendPCR": {"index": 16, "data": b"abc"}},
            {"LockPCRs": {"range": 32}},
            attestation(b"abc", b"def", None),
            "GetRandom",
        ]
    ),
    st.data(),
)
def test_any_flipped_bit_is_answered(item: object, data: st.DataObject) -> None:
    request = bytearray(cbor2.dumps(item))
    at = data.draw(st.integers(0, 8 * len(request) - 1))
    request[at // 8] ^= 1 << at % 8
    answered(bytes(request))
