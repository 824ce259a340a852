"""Whether what runs is what was built: an attestation document, kept or fetched now, against PCRs.

The document proves the platform's word for PCR0 to PCR2. Section boundaries are in no PCR, so that
the *file* which was booted is the built one follows only together with the comparison of files.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from strongroom_attest import (
    AttestationError,
    Challenge,
    Exactly,
    Mode,
    Unchecked,
    VerifiedArchived,
    VerifiedLive,
)
from strongroom_attest.errors import PolicyMismatch
from strongroom_attest.nitro import (
    AuthenticatedDocument,
    NitroPolicy,
    Roots,
    UnsignedDocument,
    authenticate_unsigned,
    verify_archived,
    verify_live,
    verify_live_unsigned,
)
from strongroom_attest.policy import Matcher, appraise
from strongroom_wire.bundle import Bundle
from strongroom_wire.errors import WireError

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed, warned
from strongroom_host.enclave_client.bootstrap import NONCE_SIZE
from strongroom_host.enclave_client.evidence import UntrustedEvidence
from strongroom_host.errors import HostError

__all__ = ["Expected", "check_document", "check_enclave", "nothing_live"]

_DOCUMENT: Final = "The attestation document shows the image built from this source"
_ENCLAVE: Final = "The enclave that answers runs the image built from this source"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a document has to say, and whose word counts.

    Attributes:
        pcrs: PCR0 to PCR2 of the image, 48 bytes each.
        roots: Trust anchors other than the platform vendor's, for development; None for those.
        unsigned: Whether to take a document that nobody signed, as QEMU makes it.
        known: PCR0 in hex of published releases, by version, to say what else it might be.
    """

    pcrs: tuple[bytes, bytes, bytes]
    roots: Roots | None = None
    unsigned: bool = False
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def development(self) -> bool:
        """Whether an acceptance proves nothing about the machine."""
        return self.unsigned or self.roots is not None

    def policy(self, user_data: Matcher) -> NitroPolicy:
        """Returns the policy: the three PCRs, and what the document commits to."""
        return NitroPolicy(
            pcrs={index: Exactly(value) for index, value in enumerate(self.pcrs)},
            public_key=Unchecked("keys are bound through user_data"),
            user_data=user_data,
            nonce=Unchecked("compared with the challenge, if there is one"),
            mode=Mode.DEVELOPMENT if self.development else Mode.PRODUCTION,
            allow_unsigned=self.unsigned,
        )


def check_document(data: bytes, expected: Expected) -> Finding:
    """Returns whether a kept document is genuine at its own time and shows the image."""
    policy = expected.policy(Unchecked("an audit of the image asks for no particular boot"))

    def verify() -> tuple[datetime, str]:
        if expected.unsigned:
            unsigned = authenticate_unsigned(data)
            appraise(unsigned, policy)
            return unsigned.document.timestamp, unsigned.document.module_id
        found = verify_archived(data, policy, expected.roots or Roots.aws())
        return _facts(found)

    return _finding("live.document", _DOCUMENT, verify, expected)


def check_enclave(
    fetch: Callable[[bytes], UntrustedEvidence],
    expected: Expected,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Finding:
    """Returns whether the enclave behind `fetch` runs the image, now, under a fresh nonce."""

    def verify() -> tuple[datetime, str]:
        challenge = Challenge(secrets.token_bytes(NONCE_SIZE))
        evidence = fetch(challenge.nonce)
        policy = expected.policy(Exactly(Bundle.parse(evidence.bundle).commitment))
        found: VerifiedLive[UnsignedDocument] | VerifiedLive[AuthenticatedDocument]
        if expected.unsigned:
            found = verify_live_unsigned(evidence.document, policy, clock(), challenge)
        else:
            roots = expected.roots or Roots.aws()
            found = verify_live(evidence.document, policy, roots, clock(), challenge)
        return _facts(found)

    return _finding("live.enclave", _ENCLAVE, verify, expected)


def nothing_live() -> list[Finding]:
    """Returns that neither document nor enclave was named."""
    return [
        inapplicable(
            "live.document", _DOCUMENT, "none was given", "DOCUMENT=FILE, or ENCLAVE=ADDRESS"
        )
    ]


def _facts(
    found: VerifiedLive[UnsignedDocument]
    | VerifiedLive[AuthenticatedDocument]
    | VerifiedArchived[AuthenticatedDocument],
) -> tuple[datetime, str]:
    return found.evidence.document.timestamp, found.evidence.document.module_id


def _finding(
    check: str, title: str, verify: Callable[[], tuple[datetime, str]], expected: Expected
) -> Finding:
    pcrs = {str(index): value.hex() for index, value in enumerate(expected.pcrs)}
    try:
        made, module = verify()
    except PolicyMismatch as error:
        return _mismatch(check, title, error, expected)
    except AttestationError as error:
        return failed(
            check,
            title,
            f"{error} [{error.code}]",
            {"expected_pcrs": pcrs},
            remedy="`strongroom attest show` says what is in the document",
        )
    except (HostError, WireError) as error:
        return failed(
            check,
            title,
            getattr(error, "what", str(error)),
            {"expected_pcrs": pcrs},
            remedy=getattr(error, "remedy", "") or "fetch the evidence again",
        )
    evidence = {"pcrs": pcrs, "made_at": made.isoformat(), "module": ascii(module)}
    text = f"PCR0 to PCR2 are equal, as of {made.isoformat()}"
    if expected.development:
        why = "nobody signed it" if expected.unsigned else "its root is no platform vendor's"
        return warned(
            check,
            title,
            f"{text}; but {why}, so it proves nothing about the machine",
            evidence,
            remedy="take a document of real hardware",
        )
    return passed(check, title, text, evidence)


def _mismatch(check: str, title: str, error: PolicyMismatch, expected: Expected) -> Finding:
    actual = error.actual.hex() if isinstance(error.actual, bytes) else str(error.actual)
    same = [version for version, pcr0 in expected.known.items() if pcr0 == actual]
    what = f"; that is release {same[0]}, another source than this" if same else ""
    return failed(
        check,
        title,
        f"{error.field} is another{what}" if error.field.startswith("pcrs") else str(error),
        {
            "field": error.field,
            "expected": error.expected.hex()
            if isinstance(error.expected, bytes)
            else str(error.expected),
            "found": actual,
        },
        remedy="what runs was not built from this source. With the image that runs, IMAGE=FILE"
        " names the first file that differs",
    )
