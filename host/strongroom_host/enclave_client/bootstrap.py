"""The listener without client certificates: status, evidence, and loading the manifest.

Nothing it answers is believed before evidence is verified; what it is given is public or protects
itself.
"""

import secrets
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from types import TracebackType
from typing import Final

import grpc
from strongroom_attest.freshness import Challenge
from strongroom_wire.bundle import Role
from strongroom_wire.errors import Code
from strongroom_wire.owners import Statement
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc

from strongroom_host.enclave_client.address import Address
from strongroom_host.enclave_client.calls import (
    CHANNEL_OPTIONS,
    DEFAULT_TIMEOUT,
    call,
    checked_answer,
    read_code,
    read_evidence,
    to_proto,
)
from strongroom_host.enclave_client.errors import ReceiptInvalid, refusal
from strongroom_host.enclave_client.evidence import (
    BootedEvidence,
    UntrustedEvidence,
    VerifiedEvidence,
    verify_booted,
    verify_evidence,
)
from strongroom_host.trust.record import EvidencePolicy, Trust

__all__ = [
    "NONCE_SIZE",
    "BootstrapClient",
    "Phase",
    "fetch_booted",
    "fetch_evidence",
    "load_manifest",
]

NONCE_SIZE: Final = 32
_START_TIMEOUT: Final = 60.0
"""Loading the manifest starts the enclave's other processes."""


class Phase(Enum):
    """Where a boot stands, as it says itself; `VerifiedEvidence` is the proof."""

    UNKNOWN = 0
    BOOTED = 1
    CONFIGURED = 2
    READY = 3
    HALTED = 4


class BootstrapClient:
    """One connection to the bootstrap listener; a context manager."""

    def __init__(self, address: Address, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.address, self._timeout = address, timeout
        self._channel = grpc.insecure_channel(address.target, options=CHANNEL_OPTIONS)
        self._stub = rpc.BootstrapStub(self._channel)

    def __enter__(self) -> "BootstrapClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def status(self, timeout: float | None = None) -> Phase:
        """Returns the phase that the listener claims.

        Raises:
            Unreachable: no answer.
        """
        reply = call(self._stub.GetStatus, pb.Request(), self.address, timeout or self._timeout)
        if read_code(reply.code) is Code.HALTED:
            return Phase.HALTED
        known = {bytes([phase.value]): phase for phase in Phase}
        return known.get(reply.answer, Phase.UNKNOWN)

    def evidence(self, nonce: bytes) -> UntrustedEvidence:
        """Returns evidence made for `nonce` (16 to 64 bytes), unverified.

        Raises:
            Unreachable: no answer.
            EnclaveRefused: HALTED, or the nonce has the wrong size.
        """
        request = pb.Request(value=nonce)
        return read_evidence(call(self._stub.GetEvidence, request, self.address, self._timeout))

    def load_manifest(self, statement: Statement) -> pb.Receipt:
        """Returns the receipt for loading a manifest, unverified: its key is only attested now.

        Raises:
            Unreachable: no answer.
        """
        timeout = max(self._timeout, _START_TIMEOUT)
        return call(self._stub.LoadManifest, to_proto(statement), self.address, timeout)


def fetch_evidence(client: BootstrapClient, policy: EvidencePolicy) -> VerifiedEvidence:
    """Returns verified evidence under a fresh nonce and this machine's clock.

    Raises:
        Unreachable: no answer.
        EnclaveRefused: the enclave gave none.
        EvidenceRefused: it is not the enclave that `policy` means.
    """
    challenge = Challenge(secrets.token_bytes(NONCE_SIZE))
    untrusted = client.evidence(challenge.nonce)
    return verify_evidence(untrusted, policy, challenge, datetime.now(UTC))


def fetch_booted(client: BootstrapClient, trust: Trust) -> BootedEvidence:
    """Returns verified evidence of an enclave that has no manifest yet; see `fetch_evidence`."""
    challenge = Challenge(secrets.token_bytes(NONCE_SIZE))
    untrusted = client.evidence(challenge.nonce)
    return verify_booted(untrusted, trust, challenge, datetime.now(UTC))


def load_manifest(
    client: BootstrapClient, statement: Statement, policy: EvidencePolicy
) -> VerifiedEvidence:
    """Configures a Booted enclave and returns the evidence that it took exactly this manifest.

    Raises:
        EvidenceRefused: before loading, the enclave is not a trusted image; after, it does not
            prove to run this manifest, or its receipt is wrong.
        EnclaveRefused: it refused the manifest, or has one already.
        Unreachable: no answer.
    """
    fetch_booted(client, policy.trust)
    receipt = client.load_manifest(statement)
    code = read_code(receipt.code)
    if code is not Code.OK:
        raise refusal(code, "loading the manifest")
    evidence = fetch_evidence(client, policy)
    # What init signs as the request is the statement in its canonical encoding.
    answer = checked_answer(
        receipt,
        key=evidence.keys(Role.INIT).receipt,
        boot_id=evidence.bundle.boot_id,
        request=statement.serialise(),
        what="loading the manifest",
    )
    digest = sha256(statement.payload).digest()
    if answer != digest:
        raise ReceiptInvalid(
            "the receipt for the manifest names another digest",
            expected=digest.hex(),
            actual=answer.hex(),
            remedy="do not use this enclave; restart it",
        )
    return evidence
