"""Our proofs and checkpoints read by sigstore (Apache-2.0), where aics-tlog does not run.

sigstore-python verifies inclusion proofs and checkpoints of Rekor, in code that came from Google's
Trillian and shares nothing with ours. It makes no proofs and checks no consistency, so what
test_interoperability shows beyond that needs Python 3.12.
"""

from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.log.errors import NotIncluded
from strongroom_host.log.notes import SignatureType, VerifierKey, cosign
from strongroom_host.log.proofs import verify_inclusion
from strongroom_host.log.tree import LogReader
from strongroom_wire.bundle import LogHead
from strongroom_wire.checkpoint import checkpoint_text
from strongroom_wire.merkle import leaf_hash

from tests.host.log.histories import ORIGIN, checkpoint, key_of, stored
from tests.wire.samples import private_key, public
from tests.wire.test_merkle import grown

_REASON = "sigstore is not installed: on Python 3.12 and newer, aics-tlog takes its place"
merkle: Any = pytest.importorskip("sigstore._internal.merkle", reason=_REASON)
checkpoints: Any = pytest.importorskip("sigstore._internal.rekor.checkpoint", reason=_REASON)
errors: Any = pytest.importorskip("sigstore.errors", reason=_REASON)


def takes(leaf: bytes, index: int, head: LogHead, proof: list[bytes]) -> bool:
    """Return whether sigstore takes it for proof that the head has the leaf."""
    inclusion = SimpleNamespace(
        log_index=index,
        tree_size=head.size,
        root_hash=head.root,
        hashes=proof,
    )
    entry = SimpleNamespace(inclusion_proof=inclusion, canonicalized_body=leaf)
    try:
        merkle.verify_merkle_inclusion(SimpleNamespace(_inner=entry))
    except errors.VerificationError:
        return False
    return True


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=600), st.data())
def test_they_verify_our_proofs(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    log = LogReader(stored(leaves), grown(leaves).head)
    proof = list(log.inclusion_proof(index))
    assert takes(leaves[index], index, log.head, proof)
    assert not takes(leaves[index] + b"x", index, log.head, proof)
    assert not takes(leaves[index], index, log.head, [*proof, bytes(32)])


@settings(max_examples=200)
@given(st.data())
def test_both_refuse_the_same_proofs(data: st.DataObject) -> None:
    """Hashes of one tree in any order and number: what one takes, the other takes."""
    size = data.draw(st.integers(1, 12))
    leaves = [b"leaf %d" % n for n in range(size)]
    log = LogReader(stored(leaves), grown(leaves).head)
    pool = [grown(leaves[:n]).head.root for n in range(1, size + 1)] + list(map(leaf_hash, leaves))
    index = data.draw(st.integers(0, size - 1))
    honest = [list(log.inclusion_proof(n)) for n in range(size)]
    proof = data.draw(st.one_of(st.lists(st.sampled_from(pool), max_size=5), *map(st.just, honest)))
    leaf = data.draw(st.sampled_from(leaves))
    try:
        verify_inclusion(leaf_hash(leaf), index, log.head, proof)
        ours = True
    except NotIncluded:
        ours = False
    assert takes(leaf, index, log.head, proof) == ours


class Keyring:
    """What sigstore asks for signatures: ours are Ed25519."""

    def verify(self, *, key_id: bytes, signature: bytes, data: bytes) -> None:
        assert key_id[:4] == key_of(1).id
        try:
            Ed25519PublicKey.from_public_bytes(public(1)).verify(signature, data)
        except InvalidSignature as error:
            raise errors.VerificationError("no") from error


def test_they_verify_our_checkpoint_among_cosignatures() -> None:
    head = grown([b"leaf %d" % n for n in range(20)]).head
    witness = VerifierKey("witness.example/w1", public(9), SignatureType.COSIGNATURE)
    line = cosign(checkpoint_text(ORIGIN, head), witness.name, private_key(9), 1_800_000_000)
    note = (checkpoint(head) + str(line).encode()).decode()
    read = checkpoints.SignedCheckpoint.from_text(note)
    found = read.checkpoint
    assert (found.origin, found.log_size, found.log_hash) == (ORIGIN, 20, head.root.hex())
    inclusion = SimpleNamespace(checkpoint=SimpleNamespace(envelope=note), root_hash=head.root)
    log_id = SimpleNamespace(key_id=key_of(1).id)
    entry = SimpleNamespace(_inner=SimpleNamespace(inclusion_proof=inclusion, log_id=log_id))
    checkpoints.verify_checkpoint(Keyring(), entry)
    inclusion.checkpoint.envelope = note.replace("\n20\n", "\n21\n")
    with pytest.raises(errors.VerificationError):
        checkpoints.verify_checkpoint(Keyring(), entry)
