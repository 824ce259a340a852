"""Hostile bytes into every parser of the wire contract.

Only our own errors may come out, and what a parser takes must serialise to the same bytes: then
there is one spelling of everything that is hashed, signed or decided upon. `make soak` runs the
same with counts nearly a hundred times larger.
"""

import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.contract.frames import intent_bytes
from strongroom_wire.bundle import Bundle
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import WireError
from strongroom_wire.frames import (
    ChannelOpen,
    ChannelOpened,
    Direction,
    Intent,
    Reply,
    SealedChannel,
)
from strongroom_wire.manifest import MAX_MANIFEST, Manifest
from strongroom_wire.owners import Statement
from strongroom_wire.statements import OwnerOrder, Permit

from tests.fuzz.effort import examples
from tests.fuzz.mutations import mutated, repacked
from tests.wire import samples, strategies

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time
FUZZ = examples(5)


@dataclass(frozen=True)
class Target:
    """One parser: how to call it, good values of its type, and its domain if it is packed."""

    parse: Callable[[bytes], Any]
    good: st.SearchStrategy[Any]
    domain: bytes = b""
    serialise: Callable[[Any], bytes] = methodcaller("serialise")


TARGETS = {
    "statement": Target(Statement.parse, strategies.STATEMENTS, b"strongroom/statement/v1"),
    "bundle": Target(Bundle.parse, strategies.BUNDLES, b"strongroom/bundle/v2"),
    "permit": Target(Permit.parse, strategies.PERMITS, b"strongroom/permit/v2"),
    "owner order": Target(OwnerOrder.parse, strategies.OWNER_ORDERS, b"strongroom/owner-order/v2"),
    "intent": Target(Intent.parse, strategies.INTENTS, serialise=intent_bytes),
    "reply": Target(Reply.parse, strategies.REPLIES),
    "channel opening": Target(ChannelOpen.parse, strategies.OPENINGS),
    "channel answer": Target(ChannelOpened.parse, strategies.OPENED),
}
PACKED = {name: target for name, target in TARGETS.items() if target.domain}

targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
packed = pytest.mark.parametrize("target", PACKED.values(), ids=PACKED)


def _holds(target: Target, data: bytes) -> None:
    """Either an error of ours, or the one spelling of what was read."""
    try:
        value = target.parse(data)
    except WireError:
        return
    assert target.serialise(value) == data


@targets
@FUZZ
@given(data=st.binary(max_size=400))
def test_noise(target: Target, data: bytes) -> None:
    _holds(target, data)
    for prefix in (b"SRC1", struct.pack(">H", len(target.domain)) + target.domain):
        _holds(target, prefix + data)


@targets
@FUZZ
@given(data=st.data())
def test_good_bytes_with_flaws(target: Target, data: st.DataObject) -> None:
    good = target.serialise(data.draw(target.good))
    _holds(target, good)
    _holds(target, data.draw(mutated(good)))


@packed
@FUZZ
@given(data=st.data())
def test_good_fields_in_wrong_places(target: Target, data: st.DataObject) -> None:
    fields = unpack(target.domain, data.draw(target.good).serialise())
    _holds(target, pack(target.domain, *data.draw(repacked(fields))))


@packed
@FUZZ
@given(data=st.data())
def test_one_type_read_as_another(target: Target, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from(list(TARGETS.values())))
    _holds(target, other.serialise(data.draw(other.good)))


@FUZZ
@given(data=st.data())
def test_frames_from_a_hostile_relay(data: st.DataObject) -> None:
    keys = (samples.byte(1), samples.byte(2))
    client = SealedChannel(5, keys, Direction.TO_ENCLAVE)
    enclave = SealedChannel(5, keys, Direction.FROM_ENCLAVE)
    texts = data.draw(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
    frames = [client.seal(text) for text in texts]
    for text, frame in zip(texts, frames, strict=True):
        pool = [*frames, enclave.seal(text), data.draw(st.binary(max_size=100))]
        hostile = data.draw(st.sampled_from(pool).flatmap(mutated))
        if hostile != frame:
            with pytest.raises(WireError):
                enclave.open(hostile)
        assert enclave.open(frame) == text  # no attempt moved the channel


LENGTHS = (2**16, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@packed
@pytest.mark.parametrize("length", LENGTHS)
def test_hostile_lengths_allocate_nothing(target: Target, length: int) -> None:
    prefix = struct.pack(">H", len(target.domain)) + target.domain
    hostile = [prefix + struct.pack(">I", length) + bytes(40)]
    hostile += [prefix + (struct.pack(">I", 32) + bytes(32)) * 3 + struct.pack(">I", length)]
    for data in hostile:
        assert _peak(target.parse, data) < 64 * 1024


@targets
@pytest.mark.parametrize("size", [2**14, 2**18, 2**20 + 1, 2**22])
def test_memory_is_a_small_multiple_of_the_message(target: Target, size: int) -> None:
    prefix = struct.pack(">H", len(target.domain)) + target.domain if target.domain else b""
    for filler in (b"\x00", b"\xff"):
        data = prefix + filler * (size - len(prefix))
        assert _peak(target.parse, data) < 64 * 1024 + 4 * size


@pytest.mark.parametrize("filler", [b"[", b'{"a":', b'"', b"9", b"\\", b" ", b"\x00", b"\xff"])
def test_memory_of_a_hostile_manifest_is_bounded(filler: bytes) -> None:
    data = (filler * MAX_MANIFEST)[:MAX_MANIFEST]
    assert _peak(Manifest.parse, data) < 4 * MAX_MANIFEST
    assert _peak(Manifest.parse, data * 16) < 64 * 1024


def _peak(parse: Callable[[bytes], object], data: bytes) -> int:
    """Return the most bytes that were allocated at once while `parse` refused `data`."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            parse(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
