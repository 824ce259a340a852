"""What the processes with a log have in common: the link to init, keys, time, the owners' word.

Signer and record each are one of these with their own work around it. The owners' signatures are
checked here once more: init and front only carried the bytes.
"""

import time
from collections.abc import Callable, Container
from hashlib import sha256
from threading import Lock

import msgspec
from strongroom_wire import bundle, encoding, leaves, owners
from strongroom_wire.errors import Code, WireError, require
from strongroom_wire.manifest import Manifest
from strongroom_wire.statements import ORDER_DOMAIN, Action, OwnerOrder, Permit

from strongroom_enclave import VERSION
from strongroom_enclave.clock import Clock, ClockFault
from strongroom_enclave.identity import Identity
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.messages import Kind
from strongroom_enclave.platform.links import Link

# 2026-01-01 in ms: no image is older, so no time below it is true.
_EARLIEST = 1_767_225_600_000
# What needs no permit: it moves nothing that a boot has not made itself.
_AT_ANY_TIME = Action.KILL, Action.GENERATE, Action.IMPORT


_Obey = Callable[[OwnerOrder], bytes]


class RoleProcess:
    """Keys made at start, then what init configures: `identity`, `manifest`, `ledger`, `link`.

    The time may be asked for by any thread, and the link sent on; for the rest there is one.
    """

    def __init__(self, link: Link, role: bundle.Role) -> None:
        """Registers with init and waits for the manifest."""
        self.link, self._role, self._turn = link, role, Lock()
        self.identity, self.clock = Identity(role), Clock(_EARLIEST)
        self._obeyed: dict[bytes, bytes] = {}  # answers, by SHA-256 of the order
        link.send(Kind.REGISTER, 0, self.identity.public)
        boot, document = encoding.unpack(b"configure", link.receive().payload)
        self.identity.boot = bundle.Bundle.parse(boot)
        self.manifest = msgspec.msgpack.decode(document, type=Manifest)
        self.ledger = Ledger(self.identity, role, self.manifest.account, self.time_ms)
        self._owners = self.manifest.owners()

    def now_ms(self) -> int:
        """Returns authenticated ms since the epoch, or raises `ClockFault`."""
        with self._turn:  # or the later of two readings could be told of first
            return self.clock.now_ms(time.monotonic_ns())

    def time_ms(self) -> int:
        """Returns the time that goes into leaves: 0 says that nobody could tell it."""
        try:
            return self.now_ms()
        except ClockFault:
            return 0

    @property
    def head(self) -> bundle.LogHead:
        """The head of the log that evidence may commit to."""
        return self.ledger.head

    def anchor(self, payload: bytes) -> None:
        """Takes the time that init had authenticated, and says how far the log has come."""
        with self._turn:
            self.clock.anchor(*(int.from_bytes(payload[at:][:8]) for at in (0, 8)))
        self.link.send(Kind.HEAD, 0, self.head.serialise())

    def permitted(self, payload: bytes) -> tuple[Permit, bytes]:
        """Returns a permit that init verified, and this role's sealing key or nothing.

        It is in the log by then, the first one as this boot's beginning: only afterwards may it be
        put into force.
        """
        statement, sealing = encoding.unpack(b"permit", payload)
        permit = Permit.parse(owners.Statement.parse(statement).payload)
        digest, boot = sha256(statement).digest(), self.identity.boot
        if self.ledger.opened:
            self.ledger.append(leaves.Kind.PERMIT, statement, digest)
        else:
            self.clock.passed(permit.not_before, time.monotonic_ns())
            tree = permit.continues(self._role)
            digests = boot.manifest_digest, boot.keys_digest, digest
            start = leaves.Boot(tree.head, *digests, VERSION)
            self.ledger.open(tree, statement, start.serialise())
        return permit, sealing

    def authorised(self, statement: owners.Statement, names: Container[str]) -> OwnerOrder:
        """Returns the order in a statement, after proving that it is the owners' to this process,
        in this boot, about one of `names` (an empty one is about all).

        Raises:
            Refused, WireError: with the code that says why not.
        """
        payload = self._owners.verify(ORDER_DOMAIN, statement, 1)  # before anything in it is read
        order, boot = OwnerOrder.parse(payload), self.identity.boot
        action, kill = order.action, order.action is Action.KILL
        self._owners.verify(ORDER_DOMAIN, statement, 1 if kill else None)
        ours = (action is Action.CONNECT) is (self._role is bundle.Role.RECORD)
        for code, expected, actual in (
            (Code.WRONG_BOOT, boot.boot_id, order.boot_id),
            (Code.WRONG_MANIFEST, boot.manifest_digest, order.manifest_digest),
            (Code.UNKNOWN_REQUEST, True, ours),
            (Code.WRONG_PHASE, True, self.ledger.opened or action in _AT_ANY_TIME),
            (Code.UNKNOWN_KEY, True, order.key in names),
            # One owner's word, always obeyed and logged: few different ones, or they fill us up.
            (Code.MALFORMED, True, not kill or not order.body),
        ):
            require(expected == actual, code, "owner order", expected, actual)
        return order

    def order(self, number: int, request: bytes, names: Container[str], obey: _Obey) -> None:
        """Answers an owner order with a receipt. One that was obeyed before gets the first answer
        again, and the log no second leaf. If `obey` returns nothing, it will `reply` itself."""
        try:
            statement = owners.Statement.parse(request)
            order = self.authorised(statement, names)
            body = self._obeyed.get(sha256(statement.payload).digest()) or obey(order)
            if body:
                self.reply(number, request, Code.OK, body)
        except WireError as error:
            self.reply(number, request, error.code)

    def reply(self, number: int, request: bytes, code: Code, body: bytes = b"") -> None:
        """Answers an owner order; a body is kept, for when it comes again."""
        if body:
            payload = owners.Statement.parse(request).payload
            self._obeyed[sha256(payload).digest()] = body
        self.link.send(Kind.REPLY, number, self.identity.answer(request, code, body))
