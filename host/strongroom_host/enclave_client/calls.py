"""What the two gRPC clients share: one call with a deadline, and answers checked by receipt."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar, cast

import grpc
from strongroom_wire.encoding import unpack_fields
from strongroom_wire.errors import BadSignature, Code, WireError
from strongroom_wire.owners import Statement
from strongroom_wire.proto import strongroom_pb2 as pb

from strongroom_host.contract.receipts import verify_receipt
from strongroom_host.enclave_client.address import Address
from strongroom_host.enclave_client.errors import (
    BundleRefused,
    ReceiptInvalid,
    Unreachable,
    refusal,
)
from strongroom_host.enclave_client.evidence import UntrustedEvidence

__all__ = [
    "CHANNEL_OPTIONS",
    "DEFAULT_TIMEOUT",
    "call",
    "checked_answer",
    "read_code",
    "read_evidence",
    "to_proto",
]

DEFAULT_TIMEOUT: Final = 10.0
"""Seconds; the enclave answers within milliseconds unless it talks to a venue."""

CHANNEL_OPTIONS: Final = (
    # A proxy of the environment must not see, or break, a connection to a local socket.
    ("grpc.enable_http_proxy", 0),
    # Each client has its own connection, so that closing one cannot touch another's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 4 << 20),
)
_UNSIGNED: Final = (b"", bytes(64))

RequestT = TypeVar("RequestT", contravariant=True)
ReplyT = TypeVar("ReplyT", covariant=True)


class _Method(Protocol[RequestT, ReplyT]):
    def __call__(self, request: RequestT, /, timeout: float | None = None) -> ReplyT: ...


def call(
    method: _Method[RequestT, ReplyT],
    request: RequestT,
    address: Address,
    timeout: float,
    hint: Callable[[str], str] | None = None,
) -> ReplyT:
    """Returns the reply to one call; `hint` turns gRPC's details into a better remedy, or "".

    Raises:
        Unreachable: no answer, with what gRPC saw and what to do about it.
        EnclaveRefused: the listener refused the call, or the message's form.
    """
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        # What the synchronous API raises is both, which its types cannot say.
        failure = cast(grpc.Call, error)
        reason, details = failure.code().name, failure.details() or ""
        if reason in _REFUSALS and details.isdigit():
            # Front refused before anybody with a receipt key saw the request.
            raise refusal(read_code(int(details)), "the call") from error
        # gRPC nests what happened in what it tried; the innermost is what helps.
        innermost = details.rsplit("error: ", 1)[-1]
        raise Unreachable(
            f"no answer from {address} ({reason.lower()}: {innermost})",
            remedy=(hint and hint(details)) or _REMEDIES.get(reason, _REMEDIES["UNAVAILABLE"]),
        ) from error


_REFUSALS: Final = ("PERMISSION_DENIED", "INVALID_ARGUMENT")
_REMEDIES: Final = {
    "UNAVAILABLE": "start the enclave with `strongroom host run` (or `enclave boot`), and check the"
    " address",
    "DEADLINE_EXCEEDED": "the enclave or its host is overloaded or hung; look at the host's console"
    " log, and try `strongroom enclave status`",
    "UNIMPLEMENTED": "this enclave is of another version; compare its release with yours",
}


def to_proto(statement: Statement) -> pb.Request:
    """Returns the statement as the control plane carries it."""
    return pb.Request(value=statement.serialise())


def read_evidence(reply: pb.Receipt) -> UntrustedEvidence:
    """Returns the evidence in an answer, unverified.

    Raises:
        EnclaveRefused: it gave none; the class follows the code.
        EvidenceRefused: what it gave is no evidence.
    """
    code = read_code(reply.code)
    if code is not Code.OK:
        raise refusal(code, "evidence")
    try:
        document, bundle = unpack_fields(b"evidence", reply.answer, None, None)
    except WireError as error:
        raise BundleRefused(
            "the answer is no evidence",
            expected="a document and a bundle",
            actual=f"{len(reply.answer)} bytes",
            remedy="this enclave is of another version; compare its release with yours",
        ) from error
    return UntrustedEvidence(document, bundle)


def read_code(number: int) -> Code:
    """Returns the code that `number` stands for; one we do not know counts as INTERNAL."""
    try:
        return Code(number)
    except ValueError:
        return Code.INTERNAL


def checked_answer(
    receipt: pb.Receipt, *, key: bytes, boot_id: bytes, request: bytes, what: str
) -> bytes:
    """Returns the answer in a receipt after proving that the role with `key` gave it.

    A refusal may be unsigned (nothing can be gained by forging one that dropping the request would
    not give as well); an acceptance never.

    Raises:
        ReceiptInvalid: a signature is missing where one is due, or is not that role's.
        EnclaveRefused: refused; the class follows the code.
    """
    code = read_code(receipt.code)
    signed = receipt.signature not in _UNSIGNED
    if signed or code is Code.OK:
        try:
            verify_receipt(key, boot_id, request, code, receipt.answer, receipt.signature)
        except BadSignature as error:
            raise ReceiptInvalid(
                f"{what}: the answer does not carry the enclave's receipt",
                expected=f"a signature by {key.hex()}",
                actual="a wrong one" if signed else "none",
                remedy="do not act on the answer; somebody on the way made or changed it, or the"
                " enclave was restarted: fetch its evidence again",
            ) from error
    if code is not Code.OK:
        raise refusal(code, what, authenticated=signed)
    return receipt.answer
