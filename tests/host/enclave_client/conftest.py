"""A simulated boot, its evidence verified, and a client identity."""

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
from strongroom_attest.freshness import Challenge
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.evidence import (
    UntrustedEvidence,
    VerifiedEvidence,
    verify_evidence,
)
from strongroom_host.enclave_client.identity import ClientIdentity

from tests.host.enclave_client.simulator import Boot


def verify(boot: Boot) -> VerifiedEvidence:
    """Returns verified evidence of a simulated boot."""
    challenge = Challenge(secrets.token_bytes(32))
    document = boot.document(challenge.nonce)
    untrusted = UntrustedEvidence(document, boot.bundle.serialise())
    return verify_evidence(untrusted, boot.policy, challenge, datetime.now(UTC))


@pytest.fixture(scope="module")
def boot() -> Boot:
    return Boot()


@pytest.fixture
def evidence(boot: Boot) -> VerifiedEvidence:
    return verify(boot)


@pytest.fixture(scope="module")
def identity() -> ClientIdentity:
    return ClientIdentity.generate("bot")


@pytest.fixture
def address(tmp_path: Path) -> EnclaveAddress:
    return EnclaveAddress.at_run_directory(tmp_path)
