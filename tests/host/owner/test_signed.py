"""Signed files: what they say they are, who may sign, when they are complete."""

import base64
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.owner.errors import DocumentInvalid, NotAnOwner, QuorumIncomplete
from strongroom_host.owner.signed import DocumentKind, SignedFile, read_manifest
from strongroom_wire.bundle import EMPTY_LOG
from strongroom_wire.errors import BadSignature
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.statements import PERMIT_DOMAIN, Action, Budget, OwnerOrder, Permit

from tests.host.owner.samples import OwnerKeys, sample_manifest

OWNERS = OwnerKeys.new(3, 2)
MANIFEST = sample_manifest(OWNERS)
SET = MANIFEST.owners()
LOG = Frontier().serialise()
NAMES = bytes(32), bytes(32), bytes(32)
PERMIT = Permit(*NAMES, 1, 0, 2, LOG, EMPTY_LOG, b"", (Budget("main", 1, 1),))
ORDER = OwnerOrder(Action.KILL, bytes(32), bytes(32))


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (MANIFEST.serialise(), DocumentKind.MANIFEST),
        (PERMIT.serialise(), DocumentKind.PERMIT),
        (ORDER.serialise(), DocumentKind.ORDER),
    ],
)
def test_a_file_knows_what_it_is(payload: bytes, kind: DocumentKind, tmp_path: Path) -> None:
    file = SignedFile.unsigned(payload).signed_by(OWNERS.keys[0], SET)
    file.save(tmp_path / "x.signed.json")
    read = SignedFile.load(tmp_path / "x.signed.json")
    assert read == file
    assert read.kind is kind
    assert read.statement.payload == payload


@pytest.mark.parametrize(
    "payload",
    [b"x", b"{}", MANIFEST.serialise() + b" ", PERMIT.serialise()[:-1], ORDER.serialise()[:-1]],
)  # fmt: skip
def test_anything_else_is_not_signed(payload: bytes) -> None:
    with pytest.raises(DocumentInvalid):
        SignedFile.unsigned(payload)


def test_owners_sign_one_after_another() -> None:
    file = SignedFile.unsigned(MANIFEST.serialise())
    assert file.progress(SET) == (0, 2)
    file = file.signed_by(OWNERS.keys[0], SET)
    assert file.progress(SET) == (1, 2)
    assert file.signed_by(OWNERS.keys[0], SET) == file
    with pytest.raises(QuorumIncomplete) as caught:
        file.require_quorum(SET)
    assert "1 more" in caught.value.remedy
    file = file.signed_by(OWNERS.keys[2], SET)
    assert file.progress(SET) == (2, 2)
    assert file.require_quorum(SET).payload == MANIFEST.serialise()


def test_a_stranger_cannot_sign() -> None:
    with pytest.raises(NotAnOwner):
        SignedFile.unsigned(MANIFEST.serialise()).signed_by(Ed25519PrivateKey.generate(), SET)


def test_a_strangers_signature_is_noticed() -> None:
    file = SignedFile.unsigned(PERMIT.serialise())
    other = OwnerKeys.new(1, 1)
    foreign = file.signed_by(other.keys[0], other.spec.owners)
    with pytest.raises(DocumentInvalid, match="no owner"):
        foreign.progress(SET)


def test_a_wrong_signature_is_noticed() -> None:
    file = SignedFile.unsigned(PERMIT.serialise()).signed_by(OWNERS.keys[0], SET)
    (good,) = file.statement.signatures
    bad = Statement(file.statement.payload, (Signature(good.key, bytes(64)),))
    with pytest.raises(DocumentInvalid, match="wrong"):
        SignedFile(file.kind, bad).progress(SET)


def test_a_signature_is_for_its_kind_only() -> None:
    """A permit's signature is over the permit's domain: it never counts for another document."""
    file = SignedFile.unsigned(PERMIT.serialise()).signed_by(OWNERS.keys[0], SET)
    SET.verify(PERMIT_DOMAIN, file.statement, quorum=1)
    for kind in (DocumentKind.MANIFEST, DocumentKind.ORDER):
        with pytest.raises(BadSignature):
            SET.verify(kind.value, file.statement, quorum=1)


def test_reading_a_manifest_proves_its_quorum(tmp_path: Path) -> None:
    path = tmp_path / "m.signed.json"
    file = SignedFile.unsigned(MANIFEST.serialise()).signed_by(OWNERS.keys[0], SET)
    file.save(path)
    with pytest.raises(QuorumIncomplete):
        read_manifest(path)
    file.signed_by(OWNERS.keys[1], SET).save(path)
    verified, statement = read_manifest(path)
    assert verified.manifest == MANIFEST
    assert statement.payload == MANIFEST.serialise()


def test_a_permit_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "p.signed.json"
    SignedFile.unsigned(PERMIT.serialise()).signed_by(OWNERS.keys[0], SET).save(path)
    with pytest.raises(DocumentInvalid, match="not a manifest"):
        read_manifest(path)


def _file(**changes: object) -> bytes:
    payload = base64.b64encode(MANIFEST.serialise()).decode()
    return msgspec.json.encode({"payload": payload, "signatures": [], **changes})


@pytest.mark.parametrize(
    "data",
    [
        b"", b"junk", b"\xff", b"[]", _file(extra=1), _file(payload="%%%"), _file(payload="YQ"),
        _file(signatures=[{"key": "aa", "value": "bb"}]),
        _file(signatures=[{"key": "AA" * 32, "value": "bb" * 64}]),
        _file(signatures=[{"key": "aa" * 32, "value": "bb" * 64}] * 33),
        msgspec.json.encode({"payload": ""}),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentInvalid):
        SignedFile.parse(data)


@given(st.binary(max_size=200))
def test_only_our_errors_come_out(data: bytes) -> None:
    for attempt in (data, _file(payload=base64.b64encode(data).decode())):
        with suppress(HostError):
            SignedFile.parse(attempt)
