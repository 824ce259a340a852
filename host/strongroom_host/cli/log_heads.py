"""Signed heads that people keep as files: a checkpoint, or a proof with one in it."""

from pathlib import Path

from strongroom_host.log.submissions import Submission
from strongroom_host.log.tlog_proof import MAX_PROOF_FILE, PROOF_HEADER, InclusionProof
from strongroom_host.private_files import read_file

__all__ = ["CONSISTENCY_START", "note_in"]

CONSISTENCY_START = b"old "


def note_in(path: Path) -> bytes:
    """Returns the signed note in a file; nothing about it is verified, nor that it is one.

    Raises:
        BadInput: the file cannot be read, or is too large.
        ProofMalformed, SubmissionMalformed: it begins as a proof, and is none.
    """
    data = read_file(path, limit=MAX_PROOF_FILE)
    if data.startswith(PROOF_HEADER):
        return InclusionProof.parse(data).note
    return Submission.parse(data).note if data.startswith(CONSISTENCY_START) else data
