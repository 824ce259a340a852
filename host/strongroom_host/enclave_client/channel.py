"""The fast channel to the signer: sealed intents out, sealed replies in, one at a time.

Any error of framing, order or authenticity, and any timeout, closes the channel for good: after one
the next bytes cannot be told apart from a late or replayed answer. Opening another costs two
messages.
"""

import secrets
import socket
import struct
import time
from contextlib import suppress
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Protocol

from strongroom_wire.bundle import Role, hpke_info
from strongroom_wire.errors import BadSignature, Code, Rule, WireError
from strongroom_wire.frames import (
    MAX_FRAME,
    ChannelOpen,
    ChannelOpened,
    Direction,
    Intent,
    Reply,
    SealedChannel,
    channel_keys,
)
from strongroom_wire.owners import verify_signature

from strongroom_host.contract.frames import intent_bytes
from strongroom_host.contract.sealing import seal
from strongroom_host.enclave_client.address import Address
from strongroom_host.enclave_client.calls import read_code
from strongroom_host.enclave_client.errors import (
    ChannelBroken,
    ChannelClosed,
    ChannelTimeout,
    Denied,
    EnclaveRefused,
    NotVerified,
    ReceiptInvalid,
    refusal,
)
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.enclave_client.identity import ClientIdentity

__all__ = ["FastChannel", "FrameTransport", "StreamTransport", "refused_reply"]

_PURPOSE: Final = b"channel"
_LENGTH: Final = struct.Struct(">I")
_REFUSAL_SIZE: Final = 2
_RECEIVE: Final = MAX_FRAME + 5
"""A whole frame with its length, and one byte that must not be there."""


class FrameTransport(Protocol):
    """Carries one message there and one back."""

    def exchange(self, message: bytes, timeout: float) -> bytes:
        """Returns the answer to `message`.

        Raises:
            ChannelTimeout: none within `timeout` seconds.
            ChannelBroken: the other side closed, or sent more than a frame can be.
        """
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class StreamTransport:
    """Length-prefixed messages on a stream socket.

    With `busy_poll` the receiver spins on the socket instead of sleeping in the kernel: it takes a
    core, and saves the wake-up.
    """

    def __init__(self, sock: socket.socket, *, busy_poll: bool = False) -> None:
        """Takes `sock` over. Python's own timeouts would add a poll to every call, so that the
        kernel's are used, set only when they change."""
        self._socket, self._busy_poll = sock, busy_poll
        self._patience = 0.0
        sock.setblocking(not busy_poll)

    @classmethod
    def connect(
        cls, address: Address, timeout: float = 5.0, *, busy_poll: bool = False
    ) -> "StreamTransport":
        """Returns a transport to `address`, or raises `Unreachable`."""
        return cls(address.connect(timeout), busy_poll=busy_poll)

    def exchange(self, message: bytes, timeout: float) -> bytes:
        """See `FrameTransport`."""
        deadline = time.monotonic() + timeout
        try:
            self._wait_at_most(timeout)
            self._send(_LENGTH.pack(len(message)) + message, deadline)
            return self._receive(deadline)
        except TimeoutError as error:
            raise ChannelTimeout(
                f"no answer on the fast channel within {timeout:g} s",
                remedy="whether the request was decided is unknown: reconcile by order hash before"
                " sending it again, and open another channel",
            ) from error
        except OSError as error:
            raise ChannelBroken(
                f"the fast channel broke: {error.strerror or error}",
                remedy="the enclave or its host stopped; `strongroom enclave status` tells",
            ) from error

    def _send(self, data: bytes, deadline: float) -> None:
        sent = 0
        while sent < len(data):
            try:
                sent += self._socket.send(data[sent:] if sent else data)
            except BlockingIOError:
                self._check(deadline)

    def _receive(self, deadline: float) -> bytes:
        """Returns the one message that answers ours; most arrive whole in the first read."""
        got = b""
        while True:
            try:
                part = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                self._check(deadline)
                continue
            if not part:
                raise ChannelBroken(
                    "the enclave closed the fast channel",
                    remedy="open another one; if that closes too, see `strongroom enclave status`",
                )
            got = got + part if got else part
            if len(got) >= _LENGTH.size:
                end = _LENGTH.size + _LENGTH.unpack_from(got)[0]
                if end > _LENGTH.size + MAX_FRAME:
                    raise ChannelBroken("an oversized answer", expected=MAX_FRAME, actual=end - 4)
                if len(got) == end:
                    return got[_LENGTH.size :]
                if len(got) > end:
                    raise ChannelBroken("an answer that nobody asked for", expected=end)
            # A peer that sends a byte now and then must not hold us beyond the deadline.
            self._wait_at_most(self._check(deadline))

    def _check(self, deadline: float) -> float:
        """Returns the seconds that are left, or raises `TimeoutError`."""
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def _wait_at_most(self, seconds: float) -> None:
        if not self._busy_poll and seconds != self._patience:
            whole, part = divmod(max(int(seconds * 1e6), 1), 1_000_000)
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", whole, part))
            self._patience = seconds

    def close(self) -> None:
        """See `FrameTransport`."""
        self._socket.close()


class FastChannel:
    """An open channel between one client and the attested signer; a context manager.

    Attributes:
        spans: Of the last exchange, in ns: sealing, until the answer was there, opening it.
    """

    def __init__(
        self,
        evidence: VerifiedEvidence,
        identity: ClientIdentity,
        transport: FrameTransport,
        timeout: float = 5.0,
    ) -> None:
        """Opens the channel: a fresh secret sealed to the attested signer, signed by the client.

        Raises:
            NotVerified: `evidence` is not what `verify_evidence` returned.
            ReceiptInvalid: the answer is not the attested signer's.
            EnclaveRefused: the enclave does not take this client.
            ChannelTimeout, ChannelBroken: the transport failed.
        """
        if not isinstance(evidence, VerifiedEvidence):
            raise NotVerified(
                "a FastChannel needs verified evidence",
                expected="VerifiedEvidence",
                actual=type(evidence).__name__,
                remedy="call fetch_evidence first, and use what it returns",
            )
        self._transport: FrameTransport | None = transport
        self._timeout = timeout
        self.spans = (0, 0, 0)
        bundle, signer = evidence.bundle, evidence.keys(Role.SIGNER)
        secret = secrets.token_bytes(32)
        sealed = seal(secret, signer.hpke, hpke_info(bundle, Role.SIGNER, _PURPOSE))
        unsigned = ChannelOpen(identity.frame_public, sealed, b"")
        signature = identity.frame_key.sign(unsigned.message(bundle.keys_digest))
        opening = ChannelOpen(identity.frame_public, sealed, signature).serialise()
        try:
            opened = _opened(transport.exchange(opening, timeout), opening, signer.receipt)
        except Exception:
            self.close()
            raise
        keys = channel_keys(secret, opening, opened.random)
        self._sealed = SealedChannel(opened.channel, keys, Direction.TO_ENCLAVE)

    def __enter__(self) -> "FastChannel":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def exchange(self, intent: Intent, timeout: float | None = None) -> Reply:
        """Returns the signer's reply, a refusal included: see `refused_reply`.

        Raises:
            ChannelClosed: the channel was closed before.
            ChannelTimeout: no answer in time; closed now, and the outcome is unknown.
            ChannelBroken: a forged, replayed, reordered or malformed answer; closed now.
            EnclaveRefused: the enclave refused the frame itself and closed the channel.
        """
        return self.exchange_bytes(intent_bytes(intent), timeout)

    def exchange_bytes(self, intent: bytes, timeout: float | None = None) -> Reply:
        """`exchange` of an intent that is encoded already; afterwards `spans` says how it went.

        Raises:
            ChannelClosed, ChannelTimeout, ChannelBroken, EnclaveRefused: see `exchange`.
        """
        transport = self._transport
        if transport is None:
            raise ChannelClosed("this channel is closed", remedy="open another one")
        try:
            started = perf_counter_ns()
            frame = self._sealed.seal(intent)
            sealed = perf_counter_ns()
            answer = transport.exchange(frame, timeout or self._timeout)
            answered = perf_counter_ns()
            _check_refusal(answer, "frame")
            reply = Reply.parse(self._sealed.open(answer))
            self.spans = (sealed - started, answered - sealed, perf_counter_ns() - answered)
            return reply
        except WireError as error:
            self.close()
            raise ChannelBroken(
                f"the answer on the fast channel is not the next authentic frame: {error}",
                expected=error.expected,
                actual=error.actual,
                remedy="somebody on the way replays or forges frames, or the enclave restarted:"
                " verify its evidence again before opening another channel",
            ) from error
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Closes for good; harmless when closed."""
        transport, self._transport = self._transport, None
        if transport is not None:
            with suppress(OSError):
                transport.close()


def refused_reply(reply: Reply, request: str) -> EnclaveRefused | None:
    """Returns the error that a reply stands for, or None if it is an approval."""
    if reply.code is Code.OK:
        return None
    if reply.code is Code.DENIED or reply.rule is not Rule.NONE:
        figures = (reply.rule, reply.limit, reply.actual, reply.order)
        return Denied(request, *figures, authenticated=True)
    return refusal(reply.code, request, authenticated=True)


def _opened(answer: bytes, opening: bytes, receipt_key: bytes) -> ChannelOpened:
    """Proves that the attested signer answered exactly this opening."""
    _check_refusal(answer, "channel opening")
    try:
        opened = ChannelOpened.parse(answer)
        verify_signature(receipt_key, opened.signature, opened.message(opening))
    except BadSignature as error:
        raise ReceiptInvalid(
            "the channel's answer is not signed by the attested signer",
            expected=f"a signature by {receipt_key.hex()}",
            actual="another",
            remedy="somebody else answers on the frame port, or the enclave was restarted: fetch"
            " its evidence again",
        ) from error
    except WireError as error:
        raise ChannelBroken(f"the channel's answer is malformed: {error}") from error
    return opened


def _check_refusal(answer: bytes, what: str) -> None:
    if len(answer) == _REFUSAL_SIZE:
        code = read_code(int.from_bytes(answer, "big"))
        raise refusal(code if code is not Code.OK else Code.INTERNAL, what)
