"""Leaves, their public parts, records and commitments: layout by hand, one flaw at a time."""

from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.contract.openings import WrongOpening, record_in
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import Code, Malformed, Rule, TooLarge, WireError
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import (
    MAX_LEAF,
    Boot,
    Decision,
    Kind,
    Leaf,
    ModelDecision,
    commitment,
)
from strongroom_wire.statements import Action

from tests.wire.by_hand import flawed, laid_out
from tests.wire.samples import byte
from tests.wire.strategies import REPLIES
from tests.wire.test_encoding import packed

LEAF, BOOT = b"strongroom/leaf/v2", b"strongroom/leaf/boot/v2"
DECISION, MODEL = b"strongroom/leaf/decision/v2", b"strongroom/leaf/model/v2"
TIME = 1_800_000_000_000
B32 = st.binary(min_size=32, max_size=32)
U64 = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(codec="ascii"), max_size=30)
HEADS = st.builds(LogHead, U64, B32)
BOOTS = st.builds(Boot, HEADS, B32, B32, B32, NAMES)
PUBLIC: dict[Kind, st.SearchStrategy[bytes]] = {
    Kind.BOOT: BOOTS.map(Boot.serialise),
    Kind.KEY: st.sampled_from(Action).map(lambda action: bytes([action])),
    Kind.DENIED: st.sampled_from(Rule).map(lambda rule: bytes([rule])),
    Kind.PERMIT: B32,
    Kind.SYNC: B32,
    Kind.RETURNS: B32,
}
LEAVES = st.sampled_from(Kind).flatmap(
    lambda kind: st.builds(Leaf, st.just(kind), B32, U64, U64, B32, PUBLIC.get(kind, st.just(b"")))
)
TOLD = REPLIES.map(lambda reply: msgspec.structs.replace(reply, request=b""))
CONTEXTS = st.just(b"") | st.binary(min_size=64, max_size=64)
MODELS = st.builds(ModelDecision, NAMES, B32, B32, B32)
DECISIONS = st.builds(Decision, NAMES, NAMES, B32, B32, U64, U64, CONTEXTS, TOLD)


def boot() -> Boot:
    """Return what a boot that continues seven leaves says of itself."""
    return Boot(LogHead(7, byte(1)), byte(2), byte(3), byte(4), "1.2.3")


def leaf(kind: Kind = Kind.SIGNED, public: bytes = b"") -> Leaf:
    """Return a leaf of that kind at index 7."""
    return Leaf(kind, byte(0x11), 7, TIME, commitment(OPENING), public)


def decision() -> Decision:
    """Return the record of two orders approved."""
    told = Reply(Code.OK, 9, order_hashes=(byte(5), byte(6)))
    context = byte(0x71) + byte(0x72)
    return Decision("main", "bot", byte(7), byte(8), 25_000_000, 2, context, told)


WITH_REQUEST, TOLD_OK = Reply(Code.OK, 1, request=b"x"), Reply(Code.OK, 1)
OPENING = byte(0x5A) + decision().serialise()


def test_leaf_layout_is_the_documented_one() -> None:
    fields = (byte(0x11), 7, TIME, commitment(OPENING))
    assert leaf().serialise() == laid_out(LEAF, [3, *fields, b""])
    denied = leaf(Kind.DENIED, b"\x06")
    assert denied.serialise() == laid_out(LEAF, [4, *fields, b"\x06"])
    assert (len(leaf().serialise()), len(denied.serialise())) == (106, 107)


def test_boot_layout_is_the_documented_one() -> None:
    fields = {
        "continued": {"size": 7, "root": byte(1)},
        "manifest_digest": byte(2),
        "keys_digest": byte(3),
        "permit_digest": byte(4),
        "version": "1.2.3",
    }
    by_hand = laid_out(BOOT, fields)
    assert boot().serialise() == by_hand
    assert Boot.parse(by_hand) == boot()


def test_decision_layout_is_the_documented_one() -> None:
    told = [0, 9, 0, 0, 0, 0, [byte(5), byte(6)], b"", b"", b""]
    numbers = (25_000_000, 2, byte(0x71) + byte(0x72), told)
    by_hand = laid_out(DECISION, ["main", "bot", byte(7), byte(8), *numbers])
    assert decision().serialise() == by_hand
    assert Decision.parse(by_hand) == decision()


def test_model_decision_layout_is_the_documented_one() -> None:
    fields = {"client": "bot", "model": byte(1), "inputs": byte(2), "output": byte(3)}
    by_hand = laid_out(MODEL, fields)
    assert ModelDecision("bot", byte(1), byte(2), byte(3)).serialise() == by_hand
    assert ModelDecision.parse(by_hand) == ModelDecision("bot", byte(1), byte(2), byte(3))


@given(MODELS)
def test_model_decisions_round_trip(made: ModelDecision) -> None:
    assert ModelDecision.parse(made.serialise()) == made


def test_flawed_model_decisions_are_neither_written_nor_read() -> None:
    parts = [byte(1), byte(2), byte(3)]
    for wrong in (
        ModelDecision("bot", b"", parts[1], parts[2]),
        ModelDecision("bot", parts[0], byte(2, 31), parts[2]),
        ModelDecision("bot", parts[0], parts[1], byte(3, 33)),
        ModelDecision("ä", parts[0], parts[1], parts[2]),
        ModelDecision("b" * 512, parts[0], parts[1], parts[2]),
    ):
        with pytest.raises(WireError):
            wrong.serialise()
    good = {"client": "bot", "model": byte(1), "inputs": byte(2), "output": byte(3)}
    for tree in (
        {},
        {**good, "more": b""},
        {**good, "client": "ä"},
        {**good, "client": b"bot"},
        {**good, "model": byte(1, 31)},
        {name: good[name] for name in good if name != "output"},
    ):
        with pytest.raises(Malformed):
            ModelDecision.parse(laid_out(MODEL, tree))


def test_published_kinds_keep_their_number() -> None:
    names = ["BOOT", "KEY", "SIGNED", "DENIED", "KILL", "PERMIT", "MODEL", "SYNC", "RETURNS"]
    found = [(kind.name, int(kind)) for kind in Kind]
    assert found == list(zip(names, range(1, 10), strict=True))


def test_commitment_is_the_documented_one() -> None:
    by_hand = packed(b"strongroom/leaf/commitment/v1", OPENING)
    assert commitment(OPENING) == sha256(by_hand).digest()


def test_a_leaf_gives_its_record_to_the_right_opening() -> None:
    assert record_in(leaf(), OPENING) == decision().serialise()
    assert record_in(Leaf(Kind.KILL, byte(1), 0, 0, commitment(byte(9))), byte(9)) == b""


def _wrong_openings() -> dict[str, bytes]:
    flipped = OPENING[:-1] + bytes([OPENING[-1] ^ 1])
    return {
        "another salt": byte(0x5B) + OPENING[32:],
        "another record": flipped,
        "cut": OPENING[:-1],
        "longer": OPENING + b"\x00",
        "the record alone": OPENING[32:],
        "nothing": b"",
    }


@pytest.mark.parametrize("opening", _wrong_openings().values(), ids=_wrong_openings())
def test_another_opening_is_refused(opening: bytes) -> None:
    with pytest.raises(WrongOpening):
        record_in(leaf(), opening)


def test_an_opening_without_a_whole_salt_is_refused_even_if_it_is_committed_to() -> None:
    short = byte(1, 31)
    with pytest.raises(WrongOpening):
        record_in(Leaf(Kind.KILL, byte(1), 0, 0, commitment(short)), short)


@given(LEAVES)
def test_leaves_round_trip(value: Leaf) -> None:
    data = value.serialise()
    assert Leaf.parse(data) == value
    assert Leaf.parse(data).serialise() == data == value.spelled()  # the log appends the last
    assert len(data) <= MAX_LEAF


@given(BOOTS)
def test_boots_round_trip(value: Boot) -> None:
    assert Boot.parse(value.serialise()) == value


@given(DECISIONS)
def test_decisions_round_trip(value: Decision) -> None:
    # The signer writes approvals as the last, unread: for values of the schema nothing is lost.
    assert Decision.parse(value.serialise()).serialise() == value.serialise() == value.spelled()


@given(LEAVES, LEAVES)
def test_two_leaves_never_have_the_same_bytes(one: Leaf, other: Leaf) -> None:
    assert (one == other) == (one.serialise() == other.serialise())


def _flawed_leaves() -> dict[str, bytes]:
    fixed = [byte(0x11), 7, TIME, commitment(OPENING)]

    def kind(number: int, public: bytes = b"") -> bytes:
        return laid_out(LEAF, [number, *fixed, public])

    started = boot().serialise()
    return {
        "nothing": b"",
        "no public field": laid_out(LEAF, [3, *fixed]),
        "a field more": laid_out(LEAF, [3, *fixed, b"", b""]),
        "an epoch of 31 bytes": laid_out(LEAF, [3, byte(1, 31), *fixed[1:], b""]),
        "a commitment of 33 bytes": laid_out(LEAF, [3, *fixed[:3], byte(1, 33), b""]),
        "an index below zero": laid_out(LEAF, [3, fixed[0], -1, *fixed[2:], b""]),
        "a time in text": laid_out(LEAF, [3, *fixed[:2], "7", fixed[3], b""]),
        "kind 0": kind(0),
        "kind 10": kind(10),
        "kind 259, the low byte good": kind(259),
        "signed with a public part": kind(Kind.SIGNED, b"\x00"),
        "kill with a public part": kind(Kind.KILL, byte(1)),
        "model with a public part": kind(Kind.MODEL, b"x"),
        "sync without a root": kind(Kind.SYNC),
        "sync with a root of 31 bytes": kind(Kind.SYNC, byte(1, 31)),
        "returns without a root": kind(Kind.RETURNS),
        "returns with a root of 33 bytes": kind(Kind.RETURNS, byte(1, 33)),
        "denied without a rule": kind(Kind.DENIED),
        "denied by an unknown rule": kind(Kind.DENIED, b"\xff"),
        "denied by a rule of two bytes": kind(Kind.DENIED, b"\x00\x01"),
        "key event without an action": kind(Kind.KEY),
        "key event of action 0": kind(Kind.KEY, b"\x00"),
        "key event of action 9": kind(Kind.KEY, b"\x09"),
        "permit without a digest": kind(Kind.PERMIT),
        "permit with 31 bytes": kind(Kind.PERMIT, byte(1, 31)),
        "permit with 33 bytes": kind(Kind.PERMIT, byte(1, 33)),
        "boot without what it says": kind(Kind.BOOT),
        "boot with a byte more": kind(Kind.BOOT, started + b"\x00"),
        "boot cut": kind(Kind.BOOT, started[:-1]),
        "another domain": laid_out(b"strongroom/leaf/v1", [3, *fixed, b""]),
        "trailing byte": leaf().serialise() + b"\x00",
    }


@pytest.mark.parametrize("data", _flawed_leaves().values(), ids=_flawed_leaves())
def test_a_flawed_leaf_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Leaf.parse(data)


def test_a_leaf_above_its_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        Leaf.parse(bytes(MAX_LEAF + 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Leaf(Kind.SIGNED, byte(1, 31), 0, 0, byte(2)).serialise(),
        lambda: Leaf(Kind.SIGNED, byte(1, 33), 0, 0, byte(2, 31)).serialise(),
        lambda: Leaf(Kind.SIGNED, byte(1), 0, 0, byte(2, 33)).serialise(),
        lambda: Leaf(Kind.SIGNED, byte(1), 0, 0, byte(2), b"x"),
        lambda: Leaf(Kind.BOOT, byte(1), 0, 0, byte(2)),
        lambda: Leaf(Kind.DENIED, byte(1), 0, 0, byte(2), b"\xff"),
        lambda: Leaf(Kind.KEY, byte(1), 0, 0, byte(2), b"\x01\x01"),
        lambda: Leaf(Kind.PERMIT, byte(1), 0, 0, byte(2), byte(3, 16)),
        lambda: Leaf(Kind.SIGNED, byte(1), -1, 0, byte(2)).serialise(),
        lambda: Leaf(Kind.SIGNED, byte(1), 1 << 64, 0, byte(2)).serialise(),
        lambda: Leaf(Kind.SIGNED, byte(1), 0, 1 << 64, byte(2)).serialise(),
        lambda: Boot(LogHead(1, byte(1, 31)), byte(2), byte(3), byte(4), "").serialise(),
        lambda: Boot(LogHead(-1, byte(1)), byte(2), byte(3), byte(4), "").serialise(),
        lambda: Boot(LogHead(1, byte(1)), byte(2), byte(3, 31), byte(4), "").serialise(),
        lambda: Boot(LogHead(1, byte(1)), byte(2), byte(3), byte(4), "ä").serialise(),
        lambda: Boot(LogHead(1, byte(1)), byte(2), byte(3), byte(4), "1" * 500).serialise(),
        lambda: Decision("ä", "bot", byte(1), byte(2), 0, 0, b"", TOLD_OK).serialise(),
        lambda: Decision("main", "ä", byte(1), byte(2), 0, 0, b"", TOLD_OK).serialise(),
        lambda: Decision("main", "bot", byte(1, 31), byte(2), 0, 0, b"", TOLD_OK).serialise(),
        lambda: Decision("main", "bot", byte(1), byte(2), 0, 0, byte(3), Reply(Code.OK, 1)),
        lambda: Decision("main", "bot", byte(1), byte(2, 33), 0, 0, b"", TOLD_OK).serialise(),
        lambda: Decision(
            "main", "bot", byte(1), byte(2), 0, 0, b"", Reply(Code.OK, 1, request=b"x")
        ),
        lambda: Decision("a", "b", byte(1), byte(2), -1, 0, b"", Reply(Code.OK, 1)).serialise(),
        lambda: Decision(
            "a", "b", byte(1), byte(2), 0, 1 << 64, b"", Reply(Code.OK, 1)
        ).serialise(),
    ],
)
def test_what_would_not_be_read_is_never_written(make: Callable[[], object]) -> None:
    with pytest.raises(WireError):
        make()


def _flawed_decisions() -> dict[str, bytes]:
    fields = ("key", "client", "intent", "request", "notional", "orders", "context", "reply")

    def put(name: str, value: object) -> bytes:
        return flawed(decision(), lambda tree: tree.__setitem__(fields.index(name), value))

    def told(at: int, value: object) -> bytes:
        return flawed(decision(), lambda tree: tree[-1].__setitem__(at, value))

    context = byte(0x71) + byte(0x72)
    return {
        "nothing": b"",
        "intent a byte short": put("intent", byte(7, 31)),
        "request a byte long": put("request", byte(8, 33)),
        "a count below zero": put("orders", -1),
        "key not ASCII": put("key", "ä"),
        "client not text": put("client", b"bot"),
        "reply cut": flawed(decision(), lambda tree: tree[-1].pop()),
        "reply with a field more": flawed(decision(), lambda tree: tree[-1].append(b"")),
        "reply of an unknown code": told(0, 1),
        "reply by an unknown rule": told(2, 99),
        "reply with a request in it": told(7, b"POST /order"),
        "reply in bytes": put("reply", decision().reply.serialise()),
        "no reply": flawed(decision(), lambda tree: tree[:-1]),
        "context of 63 bytes": put("context", context[1:]),
        "context of 65 bytes": put("context", context + b"\x00"),
        "context of one digest": put("context", context[:32]),
        "a field more": flawed(decision(), lambda tree: tree.append(b"")),
        "another domain": decision().serialise().replace(b"decision/v2", b"decision/v1"),
    }


@pytest.mark.parametrize("data", _flawed_decisions().values(), ids=_flawed_decisions())
def test_a_flawed_decision_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Decision.parse(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"continued": {"size": 7, "root": byte(1, 31)}},
        {"continued": {"size": -1, "root": byte(1)}},
        {"continued": LogHead(7, byte(1)).serialise()},
        {"manifest_digest": byte(2, 31)},
        {"keys_digest": byte(3, 33)},
        {"permit_digest": b""},
        {"version": b"1.2.3"},
        {"version": "ä"},
        {"more": b""},
    ],
)
def test_boots_that_are_none(changed: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        Boot.parse(flawed(boot(), lambda tree: tree.update(changed)))


def test_boots_of_another_version_or_length_are_none() -> None:
    with pytest.raises(Malformed):
        Boot.parse(boot().serialise().replace(b"boot/v2", b"boot/v1"))
    with pytest.raises(TooLarge):
        Boot.parse(bytes(513))
