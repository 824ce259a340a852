"""Every single-bit change of a genuine document is refused, and by an error of this package.

`make test` flips every bit of one document with a definite payload map and one with an indefinite
one; `make soak` (STRONGROOM_SOAK=1) those of every recorded document. The work is cut into slices
so that xdist can spread it.
"""

import os

import pytest
from strongroom_attest import AttestationError
from strongroom_attest.nitro import Roots, authenticate, authenticate_archived

from tests.attest import pki
from tests.attest.recorded import CASES, Case, needs_vectors, smallest

SLICES = 8
ECDSA_WITH_SHA384 = bytes.fromhex("2a8648ce3d040303")  # ends a certificate, but for the signature
SOAK = os.environ.get("STRONGROOM_SOAK") == "1"


def accepted_flips(document: bytes, roots: Roots, part: int) -> tuple[list[int], int]:
    """Returns the bits of one slice whose flip was accepted, and how many were tried."""
    # A fixed time, the document's own: a flip of the timestamp must fail by its signature.
    at = authenticate_archived(document, roots).valid_at
    accepted, tried = [], 0
    for bit in range(part, len(document) * 8, SLICES):
        flipped = bytearray(document)
        flipped[bit // 8] ^= 1 << bit % 8
        tried += 1
        try:
            authenticate(bytes(flipped), roots, at)
        except AttestationError:
            continue
        accepted.append(bit)
    return accepted, tried


def _own_root(recorded: Case) -> Roots:
    return Roots.of(recorded.entry["chain"][0]["sha256"])


@needs_vectors
@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("kind", ["definite", "indefinite"])
def test_every_flip_of_a_recorded_document_is_refused(kind: str, part: int) -> None:
    recorded = smallest(kind)
    accepted, tried = accepted_flips(recorded.document, Roots.aws(), part)
    assert accepted == []
    assert tried == recorded.entry["size"]  # eight bits a byte, eight slices


@needs_vectors
@pytest.mark.slow
@pytest.mark.skipif(not SOAK, reason="every document's flips take minutes: STRONGROOM_SOAK=1")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("recorded", CASES if SOAK else [], ids=lambda case: case.name)
def test_every_flip_of_every_recorded_document_is_refused(recorded: Case, part: int) -> None:
    accepted, tried = accepted_flips(recorded.document, _own_root(recorded), part)
    assert accepted == []
    assert tried == recorded.entry["size"]


def test_flips_outside_the_signed_bytes_are_refused_without_recorded_data() -> None:
    """The envelope of a minted document: what no signature covers, only the parser guards."""
    document = pki.mint()
    start = document.index(b"\x69module_id")
    bits = [*range(start * 8), *range((len(document) - 100) * 8, len(document) * 8)]
    for bit in bits:
        flipped = bytearray(document)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AttestationError):
            authenticate(bytes(flipped), pki.ROOTS, pki.NOW)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(SLICES if SOAK else 2))
def test_flips_reach_the_chain_if_nothing_checks_the_signature(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows that the loop notices an accepted flip, and that the chain's parser is as watertight:
    behind the signature check no flip of a certificate would ever get to it."""
    monkeypatch.setattr("strongroom_attest.nitro.cose.check_signature", lambda *_: None)
    document = pki.mint()
    accepted, _ = accepted_flips(document, pki.ROOTS, part)
    signature = range((len(document) - 96) * 8, len(document) * 8)
    assert set(signature[part::SLICES]) <= set(accepted)
    start = document.index(pki.fields()["certificate"])  # type: ignore[arg-type]
    end = document.index(b"\x6apublic_key")
    in_certificates = [bit // 8 for bit in accepted if start <= bit // 8 < end]
    # No signature covers how many bits of a certificate's own signature are unused. The library
    # ignores the count where those bits are zero; here the document's signature covers it.
    assert all(document[byte - 10 : byte - 2] == ECDSA_WITH_SHA384 for byte in in_certificates)
