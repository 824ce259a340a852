"""Two questions that must not be confused: is this enclave there now, and was it there then?

`verify_live` answers the first and needs a challenge; `verify_archived` the second. They return
different types.
"""

from datetime import datetime

from strongroom_attest.errors import (
    AttestationError,
    CertificateExpired,
    CertificateNotYetValid,
    ClockDisagreement,
)
from strongroom_attest.freshness import (
    Challenge,
    FreshnessWindow,
    check_aware,
    check_nonce,
    check_not_from_future,
    check_not_too_old,
)
from strongroom_attest.nitro.document import AttestationDocument
from strongroom_attest.nitro.roots import Roots
from strongroom_attest.nitro.verify import (
    AuthenticatedDocument,
    UnsignedDocument,
    authenticate,
    authenticate_archived,
    authenticate_unsigned,
)
from strongroom_attest.policy import Policy, appraise
from strongroom_attest.result import SEAL, VerifiedArchived, VerifiedLive

__all__ = ["verify_archived", "verify_live", "verify_live_unsigned"]

_DEFAULT_WINDOW = FreshnessWindow()


def verify_live(
    document: bytes,
    policy: Policy[AuthenticatedDocument],
    roots: Roots,
    now: datetime,
    challenge: Challenge,
    *,
    window: FreshnessWindow = _DEFAULT_WINDOW,
) -> VerifiedLive[AuthenticatedDocument]:
    """Proves that an enclave the policy accepts answered `challenge`, around `now`.

    Args:
        document: The COSE_Sign1 as received.
        policy: What the document must say.
        roots: The trust anchors.
        now: The verifier's clock, with a time zone.
        challenge: The nonce this verifier sent, used up by this call whatever comes of it.
        window: How far the document's timestamp may lie from `now`, each way.

    Raises:
        ChallengeReused: The challenge was presented before.
        EvidenceError: The document is not genuine.
        ClockDisagreement: It answers the challenge, but `now` is outside its certificates.
        NonceMismatch: It answers something else.
        Stale: Its timestamp is too far from `now`.
        Refusal: It is not what the policy asks for.
    """
    # 1. The challenge is spent first, so that no outcome below leaves it usable.
    check_aware(now, "now")
    nonce = challenge.consume()
    # 2. Cryptography, with certificates valid now.
    try:
        authenticated = authenticate(document, roots, now)
    except (CertificateExpired, CertificateNotYetValid) as error:
        _explain_clock(document, roots, nonce, error)
        raise
    # 3. The nonce, then the timestamp in both directions.
    _check_fresh(authenticated.document, nonce, now, window)
    # 4. The policy.
    appraisal = appraise(authenticated, policy)
    return VerifiedLive(appraisal=appraisal, nonce=nonce, verified_at=now, seal=SEAL)


def verify_archived(
    document: bytes, policy: Policy[AuthenticatedDocument], roots: Roots
) -> VerifiedArchived[AuthenticatedDocument]:
    """Proves that an enclave the policy accepts made `document` at the time the document states.

    Says nothing about now, and takes no challenge: an auditor who knows the nonce of that time
    puts `Exactly(nonce)` into the policy. See LIMITATIONS.md on keys that leak after they expire.

    Raises:
        EvidenceError: The document is not genuine.
        Refusal: It is not what the policy asks for.
    """
    authenticated = authenticate_archived(document, roots)
    return VerifiedArchived(
        appraisal=appraise(authenticated, policy), as_of=authenticated.valid_at, seal=SEAL
    )


def verify_live_unsigned(
    document: bytes,
    policy: Policy[UnsignedDocument],
    now: datetime,
    challenge: Challenge,
    *,
    window: FreshnessWindow = _DEFAULT_WINDOW,
) -> VerifiedLive[UnsignedDocument]:
    """Checks form, nonce, time and policy of a document that nobody signed: development only.

    Raises:
        ChallengeReused: The challenge was presented before.
        EvidenceError: The document is malformed, or is signed.
        NonceMismatch: It answers something else.
        Stale: Its timestamp is too far from `now`.
        Refusal: It is not what the policy asks for; a production policy always refuses.
    """
    check_aware(now, "now")
    nonce = challenge.consume()
    unsigned = authenticate_unsigned(document)
    _check_fresh(unsigned.document, nonce, now, window)
    appraisal = appraise(unsigned, policy)
    return VerifiedLive(appraisal=appraisal, nonce=nonce, verified_at=now, seal=SEAL)


def _check_fresh(
    document: AttestationDocument, nonce: bytes, now: datetime, window: FreshnessWindow
) -> None:
    # The nonce first: only a document known to answer this challenge makes a timestamp that is
    # far off a statement about clocks.
    check_nonce(nonce, document.nonce)
    check_not_too_old(document.timestamp, now, window)
    check_not_from_future(document.timestamp, now, window)


def _explain_clock(
    document: bytes, roots: Roots, nonce: bytes, error: CertificateExpired | CertificateNotYetValid
) -> None:
    """Raises ClockDisagreement if the document is provably an answer to this very challenge.

    Costs a second authentication, on a path that ends in refusal anyway, and turns the commonest
    support question ("expired?") into an answer.
    """
    try:
        genuine = authenticate_archived(document, roots)
        check_nonce(nonce, genuine.document.nonce)
    except AttestationError:
        return
    raise ClockDisagreement(
        "the document is genuine and answers the challenge just made, so it is not old, but its "
        f"certificates are not valid at {error.actual}: your clock is wrong. The platform says it "
        f"is {genuine.document.timestamp.isoformat()}",
        expected=genuine.document.timestamp,
        actual=error.actual,
    ) from error
