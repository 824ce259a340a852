"""What runs against what was built: documents of the software NSM, and QEMU's form."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from strongroom_attest.nitro import Roots
from strongroom_host.audit.findings import Finding, Result
from strongroom_host.audit.live import Expected, check_document, check_enclave
from strongroom_host.enclave_client.errors import Unreachable
from strongroom_host.enclave_client.evidence import UntrustedEvidence

from tests.attest.mutations import unsigned
from tests.host.enclave_client.simulator import MEASURED, Boot

PCRS = (MEASURED.pcr0, MEASURED.pcr1, MEASURED.pcr2)
OTHER = (b"\7" * 48, *PCRS[1:])


@pytest.fixture(scope="module")
def boot() -> Boot:
    return Boot()


def development(boot: Boot, pcrs: tuple[bytes, bytes, bytes] = PCRS) -> Expected:
    return Expected(pcrs, Roots.of(sha256(boot.root.der).hexdigest()))


def asked(boot: Boot, expected: Expected, **changes: object) -> Finding:
    def fetch(nonce: bytes) -> UntrustedEvidence:
        given = {"nonce": nonce, "commitment": None} | changes
        document = boot.document(given["nonce"], given["commitment"])  # type: ignore[arg-type]
        return UntrustedEvidence(document, boot.bundle.serialise())

    return check_enclave(fetch, expected)


def test_the_image_is_recognised_and_a_development_root_is_a_warning(boot: Boot) -> None:
    for found in (
        check_document(boot.document(b"n" * 32), development(boot)),
        asked(boot, development(boot)),
    ):
        assert found.result is Result.WARNING
        assert "PCR0 to PCR2 are equal" in found.detail
        assert "proves nothing about the machine" in found.detail


def test_no_development_root_counts_unasked(boot: Boot) -> None:
    for found in (
        check_document(boot.document(b"n" * 32), Expected(PCRS)),
        asked(boot, Expected(PCRS)),
    ):
        assert found.result is Result.FAIL
        assert found.remedy


def test_another_image_is_caught(boot: Boot) -> None:
    for found in (
        check_document(boot.document(b"n" * 32), development(boot, OTHER)),
        asked(boot, development(boot, OTHER)),
    ):
        assert found.result is Result.FAIL
        assert "pcrs[0]" in found.detail
        assert found.evidence["found"] == MEASURED.pcr0.hex()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_each_measurement_counts(boot: Boot, index: int) -> None:
    pcrs = list(PCRS)
    pcrs[index] = b"\7" * 48
    found = check_document(boot.document(b"n" * 32), development(boot, tuple(pcrs)))  # type: ignore[arg-type]
    assert found.result is Result.FAIL


def test_a_published_release_is_named_where_that_is_what_runs(boot: Boot) -> None:
    expected = Expected(OTHER, development(boot).roots, known={"0.9.0": MEASURED.pcr0.hex()})
    assert "that is release 0.9.0" in check_document(boot.document(b"n" * 32), expected).detail


def test_a_replayed_document_is_refused(boot: Boot) -> None:
    found = asked(boot, development(boot), nonce=b"\0" * 32)
    assert found.result is Result.FAIL
    assert "[nonce" in found.detail


def test_a_bundle_that_the_document_does_not_commit_to_is_refused(boot: Boot) -> None:
    found = asked(boot, development(boot), commitment=b"\0" * 64)
    assert found.result is Result.FAIL
    assert "user_data" in found.detail


def test_an_old_answer_is_refused(boot: Boot) -> None:
    def fetch(nonce: bytes) -> UntrustedEvidence:
        return UntrustedEvidence(boot.document(nonce), boot.bundle.serialise())

    late = datetime.now(UTC) + timedelta(hours=1)
    assert check_enclave(fetch, development(boot), lambda: late).result is Result.FAIL


def test_an_enclave_that_does_not_answer_is_a_failure_with_the_remedy(boot: Boot) -> None:
    def fetch(nonce: bytes) -> UntrustedEvidence:
        raise Unreachable("nothing answers", remedy="start it")

    found = check_enclave(fetch, development(boot))
    assert (found.result, found.remedy) == (Result.FAIL, "start it")
    garbage = check_enclave(lambda nonce: UntrustedEvidence(b"", b"x"), development(boot))
    assert garbage.result is Result.FAIL


def test_qemus_document_has_to_be_asked_for_and_is_a_warning() -> None:
    pcrs = {index: bytes([index + 1]) * 48 for index in range(3)}
    document = unsigned(pcrs=pcrs)
    triple = (pcrs[0], pcrs[1], pcrs[2])
    found = check_document(document, Expected(triple, unsigned=True))
    assert found.result is Result.WARNING
    assert "nobody signed it" in found.detail
    assert check_document(document, Expected(triple)).result is Result.FAIL
    assert check_document(document, Expected(OTHER, unsigned=True)).result is Result.FAIL


def test_garbage_is_no_document() -> None:
    for data in (b"", b"\xff" * 100):
        assert check_document(data, Expected(PCRS)).result is Result.FAIL
        assert check_document(data, Expected(PCRS, unsigned=True)).result is Result.FAIL
