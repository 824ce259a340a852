"""AWS Nitro Enclaves: attestation documents, from bytes to a verified result."""

from strongroom_attest.nitro.chain import LEAF_NOT_BEFORE_LEEWAY, Certificate
from strongroom_attest.nitro.cose import MAX_DOCUMENT_BYTES
from strongroom_attest.nitro.document import AttestationDocument
from strongroom_attest.nitro.live import verify_archived, verify_live, verify_live_unsigned
from strongroom_attest.nitro.policy import NitroEvidence, NitroPolicy, PcrMatcher
from strongroom_attest.nitro.policy_json import NitroPolicyTree, dump_policy, load_policy
from strongroom_attest.nitro.roots import AWS_NITRO_ROOT_G1_SHA256, PRODUCTION_ROOTS, Roots
from strongroom_attest.nitro.verify import (
    AuthenticatedDocument,
    UnsignedDocument,
    authenticate,
    authenticate_archived,
    authenticate_unsigned,
    parse_untrusted,
)

__all__ = [
    "AWS_NITRO_ROOT_G1_SHA256",
    "LEAF_NOT_BEFORE_LEEWAY",
    "MAX_DOCUMENT_BYTES",
    "PRODUCTION_ROOTS",
    "AttestationDocument",
    "AuthenticatedDocument",
    "Certificate",
    "NitroEvidence",
    "NitroPolicy",
    "NitroPolicyTree",
    "PcrMatcher",
    "Roots",
    "UnsignedDocument",
    "authenticate",
    "authenticate_archived",
    "authenticate_unsigned",
    "dump_policy",
    "load_policy",
    "parse_untrusted",
    "verify_archived",
    "verify_live",
    "verify_live_unsigned",
]
