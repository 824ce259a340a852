"""From bytes to an authenticated document: cryptography only, no policy, no clock.

Authentication says: this document was made by a security module that the pinned root vouches for,
and its certificates were valid at the given moment. Whether it is the *right* enclave is for
`appraise`; whether it is *fresh* is for `verify_live`.
"""

from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta

from strongroom_attest.freshness import check_aware
from strongroom_attest.nitro.chain import (
    LEAF_NOT_BEFORE_LEEWAY,
    Certificate,
    check_root_pinned,
    parse_certificate,
    verify_chain,
)
from strongroom_attest.nitro.cose import (
    check_es384_header,
    check_unsigned_form,
    parse_sign1,
    verify_es384,
)
from strongroom_attest.nitro.document import AttestationDocument, parse_payload
from strongroom_attest.nitro.roots import Roots
from strongroom_attest.result import SEAL, Seal, check_sealed

__all__ = [
    "AuthenticatedDocument",
    "UnsignedDocument",
    "authenticate",
    "authenticate_archived",
    "authenticate_unsigned",
    "parse_untrusted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedDocument:
    """A document whose signature and chain have been verified. Not yet compared with a policy.

    Attributes:
        document: Its fields, all covered by the signature.
        root_sha256: Which of the caller's roots vouches for it.
        chain: Root first, leaf last.
        valid_at: The moment for which the certificates were judged.
    """

    document: AttestationDocument
    root_sha256: bytes
    chain: tuple[Certificate, ...]
    valid_at: datetime
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        check_sealed(seal)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedDocument:
    """A well-formed document that nobody signed: good for development, proof of nothing.

    A type of its own, so that no function that wants an `AuthenticatedDocument` takes it.
    """

    document: AttestationDocument
    seal: InitVar[Seal]

    def __post_init__(self, seal: Seal) -> None:
        check_sealed(seal)


def authenticate(document: bytes, roots: Roots, at: datetime) -> AuthenticatedDocument:
    """Proves that `document` was signed under one of `roots`, with certificates valid at `at`.

    Args:
        document: The COSE_Sign1 as received, with or without tag 18.
        roots: The trust anchors. Nothing in the document is one.
        at: The moment for which validity is judged; must carry a time zone.

    Raises:
        EvidenceError: It is not a genuine document; leaf class and `code` say why.
        UnsignedRefused: It is an unsigned document of an emulator.
        InvalidArgument: `at` has no time zone.
    """
    check_aware(at, "at")
    return _authenticate(document, roots, at, LEAF_NOT_BEFORE_LEEWAY)


def authenticate_archived(document: bytes, roots: Roots) -> AuthenticatedDocument:
    """Proves the same as `authenticate`, for the moment that the document itself is signed for.

    No leeway: the timestamp and the certificates come from the same platform.

    Raises:
        EvidenceError: It is not a genuine document; leaf class and `code` say why.
        UnsignedRefused: It is an unsigned document of an emulator.
    """
    return _authenticate(document, roots, None, timedelta(0))


def _authenticate(
    untrusted: bytes, roots: Roots, at: datetime | None, leeway: timedelta
) -> AuthenticatedDocument:
    # The order is by cost, so that a corrupt document is refused as cheaply as possible. Nothing
    # that was read is handed out before step 7 has passed.
    #
    # 1. Size and envelope, in the one spelling that is accepted.
    sign1 = parse_sign1(untrusted)
    # 2. Protected header: ES384 and nothing else.
    check_es384_header(sign1)
    # 3. Payload: types, sizes, ranges of all fields.
    document = parse_payload(sign1.payload)
    # 4. cabundle[0] is a pinned root. The rest of the bundle is material, never an anchor.
    root_sha256 = check_root_pinned(document.cabundle[0], roots)
    # 5. The leaf has a P-384 key, and that key signed protected header and payload as received.
    #    Before the chain: one signature instead of four for a flipped bit. The key is not trusted
    #    yet; if the chain fails, so does everything.
    leaf = parse_certificate(document.certificate, "certificate")
    verify_es384(sign1, leaf.key)
    # 6. The bundle parses; P-384 throughout.
    bundle = [parse_certificate(der, f"cabundle[{n}]") for n, der in enumerate(document.cabundle)]
    chain = (*bundle, leaf)
    # 7. Root to leaf: validity, constraints, usages, names, then the four signatures.
    valid_at = document.timestamp if at is None else at
    verify_chain(chain, valid_at, leeway)
    return AuthenticatedDocument(
        document=document, root_sha256=root_sha256, chain=chain, valid_at=valid_at, seal=SEAL
    )


def authenticate_unsigned(document: bytes) -> UnsignedDocument:
    """Returns a document in the unsigned form of QEMU's security module; proves nothing.

    A signed document is refused here: it must not lose its proof on the way.

    Raises:
        MalformedDocument: The bytes are not a document.
        SignatureInvalid: It is not in the unsigned form.
    """
    sign1 = parse_sign1(document)
    check_unsigned_form(sign1)
    return UnsignedDocument(document=parse_payload(sign1.payload), seal=SEAL)


def parse_untrusted(document: bytes) -> AttestationDocument:
    """Returns the fields of a document without verifying any signature, for display only.

    Raises:
        MalformedDocument: The bytes are not a document.
    """
    return parse_payload(parse_sign1(document).payload)
