"""How much of a log a quorum vouches for."""

from __future__ import annotations

import msgspec
import pytest
from strongroom_host.log.errors import CheckpointUnsigned, HeadsInconsistent, SignatureWrong
from strongroom_host.log.notes import Note, SignatureType, VerifierKey
from strongroom_host.log.notes import cosign as cosignature
from strongroom_host.log.witness_errors import QuorumInvalid
from strongroom_host.log.witnessed import Quorum, Witnessed, witnessed
from strongroom_wire.bundle import EMPTY_LOG

from tests.host.witness.logs import NOW, ORIGIN, Log
from tests.wire.samples import manifest, private_key, public

LOG = Log()
KEYS = tuple(
    VerifierKey(f"witness.example/{n}", public(n), SignatureType.COSIGNATURE) for n in range(81, 84)
)
TWO = Quorum(KEYS, 2)


def note(size: int, *witnesses: int, log: Log = LOG, time: int = NOW) -> bytes:
    """Return the log's note, cosigned by these, each a second after the one before."""
    found = log.note(size)
    text = Note.parse(found).text
    for after, n in enumerate(witnesses):
        line = cosignature(text, f"witness.example/{n}", private_key(n), time + after)
        found += str(line).encode()
    return found


def test_a_quorum_vouches_for_a_head_since_it_was_complete() -> None:
    found = witnessed([note(5, 83, 81, 82)], ORIGIN, [LOG.vkey], TWO)
    assert (found.head, found.size, found.seconds) == (LOG.head(5), 5, NOW + 1)
    assert found.times == {KEYS[2]: NOW, KEYS[0]: NOW + 1, KEYS[1]: NOW + 2}


def test_fewer_vouch_for_nothing() -> None:
    nothing = Witnessed(EMPTY_LOG, {}, 0)
    for one in (note(5), note(5, 81), note(5, 81, 81), note(5, 90, 91)):
        assert witnessed([one], ORIGIN, [LOG.vkey], TWO) == nothing
    assert witnessed([], ORIGIN, [LOG.vkey], TWO) == nothing
    assert witnessed([note(5, 81, 82)], ORIGIN, [LOG.vkey], Quorum((), 0)) == nothing


def test_of_several_notes_the_largest_that_enough_cosigned() -> None:
    notes = [note(9, 81, 82), note(12, 81), note(5, 81, 82, 83), note(20)]
    assert witnessed(notes, ORIGIN, [LOG.vkey], TWO).size == 9
    assert witnessed(notes[::-1], ORIGIN, [LOG.vkey], TWO).size == 9
    again = [note(9, 81, 82, time=NOW + 100), *notes]
    assert witnessed(again, ORIGIN, [LOG.vkey], TWO).seconds == NOW + 101


def test_signatures_do_not_add_up_over_two_notes() -> None:
    notes = [note(5, 81), note(5, 82)]
    assert witnessed(notes, ORIGIN, [LOG.vkey], TWO).size == 0


def test_the_future_does_not_count() -> None:
    one = note(5, 81, 82)
    assert witnessed([one], ORIGIN, [LOG.vkey], TWO, now=NOW).size == 0
    assert witnessed([one], ORIGIN, [LOG.vkey], TWO, now=NOW + 1).size == 5


def test_a_head_that_the_log_did_not_sign_is_none() -> None:
    with pytest.raises(CheckpointUnsigned):
        witnessed([note(5, 81, 82)], ORIGIN, [Log(key=32).vkey], TWO)
    changed = note(5, 81, 82).replace(b"\n5\n", b"\n6\n")
    with pytest.raises(SignatureWrong):
        witnessed([changed], ORIGIN, [LOG.vkey], TWO)


def test_two_quorums_for_two_trees_are_not_hidden() -> None:
    fork = Log("fork")
    with pytest.raises(HeadsInconsistent):
        witnessed([note(5, 81, 82), note(5, 82, 83, log=fork)], ORIGIN, [LOG.vkey], TWO)


@pytest.mark.parametrize(
    ("keys", "needed"),
    [
        (KEYS, 0),
        (KEYS, 4),
        (KEYS, -1),
        ((), 1),
        ((KEYS[0], KEYS[0]), 1),
        # One witness under two names would count twice.
        ((KEYS[0], VerifierKey("other", KEYS[0].key, SignatureType.COSIGNATURE)), 2),
        ((LOG.vkey,), 1),
    ],
)
def test_what_is_no_quorum(keys: tuple[VerifierKey, ...], needed: int) -> None:
    with pytest.raises(QuorumInvalid):
        Quorum(keys, needed)


def test_the_quorum_of_a_manifest() -> None:
    found = Quorum.of(manifest())
    assert [key.name for key in found.witnesses] == ["witness.example/one", "witness.example/two"]
    assert (found.witnesses[0].key, found.needed) == (bytes.fromhex("a1" * 32), 1)
    none = msgspec.structs.replace(manifest(), witnesses=(), witness_quorum=0)
    assert Quorum.of(none) == Quorum((), 0)


@pytest.mark.parametrize(
    ("count", "needed", "outvoted"), [(1, 1, 0), (3, 2, 0), (3, 3, 2), (2, 1, -1), (4, 2, -1)]
)
def test_how_many_may_lie(count: int, needed: int, outvoted: int) -> None:
    keys = [VerifierKey(f"w{n}", public(n), SignatureType.COSIGNATURE) for n in range(1, count + 1)]
    assert Quorum(tuple(keys), needed).outvoted == outvoted
