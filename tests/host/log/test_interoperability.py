"""Logs of ours read by an independent implementation, and the other way round.

That is aics-tlog (Apache-2.0): RFC 9162 proofs after the pseudo-code, tiles, notes and cosignatures
of C2SP. It shares nothing with this repository. Where it is not installed (it needs Python 3.12),
test_interoperability_sigstore reads proofs and checkpoints with another one, and published figures
hold the rest to the specifications: see test_merkle, test_proofs, test_notes.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.log.errors import HeadsInconsistent, NotIncluded
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import (
    Note,
    SignatureType,
    VerifierKey,
    cosign,
    open_checkpoint,
)
from strongroom_host.log.proofs import verify_consistency, verify_inclusion
from strongroom_host.log.tiles import ENTRIES, Tile
from strongroom_host.log.tree import LogReader, TileHashes
from strongroom_host.log.verify import Expected, KnownHead, verify
from strongroom_wire.bundle import LogHead
from strongroom_wire.checkpoint import checkpoint_text
from strongroom_wire.merkle import leaf_hash

from tests.host.log.histories import ORIGIN, History, Memory, checkpoint, key_of, stored
from tests.wire.samples import private_key, public
from tests.wire.test_merkle import grown

tlog: Any = pytest.importorskip(
    "aics_tlog", reason="aics-tlog is not installed: it needs Python 3.12 or newer"
)

TIME = 1_800_000_000
WITNESS = VerifierKey("witness.example/w1", public(9), SignatureType.COSIGNATURE)
LEAVES = st.lists(st.binary(max_size=30), min_size=1, max_size=600)
SIZES = [1, 2, 3, 255, 256, 257, 600, 66_000]


def leaves_of(size: int) -> list[bytes]:
    return [b"leaf %d" % n for n in range(size)]


@settings(max_examples=40)
@given(LEAVES, st.data())
def test_proofs_both_ways(leaves: list[bytes], data: st.DataObject) -> None:
    size = len(leaves)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    theirs, ours = tlog.MerkleTree(leaves), LogReader(stored(leaves), grown(leaves).head)
    assert theirs.root() == ours.head.root
    assert tuple(theirs.inclusion_proof(index)) == ours.inclusion_proof(index)
    assert tuple(theirs.consistency_proof(old)) == ours.consistency_proof(old)
    head, proof = ours.head, ours.inclusion_proof(index)
    assert tlog.verify_inclusion(leaf_hash(leaves[index]), index, size, proof, head.root)
    verify_inclusion(tlog.leaf_hash(leaves[index]), index, head, theirs.inclusion_proof(index))
    before = LogHead(old, theirs.root(old))
    proof = ours.consistency_proof(old)
    assert tlog.verify_consistency(old, size, before.root, head.root, proof)
    verify_consistency(before, head, theirs.consistency_proof(old))


@settings(max_examples=40)
@given(st.data())
def test_both_refuse_the_same_proofs(data: st.DataObject) -> None:
    """Hashes of one tree in any order and number: what one takes, the other takes."""
    size = data.draw(st.integers(1, 12))
    theirs = tlog.MerkleTree(leaves_of(size))
    pool = [theirs.root(n) for n in range(1, size + 1)] + [leaf_hash(x) for x in leaves_of(size)]
    index, old = data.draw(st.integers(0, size)), data.draw(st.integers(0, size))
    honest = [theirs.inclusion_proof(min(index, size - 1)), theirs.consistency_proof(old)]
    noise = st.lists(st.sampled_from(pool), max_size=5)
    proof = data.draw(st.one_of(noise, *map(st.just, honest)))
    head, leaf = LogHead(size, theirs.root()), data.draw(st.sampled_from(pool))
    old_root = data.draw(st.sampled_from([theirs.root(old), leaf]))
    assert tlog.verify_inclusion(leaf, index, size, proof, head.root) == _takes(
        NotIncluded, verify_inclusion, leaf, index, head, proof
    )
    assert tlog.verify_consistency(old, size, old_root, head.root, proof) == _takes(
        HeadsInconsistent, verify_consistency, LogHead(old, old_root), head, proof
    )


def _takes(refusal: type[Exception], check: Any, *arguments: object) -> bool:
    try:
        check(*arguments)
    except refusal:
        return False
    return True


@pytest.mark.parametrize("size", SIZES)
def test_their_tiles_are_ours_to_the_byte(size: int) -> None:
    leaves = leaves_of(size)
    assert tlog.TileWriter(leaves).materialise() == stored(leaves)


def test_their_reader_audits_our_files(tmp_path: Path) -> None:
    history = History().boot(1, 300).boot(2, 400)
    with LogFiles(tmp_path) as log:
        for at in range(0, len(history.entries), 90):
            log.append(at, history.entries[at : at + 90])
            log.publish(checkpoint(log.head, 2))
        head = log.head
    reader = tlog.FileSystemTileReader(tmp_path)
    tlog.audit_tiles(reader, head.size, head.root)
    for index in (0, 255, 256, 301, head.size - 1):
        assert tlog.read_entry(reader, index, head.size) == history.entries[index]
        proof = tlog.inclusion_proof_from_tiles(reader, index, head.size)
        verify_inclusion(leaf_hash(history.entries[index]), index, head, proof)
    proof = tlog.consistency_proof_from_tiles(reader, 301, head.size)
    verify_consistency(grown(history.entries[:301]).head, head, proof)


def test_our_reader_verifies_their_files(tmp_path: Path) -> None:
    history = History().boot(1, 300).boot(2, 400)
    store = tlog.DirectoryTileStore(tmp_path)
    writer = tlog.IncrementalTileWriter(store)
    for at in range(0, len(history.entries), 77):
        writer.append(history.entries[at : at + 77])
    head = LogHead(writer.size, writer.root())
    assert head == history.tree.head

    class Files(Memory):
        def read(self, path: str) -> bytes | None:
            file = tmp_path / path
            return file.read_bytes() if file.is_file() else None

    log = LogReader(Files(), head)
    report = verify(log.entries(), Expected([KnownHead(head, "theirs")]))
    assert report.ok
    for index in (0, 255, 256, 700):
        assert log.entry(index) == history.entries[index]
    assert log.frontier().head == head
    assert TileHashes(Files(), head.size)(8, 0) == grown(history.entries[:256]).head.root


@given(st.integers(0, 10**18), st.integers(1, 255))
def test_paths_are_the_same(index: int, width: int) -> None:
    for level in (0, 1, 5):
        assert tlog.tiles.tile_path(level, index) == Tile(level, index).path
        assert tlog.tiles.tile_path(level, index, width) == Tile(level, index, width).path
    assert tlog.tiles.entry_bundle_path(index, width) == Tile(ENTRIES, index, width).path


def test_they_verify_our_checkpoint_and_cosignature() -> None:
    head = grown(leaves_of(20)).head
    line = cosign(checkpoint_text(ORIGIN, head), WITNESS.name, private_key(9), TIME)
    note = tlog.parse_note(checkpoint(head) + str(line).encode())
    log_key, witness = tlog.parse_vkey(str(key_of(1))), tlog.parse_vkey(str(WITNESS))
    result = tlog.verify_checkpoint(note, log_key, [witness], 1, expected_origin=ORIGIN)
    assert (result.ok, result.origin, result.size, result.root) == (True, ORIGIN, 20, head.root)
    assert result.timestamps == {WITNESS.name: TIME}
    assert not tlog.verify_checkpoint(note, tlog.parse_vkey(str(key_of(2)))).ok


def test_we_verify_their_checkpoint_and_cosignature() -> None:
    head = grown(leaves_of(20)).head
    written = tlog.Checkpoint(origin=ORIGIN, size=20, root=head.root)
    note = tlog.sign_checkpoint(written, private_key(1), ORIGIN)
    _, line = tlog.sign_cosignature(
        private_key(9), WITNESS.name, TIME, ORIGIN, head.size, head.root
    )
    note = tlog.Note(note.text, (*note.signatures, line))
    opened = open_checkpoint(note.to_bytes(), ORIGIN, [key_of(1)], [WITNESS])
    assert (opened.head, opened.witnesses) == (head, {WITNESS: TIME})
    assert Note.parse(note.to_bytes()).serialise() == note.to_bytes()
    assert str(tlog.vkey_from_ed25519(ORIGIN, public(1)).key_id.hex()) == key_of(1).id.hex()
    assert tlog.format_vkey(tlog.parse_vkey(str(WITNESS))) == str(WITNESS)
