"""Every recorded document behaves as its index says."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from strongroom_attest import AttestationError, Exactly, Mode, Unchecked
from strongroom_attest.errors import DebugRefused, PolicyMismatch, RootNotPinned, TestRootRefused
from strongroom_attest.nitro import (
    AWS_NITRO_ROOT_G1_SHA256,
    AuthenticatedDocument,
    NitroPolicy,
    Roots,
    authenticate,
    authenticate_archived,
    parse_untrusted,
    verify_archived,
)

from tests.attest.recorded import (
    ARCHIVE,
    CASES,
    MINIMUM_CASES,
    Case,
    each_case,
    needs_vectors,
    smallest,
)

pytestmark = needs_vectors


def _policy(recorded: Case, mode: Mode = Mode.PRODUCTION) -> NitroPolicy:
    return NitroPolicy(
        pcrs={
            index: Exactly(value) for index, value in recorded.pcrs.items() if index in (0, 1, 2)
        },
        public_key=Unchecked("the index holds its hash only"),
        user_data=Unchecked("the index holds its hash only"),
        nonce=Unchecked("an archived document"),
        mode=mode,
    )


def _debug_policy(recorded: Case, mode: Mode) -> NitroPolicy:
    zero = Exactly(bytes(48))
    return NitroPolicy(
        pcrs={0: zero, 1: zero, 2: zero},
        public_key=Unchecked("the index holds its hash only"),
        user_data=Unchecked("the index holds its hash only"),
        nonce=Unchecked("an archived document"),
        mode=mode,
    )


def _judge(recorded: Case) -> None:
    """Asserts everything the index expects of one document."""
    own_root = Roots.of(recorded.entry["chain"][0]["sha256"])
    document = recorded.document
    if not recorded.expects("chains_to_aws_root_g1"):
        with pytest.raises(RootNotPinned):
            verify_archived(document, _policy(recorded), Roots.aws())
        # Its signatures are good; a caller who pins its root may develop with it, no more.
        assert recorded.expects("chain_signatures_ok")
        assert recorded.expects("cose_signature_ok")
        verify_archived(document, _policy(recorded, Mode.DEVELOPMENT), own_root)
        with pytest.raises(TestRootRefused):
            verify_archived(document, _policy(recorded), own_root)
    elif recorded.expects("accept_in_production_at_document_time"):
        verified = verify_archived(document, _policy(recorded), Roots.aws())
        assert verified.findings.mode is Mode.PRODUCTION
        assert verified.evidence.root_sha256 == AWS_NITRO_ROOT_G1_SHA256
    else:
        assert recorded.expects("debug_mode")
        for policy in (_policy(recorded), _debug_policy(recorded, Mode.PRODUCTION)):
            with pytest.raises(DebugRefused):
                verify_archived(document, policy, Roots.aws())
        assert recorded.expects("accept_at_document_time_if_debug_allowed")
        verify_archived(document, _debug_policy(recorded, Mode.DEVELOPMENT), Roots.aws())
    _compare_with_index(authenticate_archived(document, own_root), recorded)


def _compare_with_index(authenticated: AuthenticatedDocument, recorded: Case) -> None:
    entry, document = recorded.entry, authenticated.document
    assert document.module_id == entry["module_id"]
    assert document.digest == entry["digest"]
    assert document.timestamp_ms == entry["timestamp_ms"]
    assert document.timestamp == datetime.fromisoformat(entry["timestamp"])
    assert authenticated.valid_at == document.timestamp
    assert sorted(document.pcrs) == entry["pcr_indexes"]
    for index, value in recorded.pcrs.items():
        assert document.pcrs[index] == value
    assert document.is_debug == recorded.expects("debug_mode")
    assert [c.sha256.hex() for c in authenticated.chain] == [c["sha256"] for c in entry["chain"]]
    for certificate, expected in zip(authenticated.chain, entry["chain"], strict=True):
        assert certificate.not_before == datetime.fromisoformat(expected["not_before"])
        assert certificate.not_after == datetime.fromisoformat(expected["not_after"])
    for name in ("public_key", "user_data", "nonce"):
        _compare_bytes(getattr(document, name), entry[name])
    assert document.notes == ()


def _compare_bytes(actual: bytes | None, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert actual is None
    else:
        assert actual is not None
        assert len(actual) == expected["len"]
        assert hashlib.sha256(actual).hexdigest() == expected["sha256"]


@each_case
def test_behaves_as_indexed(
    recorded: Case, record_vector_case: Callable[[str, str | int], None]
) -> None:
    _judge(recorded)
    record_vector_case("nitro", recorded.name)


def test_no_indexed_case_is_missed() -> None:
    """Counts what was judged, so that an empty folder cannot pass for eighteen good documents."""
    judged = set()
    for recorded in CASES:
        _judge(recorded)
        judged.add(recorded.name)
    assert len(judged) >= MINIMUM_CASES
    assert judged == {path.name for path in ARCHIVE.glob("*.cose")}


@pytest.mark.parametrize(("kind", "first"), [("definite", 0xA9), ("indefinite", 0xBF)])
def test_both_map_encodings_are_among_them(kind: str, first: int) -> None:
    document = smallest(kind).document
    assert document[document.index(b"\x69module_id") - 1] == first


def test_thousand_byte_fields_are_among_them() -> None:
    largest = max(CASES, key=lambda c: int(c.entry["size"]))
    document = parse_untrusted(largest.document)
    assert document.public_key is not None
    assert document.user_data is not None
    assert document.nonce is not None
    assert [len(document.public_key), len(document.user_data), len(document.nonce)] == [1024] * 3


@each_case
def test_valid_exactly_within_the_indexed_times(recorded: Case) -> None:
    roots = Roots.of(recorded.entry["chain"][0]["sha256"])
    first = datetime.fromisoformat(recorded.entry["valid_from"])
    last = datetime.fromisoformat(recorded.entry["valid_until"])
    for moment in (first, last):
        assert authenticate(recorded.document, roots, moment).valid_at == moment


@each_case
def test_wrong_measurement_is_refused(recorded: Case) -> None:
    if not recorded.expects("accept_in_production_at_document_time"):
        return
    for index in (0, 1, 2):
        policy = _policy(recorded)
        wrong = dict(policy.pcrs) | {index: Exactly(b"\x01" * 48)}
        changed = NitroPolicy(
            pcrs=wrong,
            public_key=policy.public_key,
            user_data=policy.user_data,
            nonce=policy.nonce,
        )
        with pytest.raises(PolicyMismatch) as caught:
            verify_archived(recorded.document, changed, Roots.aws())
        assert caught.value.field == f"pcrs[{index}]"


@each_case
def test_truncation_anywhere_is_refused(recorded: Case) -> None:
    document = recorded.document
    for length in range(0, len(document), 97):
        with pytest.raises(AttestationError):
            authenticate_archived(document[:length], Roots.aws())
