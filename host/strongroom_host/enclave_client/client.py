"""The control plane of one verified boot, over mutual TLS pinned to the attested certificate."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_attest.freshness import Challenge
from strongroom_wire.bundle import Role
from strongroom_wire.errors import WireError
from strongroom_wire.owners import Statement
from strongroom_wire.pages import Entry
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc
from strongroom_wire.statements import Action, OwnerOrder

from strongroom_host.contract.openings import read_answer_body
from strongroom_host.enclave_client.address import Address
from strongroom_host.enclave_client.bootstrap import NONCE_SIZE
from strongroom_host.enclave_client.calls import (
    CHANNEL_OPTIONS,
    DEFAULT_TIMEOUT,
    call,
    checked_answer,
    read_evidence,
    to_proto,
)
from strongroom_host.enclave_client.errors import (
    BootChanged,
    NotVerified,
    ReceiptInvalid,
)
from strongroom_host.enclave_client.evidence import (
    VerifiedEvidence,
    verify_evidence,
)
from strongroom_host.enclave_client.identity import ClientIdentity

__all__ = ["SERVER_NAME", "EnclaveClient"]

SERVER_NAME: Final = "strongroom-enclave"
"""The dNSName in the enclave's certificate; identity is the pinned certificate, not this name."""

_VENUE_TIMEOUT: Final = 60.0
"""Orders that make the enclave talk to a venue take the venue's time as well."""


class EnclaveClient:
    """Calls to the boot that `evidence` proves, and no other; a context manager.

    TLS trusts exactly the certificate in the attested bundle, and each answer's receipt is checked
    against the attested key, so a relay can drop or delay, but not change or invent.
    """

    def __init__(
        self,
        evidence: VerifiedEvidence,
        identity: ClientIdentity,
        address: Address,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Prepares the connection; it is made with the first call.

        Raises:
            NotVerified: `evidence` is not what `verify_evidence` returned.
        """
        if not isinstance(evidence, VerifiedEvidence):
            raise NotVerified(
                "an EnclaveClient needs verified evidence",
                expected="VerifiedEvidence",
                actual=type(evidence).__name__,
                remedy="call fetch_evidence first, and use what it returns",
            )
        self.evidence, self.identity, self.address = evidence, identity, address
        self._timeout = timeout
        self.logged = Entry()
        """What the signer's log says of the latest owner order; empty before a permit."""
        pinned = x509.load_der_x509_certificate(evidence.bundle.certificate)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=pinned.public_bytes(Encoding.PEM),
            private_key=identity.tls_key,
            certificate_chain=identity.certificate_pem,
        )
        options = (*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", SERVER_NAME))
        self._channel = grpc.secure_channel(address.target, credentials, options=options)
        self._stub = rpc.ControlStub(self._channel)

    def __enter__(self) -> "EnclaveClient":
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

    def reverify(self) -> VerifiedEvidence:
        """Proves again, under a fresh nonce, that this very boot still answers.

        Raises:
            BootChanged: a genuine enclave, but with other keys: restarted, or a clone.
            EvidenceRefused, EnclaveRefused, Unreachable: see `fetch_evidence`.
        """
        challenge = Challenge(secrets.token_bytes(NONCE_SIZE))
        request = pb.Request(value=challenge.nonce)
        reply = call(self._stub.GetEvidence, request, self.address, self._timeout, _tls_hint)
        fresh = verify_evidence(
            read_evidence(reply),
            self.evidence.policy,
            challenge,
            datetime.now(UTC),
        )
        if fresh.bundle.keys_digest != self.evidence.bundle.keys_digest:
            raise BootChanged(
                "the enclave has other keys than when its evidence was verified",
                expected=self.evidence.bundle.keys_digest.hex(),
                actual=fresh.bundle.keys_digest.hex(),
                remedy="it was restarted or another one answers: verify again and issue a permit",
            )
        return fresh

    def submit_permit(self, statement: Statement) -> bytes:
        """Submits a start permit and returns init's answer, the serial as u32.

        Raises:
            EnclaveRefused: the class says why.
            ReceiptInvalid: the answer is not the enclave's.
            Unreachable: no answer.
        """
        receipt = call(
            self._stub.SubmitPermit, to_proto(statement), self.address, self._timeout, _tls_hint
        )
        return self._answer(receipt, Role.INIT, statement.serialise(), "start permit")

    def submit_order(self, statement: Statement, what: str = "owner order") -> bytes:
        """Submits an order of the owners and returns what the process that it is for answers.

        Raises:
            EnclaveRefused: the class says why.
            ReceiptInvalid: the answer is not the enclave's.
            Unreachable: no answer.
        """
        timeout = max(self._timeout, _VENUE_TIMEOUT)
        receipt = call(
            self._stub.SubmitOrder, to_proto(statement), self.address, timeout, _tls_hint
        )
        answer = self._answer(receipt, _obeying(statement), statement.serialise(), what)
        try:
            body, self.logged = read_answer_body(answer)
        except WireError as error:
            raise ReceiptInvalid(
                f"{what}: the answer carries no log entry",
                expected="a body and a log entry",
                actual=f"{len(answer)} bytes",
                remedy="this enclave is of another version; compare its release with yours",
            ) from error
        return body

    def _answer(self, receipt: pb.Receipt, role: Role, request: bytes, what: str) -> bytes:
        return checked_answer(
            receipt,
            key=self.evidence.keys(role).receipt,
            boot_id=self.evidence.bundle.boot_id,
            request=request,
            what=what,
        )


def _obeying(statement: Statement) -> Role:
    """The process that an owner order is for; what is none, the signer answers."""
    with suppress(WireError):
        if OwnerOrder.parse(statement.payload).action is Action.CONNECT:
            return Role.RECORD
    return Role.SIGNER


def _tls_hint(details: str) -> str:
    """A TLS failure looks like absence to gRPC; the likeliest causes are the ones to name."""
    if any(word in details.lower() for word in ("ssl", "tls", "certificate", "handshake")):
        return (
            "the TLS handshake failed: the enclave was restarted (verify it again), or the manifest"
            " in force does not name this client's certificate"
        )
    return ""
