"""Hostile bytes into every parser of a log: leaves and frontiers, notes, checkpoints, tiles, tails.

Only our own errors may come out, and what is taken must serialise to the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.log.errors import LogDamaged
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import Checkpoint, Note, VerifierKey, open_checkpoint
from strongroom_host.log.tiles import Tile, bundle, parse_bundle
from strongroom_host.log.tree import LogReader
from strongroom_host.log.verify import Expected, verify
from strongroom_wire.encoding import pack, unpack
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Boot, Decision, Leaf, ModelDecision
from strongroom_wire.merkle import Frontier
from strongroom_wire.pages import LogPage

from tests.fuzz.effort import examples
from tests.fuzz.mutations import mutated, repacked
from tests.host.log.histories import ORIGIN, History, Memory, checkpoint, key_of, stored
from tests.host.log.test_notes import SPEC_NOTE, SPEC_VKEY, cosigned
from tests.wire.test_leaves import BOOTS, DECISIONS, LEAVES, MODELS
from tests.wire.test_merkle import grown
from tests.wire.test_pages import PAGES

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time
FUZZ = examples(5)

HISTORY = History().boot(1, 20).boot(2, 5)
HEAD = HISTORY.tree.head
NOTE = cosigned(checkpoint(HEAD, 2), 9)
TREES = st.lists(st.binary(max_size=8), max_size=40).map(grown)


@dataclass(frozen=True)
class Target:
    """A parser of packed values, good values of its type, and its domain."""

    parse: Callable[[bytes], Any]
    good: st.SearchStrategy[Any]
    domain: bytes


TARGETS = {
    "leaf": Target(Leaf.parse, LEAVES, b"strongroom/leaf/v2"),
    "boot": Target(Boot.parse, BOOTS, b"strongroom/leaf/boot/v2"),
    "decision": Target(Decision.parse, DECISIONS, b"strongroom/leaf/decision/v2"),
    "model": Target(ModelDecision.parse, MODELS, b"strongroom/leaf/model/v2"),
    "page": Target(LogPage.parse, PAGES, b"strongroom/log-page/v2"),
    "frontier": Target(Frontier.parse, TREES, b"strongroom/frontier/v1"),
}
targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


def _holds(target: Target, data: bytes) -> None:
    """Either an error of ours, or the one spelling of what was read."""
    try:
        value = target.parse(data)
    except WireError:
        return
    assert value.serialise() == data


@targets
@FUZZ
@given(data=st.binary(max_size=400))
def test_noise(target: Target, data: bytes) -> None:
    _holds(target, data)
    _holds(target, len(target.domain).to_bytes(2, "big") + target.domain + data)


@targets
@FUZZ
@given(data=st.data())
def test_good_bytes_with_flaws(target: Target, data: st.DataObject) -> None:
    good = data.draw(target.good).serialise()
    _holds(target, good)
    _holds(target, data.draw(mutated(good)))


@targets
@FUZZ
@given(data=st.data())
def test_good_fields_in_wrong_places(target: Target, data: st.DataObject) -> None:
    fields = unpack(target.domain, data.draw(target.good).serialise())
    _holds(target, pack(target.domain, *data.draw(repacked(fields))))


@targets
@FUZZ
@given(data=st.data())
def test_one_type_read_as_another(target: Target, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from(list(TARGETS.values())))
    _holds(target, data.draw(other.good).serialise())


@FUZZ
@given(st.one_of(st.binary(max_size=300), mutated(NOTE), mutated(SPEC_NOTE)))
def test_notes(data: bytes) -> None:
    try:
        note = Note.parse(data)
    except HostError:
        return
    assert note.serialise() == data
    try:
        assert Checkpoint.parse(note.text).text() == note.text
    except HostError:
        return


@FUZZ
@given(mutated(NOTE))
def test_a_flawed_checkpoint_is_the_signed_one_or_none(data: bytes) -> None:
    try:
        opened = open_checkpoint(data, ORIGIN, [key_of(2)])
    except HostError:
        return
    assert opened.head == HEAD


@FUZZ
@given(
    st.one_of(
        st.text(max_size=80),
        mutated(SPEC_VKEY.encode()).map(lambda b: b.decode("utf-8", "replace")),
    )
)
def test_verifier_keys(text: str) -> None:
    try:
        key = VerifierKey.parse(text)
    except HostError:
        return
    assert str(key) == text


@FUZZ
@given(
    st.one_of(
        st.text("tileentrs0123456789x/.p", max_size=30),
        mutated(b"tile/0/x001/x234/067.p/8").map(lambda b: b.decode("latin-1")),
    )
)
def test_paths(path: str) -> None:
    try:
        tile = Tile.parse(path)
    except HostError:
        return
    assert tile.path == path
    assert ".." not in path


@FUZZ
@given(st.one_of(st.binary(max_size=100), mutated(bundle(HISTORY.entries))), st.integers(0, 30))
def test_bundles(data: bytes, width: int) -> None:
    try:
        entries = parse_bundle(data, width)
    except HostError:
        return
    if entries:
        assert bundle(entries) == data


@FUZZ
@given(st.data())
def test_a_hostile_store(data: st.DataObject) -> None:
    """One resource is spoiled: nothing false is handed out, and the whole is never found in order
    unless it is."""
    storage = Memory(stored(HISTORY.entries))
    path = data.draw(st.sampled_from(sorted(storage)))
    storage[path] = data.draw(mutated(storage[path]))
    log = LogReader(storage, HEAD)
    for index in (0, 7, 25):
        try:
            assert log.entry(index) == HISTORY.entries[index]
        except HostError:
            continue
    report = verify(log.entries(), Expected(HISTORY.known(), {}, HISTORY.attested))
    if report.ok:
        assert list(log.entries()) == HISTORY.entries


@settings(examples(1), max_examples=max(60, examples(1).max_examples // 10))
@given(data=st.data())
def test_a_spoiled_tail(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is read from it is a prefix of what was written, or the log is not gone on with."""
    folder = tmp_path_factory.mktemp("log")
    with LogFiles(folder) as log:
        log.append(0, HISTORY.entries)
    tail = Path(folder / "tail.0")
    tail.write_bytes(data.draw(mutated(tail.read_bytes())))
    try:
        with LogFiles(folder) as log:
            found = list(log.reader().entries())
    except LogDamaged:
        return
    # A whole record may be repeated by the mutation; its place then names it.
    for at, entry in enumerate(found):
        if [entry] != HISTORY.entries[at : at + 1]:
            assert entry in HISTORY.entries
