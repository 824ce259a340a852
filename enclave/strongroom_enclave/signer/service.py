"""The signer process: one loop over init's link and the fast channel's connections.

Single-threaded, so that decisions are strictly one after another. From outside it reads sealed
frames only, and authenticates them before it looks inside.
"""

import select
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from secrets import token_bytes

import msgspec
from strongroom_wire import encoding, frames, leaves, manifest, owners, pages
from strongroom_wire.bundle import Role
from strongroom_wire.errors import Code, Refused, WireError, require
from strongroom_wire.statements import Action, OwnerOrder

from strongroom_enclave.messages import Kind
from strongroom_enclave.platform import Socket, hardening, links
from strongroom_enclave.role import RoleProcess
from strongroom_enclave.signer import intents, keyring

_MAX_CHANNELS = 256
_MAX_STREAMS = 64


class Service(RoleProcess):
    """The signer's state: that of its role, the keys, and the channels open to it."""

    def __init__(self, link: links.Link, listener: Socket, busy_poll: bool = False) -> None:
        listener.setblocking(False)
        self._listener, self._wait, self._opened = listener, 0 if busy_poll else None, 0
        self._channels: dict[int, tuple[frames.SealedChannel, manifest.Client]] = {}
        self._streams: dict[int, links.Stream] = {}
        self._enrolling: tuple[keyring.Enrolment, bytes, pages.Entry] | None = None
        super().__init__(link, Role.SIGNER)
        self._clients = {bytes.fromhex(each.frame_key): each for each in self.manifest.clients}
        self._keyring = keyring.Keyring(self.manifest, self.identity, self.now_ms)
        self._desk = intents.Desk(list(self._keyring.keys.values()), self.now_ms, self.ledger)

    def run(self) -> None:
        """Serves until init's link closes, which ends this process and its keys."""
        poller = select.poll()
        poller.register(self.link, select.POLLIN)
        poller.register(self._listener, select.POLLIN)
        wait = self._wait
        while True:
            ready = poller.poll(wait)
            for descriptor, _ in ready:
                if descriptor == self.link.fileno():
                    self._serve(self.link.receive())
                elif descriptor == self._listener.fileno():
                    self._accept(poller)
                elif not self._streams[descriptor].exchange(frames.MAX_FRAME, self._frame):
                    poller.unregister(descriptor)
                    self._streams.pop(descriptor).close()
            # Nonces are made while nobody waits: whoever came meanwhile goes first.
            wait = 0 if ready or self._keyring.refill() else self._wait

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
                self.anchor(payload)
            case Kind.PERMIT:
                self._keyring.permit(*self.permitted(payload))
            case Kind.SUBMIT_ORDER:
                obey = partial(self._obey, number, payload)
                self.order(number, payload, ("", *self._keyring.keys), obey)
            case Kind.ENROLLED:
                self._enrolled(number, payload)
            case _:
                raise links.LinkClosed(f"init sent kind {kind}")

    def _obey(self, number: int, payload: bytes, order: OwnerOrder) -> bytes:
        """Carries out an order, and returns the answer to it: that to an enrolment comes when it
        ends."""
        kind, public = leaves.Kind.KILL, b""
        if order.action is not Action.KILL:  # stopping needs no room
            kind, public = leaves.Kind.KEY, bytes([order.action])
            self.ledger.admit()
        outcome = self._keyring.obey(order)
        if self._enrolling and isinstance(outcome, keyring.Enrolment):
            raise Refused(Code.BUSY, "enrolment", "one at a time", "another")
        entry = self.ledger.append(kind, payload, public)
        if not isinstance(outcome, keyring.Enrolment):
            return pages.answer_body(outcome, entry)
        self._enrolling = outcome, payload, entry
        venue = msgspec.msgpack.encode(outcome.key.venue)
        self.link.send(Kind.ENROLL, number, encoding.pack(b"enroll", venue, outcome.request))
        return b""

    def _enrolled(self, number: int, outcome: bytes) -> None:
        """Takes what the one-shot process brought: a code and, with it, a credential."""
        if self._enrolling is None:
            raise links.LinkClosed("a credential nobody asked for")
        (enrolment, request, entry), self._enrolling = self._enrolling, None
        body = b""
        try:
            if (code := Code(int.from_bytes(outcome[:4]))) is Code.OK:
                fields = encoding.unpack(b"credential", outcome[4:])
                enrolment.key.enrol(*(str(field, "ascii") for field in fields))
                body = pages.answer_body(fields[0], entry)
        except (WireError, ValueError, TypeError):
            code = Code.VENUE_REFUSED
        self.reply(number, request, code, body)

    def _frame(self, data: bytes) -> tuple[bytes, bool]:
        """Returns the answer to a channel opening or a frame, and whether the stream may go on."""
        try:
            if data[:4] == b"SRC1":
                return self._open(data), True
            number = int.from_bytes(data[8:16])
            require(number in self._channels, Code.UNKNOWN_CHANNEL, "channel", "open", number)
            channel, client = self._channels[number]
            # Not read back: a denial was, in its record; an approval has one shape.
            return channel.seal(self._desk.answer(channel.open(data), client).spelled()), True
        except WireError as error:
            return int(error.code).to_bytes(2), False

    def _open(self, data: bytes) -> bytes:
        """Opens a channel for a client of the manifest, and proves who answers."""
        opening = frames.ChannelOpen.parse(data)
        require(opening.client in self._clients, Code.UNKNOWN_CLIENT, "frame key of no client")
        message = opening.message(self.identity.boot.keys_digest)
        owners.verify_signature(opening.client, opening.signature, message)
        secret = self.identity.open(b"channel", opening.sealed)
        random = token_bytes(32)
        self._opened += 1
        keys = frames.channel_keys(secret, data, random)
        channel = frames.SealedChannel(self._opened, keys, frames.Direction.FROM_ENCLAVE)
        self._channels[self._opened] = channel, self._clients[opening.client]
        if len(self._channels) > _MAX_CHANNELS:
            del self._channels[min(self._channels)]
        unsigned = frames.ChannelOpened(self._opened, random, bytes(64))
        signature = self.identity.sign(unsigned.message(data))
        return frames.ChannelOpened(self._opened, random, signature).serialise()


def main(arguments: Iterable[str]) -> None:
    """Runs the signer: options, link descriptor, descriptor of the fast channel's listener."""
    *options, descriptor, listener = arguments
    hardening.harden()
    hardening.confine()
    with suppress(links.LinkClosed):
        link, frames_listener = links.Link(int(descriptor)), links.inherited(listener)
        Service(link, frames_listener, "--busy-poll" in options).run()
