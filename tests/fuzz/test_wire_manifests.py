"""A good manifest, spoiled at every level: its bytes, its spelling, its keys and its values.

The manifest is the one JSON document inside the trust boundary, and its digest is what the
evidence carries: no two spellings may mean the same, and nothing but our errors may come out.
"""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_wire.errors import WireError
from strongroom_wire.manifest import Manifest, verify_manifest
from strongroom_wire.owners import Statement

from tests.fuzz.effort import examples
from tests.fuzz.mutations import as_nodes, mutated, respelled, spoiled, written
from tests.wire.samples import handed_over, manifest, owners_of, signed_manifest

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time
FUZZ = examples(10)
GOOD = handed_over(manifest(), owners_of(4, 5, quorum=2), 1, 2)
DATA = GOOD.serialise()


def _holds(data: bytes) -> bool:
    """Either an error of ours (False), or the one spelling of what was read (True)."""
    try:
        found = Manifest.parse(data)
    except WireError:
        return False
    assert found.serialise() == data
    assert json.loads(data) == json.loads(found.serialise())
    with suppress(WireError):
        found.owners()
    return True


@FUZZ
@given(st.binary(max_size=300))
def test_noise(data: bytes) -> None:
    assert not _holds(data)


@FUZZ
@given(mutated(DATA))
def test_bytes(data: bytes) -> None:
    _holds(data)


@FUZZ
@given(respelled(DATA))
def test_spelling(data: bytes) -> None:
    if _holds(data):
        assert json.loads(data) != json.loads(DATA) or data == DATA


@FUZZ
@given(st.data())
def test_keys_and_values(data: st.DataObject) -> None:
    node = data.draw(spoiled(as_nodes(DATA)))
    text = written(node) + "\n"
    if _holds(text.encode("utf-8", "surrogatepass")):
        # What passed is an honest document: no key twice, so every reader sees the same.
        assert written(as_nodes(text.encode())) + "\n" == text
        assert len(text) > 500


@FUZZ
@given(st.data())
def test_signed_statements(data: st.DataObject) -> None:
    good = signed_manifest(GOOD, 4, 5).serialise()
    hostile = data.draw(mutated(good))
    try:
        statement = Statement.parse(hostile)
        verified = verify_manifest(statement)
    except WireError:
        return
    # Only what the owners signed gets here: strangers and repetitions may come and go.
    assert verified.manifest == GOOD
    assert statement.payload == DATA


def test_the_writer_of_this_test_writes_the_canonical_form() -> None:
    assert (written(as_nodes(DATA)) + "\n").encode() == DATA


@pytest.mark.parametrize("at", range(0, len(DATA), 97))
def test_every_cut_is_refused(at: int) -> None:
    assert not _holds(DATA[:at])
