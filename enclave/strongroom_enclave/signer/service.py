"""The signer process: one loop over init's link and the fast channel's connections.

Single-threaded, so that decisions are strictly one after another. From outside it reads sealed
frames only, and authenticates them before it looks inside.
"""

import select
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from secrets import token_bytes

import msgspec
from strongroom_wire import encoding, frames, leaves, manifest, merkle, owners, pages, statements
from strongroom_wire.bundle import Bundle, Role
from strongroom_wire.errors import Code, Refused, WireError

from strongroom_enclave import VERSION
from strongroom_enclave.identity import Identity
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform import Socket, hardening, links
from strongroom_enclave.signer import clock, intents, keyring

__all__ = ["Service", "main"]

_EARLIEST = 1_767_225_600_000
"""2026-01-01 in ms: no image is older, so no time below it is true."""
_MAX_CHANNELS = 256
_MAX_STREAMS = 64


class Service:
    """The signer's state: keys made at start, then what init configures."""

    def __init__(self, link: links.Link, listener: Socket, busy_poll: bool = False) -> None:
        self._link, self._listener, self._wait = link, listener, 0 if busy_poll else None
        self._identity, self._clock, self._opened = Identity(Role.SIGNER), clock.Clock(_EARLIEST), 0
        self._channels: dict[int, tuple[frames.SealedChannel, manifest.Client]] = {}
        self._streams: dict[int, links.Stream] = {}
        self._enrolling: tuple[keyring.Enrolment, bytes, bytes, pages.Entry] | None = None
        self._obeyed: dict[bytes, bytes] = {}  # answers, by SHA-256 of the order
        link.send(Kind.REGISTER, 0, self._identity.public)
        bundle, configured = encoding.unpack(b"configure", link.receive().payload)
        self._identity.boot = Bundle.parse(bundle)
        document = msgspec.msgpack.decode(configured, type=manifest.Manifest)
        self._clients = {bytes.fromhex(client.frame_key): client for client in document.clients}
        self._keyring = keyring.Keyring(document, self._identity, self._now)
        self._ledger = Ledger(self._identity, Role.SIGNER, document.account, self._time)
        self._desk = intents.Desk(list(self._keyring.keys.values()), self._now, self._ledger)

    def run(self) -> None:
        """Serves until init's link closes, which ends this process and its keys."""
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        poller.register(self._listener, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll(self._wait):
                if descriptor == self._link.fileno():
                    self._serve(self._link.receive())
                elif descriptor == self._listener.fileno():
                    self._accept(poller)
                elif not self._streams[descriptor].exchange(frames.MAX_FRAME, self._frame):
                    poller.unregister(descriptor)
                    self._streams.pop(descriptor).close()

    def _accept(self, poller: select.poll) -> None:
        """Takes a new connection, if there is room for it and it has not vanished meanwhile."""
        with suppress(OSError):
            stream = links.Stream(self._listener.accept()[0])
            if len(self._streams) < _MAX_STREAMS:
                self._streams[stream.fileno()] = stream
                poller.register(stream, select.POLLIN)
            else:
                stream.close()

    def _serve(self, message: links.Message) -> None:
        """Acts on one message of init."""
        kind, number, payload = message
        match kind:
            case Kind.ANCHOR:
                authenticated, reading = (int.from_bytes(payload[at:][:8]) for at in (0, 8))
                self._clock.anchor(authenticated, reading)
                self._link.send(Kind.HEAD, 0, self._ledger.head.serialise())
            case Kind.PERMIT:
                statement, sealing = encoding.unpack(b"permit", payload)
                self._permit(statement, sealing)
            case Kind.SUBMIT_ORDER:
                self._order(number, payload)
            case Kind.ENROLLED:
                self._enrolled(number, payload)
            case Kind.OPEN_CHANNEL | Kind.EXCHANGE_FRAME:
                self._link.send(Kind.REPLY, number, self._frame(payload)[0])
            case _:
                raise links.LinkClosed(f"init sent kind {kind}")

    def _permit(self, statement: bytes, sealing: bytes) -> None:
        """Logs a permit that init verified, the first one as this boot's beginning, and only then
        puts it into force."""
        permit = statements.Permit.parse(owners.Statement.parse(statement).payload)
        digest, boot = sha256(statement).digest(), self._identity.boot
        if self._ledger.opened:
            self._ledger.append(leaves.Kind.PERMIT, statement, digest)
        else:
            self._clock.passed(permit.not_before, time.monotonic_ns())
            digests = boot.manifest_digest, boot.keys_digest, digest
            start = leaves.Boot(permit.signer_head, *digests, VERSION)
            tree = merkle.Frontier.parse(permit.signer_log)
            self._ledger.open(tree, statement, start.serialise())
        self._keyring.permit(permit, sealing)

    def _order(self, number: int, payload: bytes) -> None:
        """Answers an owner order with a receipt; an enrolment is answered when it ends. One that
        was obeyed before gets the first answer again, and the log no second leaf."""
        try:
            statement = owners.Statement.parse(payload)
            order = self._keyring.authorised(statement)
            digest = sha256(statement.payload).digest()
            if body := self._obeyed.get(digest):
                return self._answer(number, payload, Code.OK, body)
            kind, public = leaves.Kind.KILL, b""
            if order.action is not statements.Action.KILL:  # stopping needs no room
                kind, public = leaves.Kind.KEY, bytes([order.action])
                self._ledger.admit()
            outcome = self._keyring.obey(order)
            if self._enrolling and isinstance(outcome, keyring.Enrolment):
                raise Refused(Code.BUSY, "enrolment", "one at a time", "another")
            entry = self._ledger.append(kind, payload, public)
            if not isinstance(outcome, keyring.Enrolment):
                self._obeyed[digest] = body = pages.answer_body(outcome, entry)
                return self._answer(number, payload, Code.OK, body)
            venue = msgspec.msgpack.encode(outcome.key.venue)
            self._enrolling = outcome, payload, digest, entry
            self._link.send(Kind.ENROLL, number, encoding.pack(b"enroll", venue, outcome.request))
        except WireError as error:
            self._answer(number, payload, error.code)

    def _enrolled(self, number: int, outcome: bytes) -> None:
        """Takes what the one-shot process brought: a code and, with it, a credential."""
        if self._enrolling is None:
            raise links.LinkClosed("a credential nobody asked for")
        (enrolment, request, digest, entry), self._enrolling = self._enrolling, None
        body = b""
        try:
            if (code := Code(int.from_bytes(outcome[:4]))) is Code.OK:
                fields = encoding.unpack(b"credential", outcome[4:])
                enrolment.key.enrol(*(str(field, "ascii") for field in fields))
                self._obeyed[digest] = body = pages.answer_body(fields[0], entry)
        except (WireError, ValueError, TypeError):
            code = Code.VENUE_REFUSED
        self._answer(number, request, code, body)

    def _answer(self, number: int, request: bytes, code: Code, body: bytes = b"") -> None:
        self._link.send(Kind.REPLY, number, self._identity.answer(request, code, body))

    def _frame(self, data: bytes) -> tuple[bytes, bool]:
        """Returns the answer to a channel opening or a frame, and whether the stream may go on."""
        try:
            if data[:4] == b"SRC1":
                return self._open(data), True
            number = int.from_bytes(data[8:16])
            if number not in self._channels:
                raise Refused(Code.UNKNOWN_CHANNEL, "channel", "an open one", number)
            channel, client = self._channels[number]
            return channel.seal(self._desk.answer(channel.open(data), client).serialise()), True
        except WireError as error:
            return int(error.code).to_bytes(2), False

    def _open(self, data: bytes) -> bytes:
        """Opens a channel for a client of the manifest, and proves who answers."""
        opening = frames.ChannelOpen.parse(data)
        if opening.client not in self._clients:
            raise Refused(Code.UNKNOWN_CLIENT, "frame key", "one of the manifest", "another")
        message = opening.message(self._identity.boot.keys_digest)
        owners.verify_signature(opening.client, opening.signature, message)
        secret = self._identity.open(b"channel", opening.sealed)
        random = token_bytes(32)
        self._opened += 1
        keys = frames.channel_keys(secret, data, random)
        channel = frames.SealedChannel(self._opened, keys, frames.Direction.FROM_ENCLAVE)
        self._channels[self._opened] = channel, self._clients[opening.client]
        if len(self._channels) > _MAX_CHANNELS:
            del self._channels[min(self._channels)]
        unsigned = frames.ChannelOpened(self._opened, random, bytes(64))
        signature = self._identity.sign(unsigned.message(data))
        return frames.ChannelOpened(self._opened, random, signature).serialise()

    def _now(self) -> int:
        return self._clock.now_ms(time.monotonic_ns())

    def _time(self) -> int:
        """Returns the time that goes into leaves: 0 says that nobody could tell it."""
        try:
            return self._now()
        except clock.ClockFault:
            return 0


def main(arguments: Iterable[str]) -> None:
    """Runs the signer: options, link descriptor, descriptor of the fast channel's listener."""
    *options, descriptor, listener = arguments
    hardening.harden()
    hardening.confine()
    with suppress(links.LinkClosed):
        frames_listener = links.inherited_listener(listener)
        Service(links.Link(int(descriptor)), frames_listener, "--busy-poll" in options).run()
    sys.exit(0)
