"""The proof file: C2SP tlog-proof as its document lays it out, one spelling for each proof."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.errors import NotIncluded, ProofMalformed
from strongroom_host.log.notes import open_checkpoint
from strongroom_host.log.tlog_proof import MAX_PROOF_FILE, PROOF_HEADER, InclusionProof
from strongroom_host.log.tree import LogReader

from tests.host.log.histories import ORIGIN, checkpoint, key_of, stored
from tests.wire.test_merkle import grown

LEAVES = [b"leaf %d" % n for n in range(300)]
HEAD = grown(LEAVES).head
NOTE = checkpoint(HEAD)
READER = LogReader(stored(LEAVES), HEAD)
SIGNED = open_checkpoint(NOTE, ORIGIN, [key_of(1)])


def proof(index: int, extra: bytes = b"") -> InclusionProof:
    return InclusionProof(index, READER.inclusion_proof(index), NOTE, extra)


def test_the_lines_of_the_document() -> None:
    """By hand: header, extra, index, hashes from the leaf up, an empty line, the checkpoint."""
    made = proof(299, b"leaf 299")
    hashes = "".join(f"{b64encode(each).decode()}\n" for each in made.hashes)
    text = f"c2sp.org/tlog-proof@v1\nextra bGVhZiAyOTk=\nindex 299\n{hashes}\n"
    assert made.serialise() == text.encode() + NOTE
    bare = proof(0).serialise()
    assert bare.startswith(b"c2sp.org/tlog-proof@v1\nindex 0\n")


@given(st.integers(0, 299), st.binary(max_size=80))
def test_every_leaf_is_proved_by_its_file(index: int, extra: bytes) -> None:
    made = proof(index, extra)
    read = InclusionProof.parse(made.serialise())
    assert read == made
    read.check(LEAVES[index], SIGNED)
    with pytest.raises(NotIncluded):
        read.check(LEAVES[index - 1], SIGNED)


def test_the_only_leaf_needs_no_hash() -> None:
    head = grown(LEAVES[:1]).head
    note = checkpoint(head)
    read = InclusionProof.parse(InclusionProof(0, (), note).serialise())
    read.check(LEAVES[0], open_checkpoint(note, ORIGIN, [key_of(1)]))


GOOD = proof(7, b"x").serialise()
BAD = {
    "empty": b"",
    "header": GOOD.replace(b"@v1", b"@v2"),
    "header only": PROOF_HEADER,
    "no index": GOOD.replace(b"index 7\n", b""),
    "leading zero": GOOD.replace(b"index 7\n", b"index 07\n"),
    "sign": GOOD.replace(b"index 7\n", b"index +7\n"),
    "other digits": GOOD.replace(b"index 7\n", "index \u0667\n".encode()),
    "too large": GOOD.replace(b"index 7\n", b"index 18446744073709551616\n"),
    "extra twice": GOOD.replace(b"extra eA==\n", b"extra eA==\nextra eA==\n"),
    "extra empty": GOOD.replace(b"extra eA==\n", b"extra \n"),
    "extra after index": GOOD.replace(b"extra eA==\nindex 7\n", b"index 7\nextra eA==\n"),
    "no base64": GOOD.replace(b"extra eA==", b"extra e!=="),
    "loose base64": GOOD.replace(b"extra eA==", b"extra eB=="),
    "short hash": GOOD.replace(b"index 7\n", b"index 7\neA==\n"),
    "carriage returns": GOOD.replace(b"\n", b"\r\n"),
    "65 hashes": InclusionProof(0, (bytes(32),) * 65, NOTE).serialise(),
    "no empty line": GOOD.split(b"\n\n")[0] + b"\n",
    "too long": GOOD + bytes(MAX_PROOF_FILE),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_proof_is_refused(name: str) -> None:
    with pytest.raises(ProofMalformed):
        InclusionProof.parse(BAD[name])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_what_is_taken_has_one_spelling(at: int, change: int) -> None:
    data = GOOD[:at] + bytes([GOOD[at] ^ change]) + GOOD[at + 1 :]
    try:
        read = InclusionProof.parse(data)
    except ProofMalformed:
        return
    assert read.serialise() == data
