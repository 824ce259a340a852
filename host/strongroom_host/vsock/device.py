"""The vsock device: packets of the guest in, packets for the guest out, bytes of streams between.

No sockets, clocks or files here: rings are memory, streams are a port, time comes in as a number.
Whoever drives it calls `transmit` when the guest sent packets, `fill` when the guest has buffers or
something is to be sent, `ready` when a stream moved, and `tick` from time to time.

**Bounds.** What waits for the guest's buffers is one mark per connection, plus addresses to be
reset, at most `Limits.resets`; at that number the guest's packets wait, so a guest that floods us
without reading stops itself. Bytes for the guest are read from a stream only into a buffer of the
guest that is there, for which it gave credit; bytes for the host are held up to `Limits.window`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from strongroom_host.vsock.connection import BOTH, Action, Connection, Key, State, reaction
from strongroom_host.vsock.packets import HEADER_SIZE, NO_RECEIVE, NO_SEND, STREAM, Header, Op
from strongroom_host.vsock.slots import Slot, cut, split
from strongroom_host.vsock.streams import DialBusy, DialRefused, Stream, StreamBroken
from strongroom_host.vsock.table import PARENT_CID, Limits, Table
from strongroom_host.vsock.virtqueue import Virtqueue

__all__ = ["HOST_CID", "Device"]

HOST_CID: Final = 2
"""The host, as any guest knows it."""
_BATCH: Final = 16
"""Receive buffers filled from one stream before another has its turn."""
_TURNS: Final = 128
"""Turns taken before the driver of the device looks at what else happened."""
_REDIAL_S: Final = 0.01


class Device:
    """All connections of one guest.

    Attributes:
        rx: The guest's receive queue while it runs (we fill it).
        tx: The guest's transmit queue while it runs.
        counts: How often connections were ``opened``, ``refused`` (no service), ``redialled`` (a
            busy one), ``busy`` (too many), ``absent`` (no guest), ``expired`` or ``broken``; how
            often packets were ``malformed``, ``misaddressed``, out of turn (``protocol``), beyond
            the credit (``overrun``) or of impossible credit (``credit lie``); ``bytes_up`` from
            the guest, ``bytes_down`` to it.
    """

    def __init__(
        self, cid: int, dial: Callable[[Connection], Stream], limits: Limits | None = None
    ) -> None:
        """Without a guest yet.

        Args:
            cid: The guest's.
            dial: Returns the host's stream for a connection that the guest asks for, by its
                `key.host_port`, or raises `DialRefused` or `DialBusy`.
            limits: Counts, sizes, times.
        """
        self._cid, self._dial, self._limits = cid, dial, limits or Limits()
        self.rx: Virtqueue | None = None
        self.tx: Virtqueue | None = None
        self.counts: Counter[str] = Counter()
        self._table = Table(self._limits)
        self._now = 0.0
        self._slots: deque[Slot] = deque()
        self._redial_at = 0.0
        # What waits for buffers of the guest, each address and connection once: resets, control
        # packets, bytes.
        self._resets: OrderedDict[Key, int] = OrderedDict()
        self._announced: OrderedDict[Connection, None] = OrderedDict()
        self._queue: OrderedDict[Connection, None] = OrderedDict()

    # What the driver of this class calls.

    def open(self, port: int, stream: Stream, now: float) -> Connection | None:
        """Asks the guest for a connection to one of its ports, for a client of the host.

        Returns None, with the stream closed, if no guest runs or there are too many.
        """
        self._now = now
        key = self._table.free_key(port)
        connection = None if self.rx is None else self._table.add(key, State.REQUESTED)
        if connection is None:
            self.counts["absent" if self.rx is None else "busy"] += 1
            stream.close()
            return None
        connection.stream = stream
        self._expect(connection, self._limits.request_s)
        self._announce(connection)
        return connection

    def transmit(self, now: float) -> bool:
        """Takes packets of the guest, one ringful at most; returns whether to be called again.

        Raises:
            RingBroken: the ring holds what no driver may put there.
        """
        self._now = now
        queue = self.tx
        if queue is None:
            return False
        waiting = queue.waiting()
        for _ in range(waiting):
            if len(self._resets) >= self._limits.resets:
                # The guest has to take some first; if it has no buffers, its next will wake us.
                return self._slot() is not None
            chain = queue.look()
            queue.give_back(chain.head, 0)
            self._receive(chain.pieces)
        return waiting > 0

    def fill(self, now: float) -> bool:
        """Puts what is due into buffers of the guest; returns whether to be called again.

        Raises:
            RingBroken: the ring holds what no driver may put there.
        """
        self._now = now
        for _ in range(_TURNS):
            if not (self._resets or self._announced or self._queue) or self._slot() is None:
                return False
            if self._resets:
                key, kind = self._resets.popitem(last=False)
                self._put(self._header(key, Op.RST, kind=kind))
            elif self._announced:
                self._tell(self._announced.popitem(last=False)[0])
            else:
                self._carry(self._queue.popitem(last=False)[0])
        return True

    def ready(
        self, connection: Connection, now: float, *, readable: bool, writable: bool, hung_up: bool
    ) -> None:
        """Takes note of what a connection's stream can do; `fill` comes after it."""
        self._now = now
        if connection.stream is None:
            return
        if readable and not connection.host_ended:
            connection.readable = True
            self._enqueue(connection)
        if hung_up:
            self._host_left(connection)
        elif writable and connection.pending:
            self._flush(connection)

    def tick(self, now: float) -> float | None:
        """Ends what took too long; returns when to call again, or None if nothing is timed."""
        self._now = now
        for connection in self._table.overdue(now):
            self.counts["expired"] += 1
            self._reset(connection)
        dialling = self._table.dialling()
        if not dialling:
            return self._table.next_deadline()
        if self._redial_at <= now:
            self._redial_at = now + _REDIAL_S
            for connection in dialling:
                self._connect(connection)
        return self._redial_at

    def attach(self, *, rx: Virtqueue | None, tx: Virtqueue | None) -> None:
        """Takes the rings that run; connections live on where a ring stops for a while."""
        if rx is not self.rx:
            self._slots.clear()  # looked at ahead
        self.rx, self.tx = rx, tx

    def restart(self) -> None:
        """Ends every connection: the guest's driver began anew, or is gone."""
        for connection in self._table:
            self._forget(connection)
        self._resets.clear()

    def __len__(self) -> int:
        """Returns how many connections there are, in any state."""
        return len(self._table)

    # Packets of the guest.

    def _receive(self, pieces: list[memoryview]) -> None:
        if pieces and len(pieces[0]) >= HEADER_SIZE:
            header, pieces[0] = Header.parse(pieces[0]), pieces[0][HEADER_SIZE:]
        else:
            first, pieces = cut(pieces, HEADER_SIZE)
            data = b"".join(first)
            if len(data) < HEADER_SIZE:
                self.counts["malformed"] += 1
                return
            header = Header.parse(data)
        if header.source_cid != self._cid or header.destination_cid not in (HOST_CID, PARENT_CID):
            self.counts["misaddressed"] += 1
            return
        key = Key(header.destination_cid, header.destination_port, header.source_port)
        connection = self._table.find(key)
        if header.type != STREAM:
            if header.op != Op.RST:
                self._resets[key] = header.type
        elif connection is not None:
            self._apply(connection, header, pieces)
        elif header.op == Op.REQUEST:
            self._accept(key, header)
        elif header.op != Op.RST:
            self._resets[key] = STREAM

    def _apply(self, connection: Connection, header: Header, pieces: list[memoryview]) -> None:
        action = reaction(connection.state, header.op)
        if connection.state is not State.FINISHED and action is not Action.FORGET:
            if not connection.acknowledge(header):
                self.counts["credit lie"] += 1
                action = Action.RESET
        if action is Action.DELIVER:
            self._deliver(connection, header.length, pieces)
        elif action is Action.OPEN:
            self._opened(connection)
        elif action is Action.HALF_CLOSE:
            self._half_close(connection, header.flags & BOTH)
        elif action is Action.REPORT:
            connection.credit_due = True
            self._announce(connection)
        elif action is Action.FORGET:
            self._forget(connection)
        elif action is Action.CONFIRM:
            self._reset(connection)
        elif action is Action.REPLACE:
            self._forget(connection)
            self._accept(connection.key, header)
        elif action is Action.RESET:
            self.counts["protocol"] += 1
            self._reset(connection)
        self._enqueue(connection)

    def _accept(self, key: Key, header: Header) -> None:
        connection = self._table.add(key, State.DIALLING)
        if connection is None:
            self.counts["busy"] += 1
            self._resets[key] = STREAM
        elif not connection.acknowledge(header):
            self.counts["credit lie"] += 1
            self._reset(connection)
        else:
            self._expect(connection, self._limits.request_s)
            self._connect(connection)

    def _connect(self, connection: Connection) -> None:
        try:
            connection.stream = self._dial(connection)
        except DialBusy:
            self.counts["redialled"] += 1
        except DialRefused:
            self.counts["refused"] += 1
            self._reset(connection)
        else:
            connection.confirm()
            self._announce(connection)
            self._opened(connection)

    def _opened(self, connection: Connection) -> None:
        connection.state = State.OPEN
        self.counts["opened"] += 1
        self._expect(connection, None)
        if connection.host_gone:
            self._host_left(connection)

    def _deliver(self, connection: Connection, length: int, pieces: list[memoryview]) -> None:
        """Hands a payload to the host's stream; what that does not take is kept."""
        if length > connection.promised or length > sum(map(len, pieces)):
            self.counts["overrun"] += 1
            self._reset(connection)
            return
        if connection.guest_ended & NO_SEND:
            self.counts["protocol"] += 1
            self._reset(connection)
            return
        self.counts["bytes_up"] += length
        pieces, _ = cut(pieces, length)
        taken = 0
        if pieces and connection.stream and not connection.pending and not connection.host_gone:
            try:
                taken = connection.stream.write(pieces)
            except StreamBroken:
                self._host_left(connection)
        if connection.host_gone:
            taken = length  # by nobody
        connection.consumed(taken)
        if taken < length:
            for piece in cut(pieces, taken)[1]:
                connection.pending += piece
            # Until its socket says that it is full: only then will it tell when it no longer is.
            self._flush(connection)
        elif connection.credit_due:
            self._announce(connection)

    def _half_close(self, connection: Connection, flags: int) -> None:
        connection.guest_ended |= flags
        if connection.stream and flags & NO_SEND and not connection.pending:
            connection.stream.end_writing()
        if connection.stream and flags & NO_RECEIVE:
            connection.stream.end_reading()
            connection.host_ended, connection.readable = True, False
        self._settle(connection)

    # Bytes between guest and host.

    def _flush(self, connection: Connection) -> None:
        """Moves on what is kept for the host, as far as its socket takes it."""
        stream = connection.stream
        try:
            while stream and connection.pending and (taken := stream.write([connection.pending])):
                del connection.pending[:taken]
                connection.consumed(taken)
                if connection.state is State.DRAINING:
                    self._expect(connection, self._limits.drain_s)
        except StreamBroken:
            self._host_left(connection)
            return
        if connection.credit_due:
            self._announce(connection)
        if connection.pending:
            return
        if connection.state is State.DRAINING:
            self._forget(connection)
            return
        if connection.guest_ended & NO_SEND and stream:
            stream.end_writing()
        self._settle(connection)

    def _host_left(self, connection: Connection) -> None:
        """The host's client reads no more; what it sent before may still be on its way."""
        connection.host_gone = True
        connection.shutdown |= NO_RECEIVE
        connection.consumed(len(connection.pending))
        connection.pending.clear()
        connection.readable = not connection.host_ended
        self._announce(connection)
        self._enqueue(connection)
        if connection.state is State.DRAINING:
            self._forget(connection)
        self._settle(connection)

    def _carry(self, connection: Connection) -> None:
        """Reads from a stream straight into buffers of the guest; a batch, then others' turn."""
        stream, credit = connection.stream, connection.sendable
        if stream is None or not credit or connection.state is not State.OPEN:
            return
        buffers: list[memoryview] = []
        room = 0
        for slot in islice(self._slots, _BATCH):
            buffers += slot.payload
            room += slot.capacity
            if room >= credit:
                buffers, _ = cut(buffers, credit)
                break
        try:
            count = stream.read_into(buffers)
        except StreamBroken:
            self.counts["broken"] += 1
            self._reset(connection)
            return
        if count is None:
            connection.readable = False
            return
        if not count:
            connection.readable, connection.host_ended = False, True
            connection.shutdown |= NO_SEND
            self._announce(connection)
            self._settle(connection)
            return
        self.counts["bytes_down"] += count
        while count:
            size = min(count, self._slots[0].capacity)
            count -= size
            connection.sent(size)
            self._put(self._header(connection.key, Op.RW, size, connection=connection))
        self._enqueue(connection)

    def _settle(self, connection: Connection) -> None:
        """Ends a connection whose directions are both over, or that the guest has left."""
        if connection.state is not State.OPEN:
            return
        if connection.guest_ended == BOTH:
            self._resets[connection.key] = STREAM
            if connection.pending:
                self._announced.pop(connection, None)
                self._table.drain(connection)
                self._expect(connection, self._limits.drain_s)
            else:
                self._forget(connection)
            return
        sent_all = connection.guest_ended & NO_SEND and not connection.pending
        if connection.host_ended and (connection.host_gone or sent_all):
            connection.shutdown = BOTH
            connection.state = State.FINISHED
            self._announce(connection)
            self._expect(connection, self._limits.linger_s)
            self._close(connection)

    # Housekeeping.

    def _tell(self, connection: Connection) -> None:
        """Sends one control packet of a connection; if more are due, it has another turn."""
        due = connection.next_control()
        if due is not None:
            op, flags = due
            self._put(self._header(connection.key, op, flags=flags, connection=connection))
            self._announce(connection)

    def _header(
        self,
        key: Key,
        op: Op,
        length: int = 0,
        *,
        flags: int = 0,
        kind: int = STREAM,
        connection: Connection | None = None,
    ) -> Header:
        window, consumed = connection.credit() if connection else (0, 0)
        ports = (key.host_port, key.guest_port)
        return Header(key.host_cid, self._cid, *ports, length, kind, op, flags, window, consumed)

    def _slot(self) -> Slot | None:
        """Returns the next buffer of the guest without taking it."""
        if not self._slots and self.rx is not None:
            for ahead in range(min(self.rx.waiting(), 2 * _BATCH)):
                self._slots.append(split(self.rx.look(ahead)))
        return self._slots[0] if self._slots else None

    def _put(self, header: Header) -> None:
        """Gives the guest its next buffer, whose payload is in place already."""
        slot = self._slots.popleft()
        slot.write_header(header)
        if self.rx is not None:
            self.rx.give_back(slot.head, HEADER_SIZE + header.length)

    def _announce(self, connection: Connection) -> None:
        if connection.state not in (State.DRAINING, State.GONE):
            self._announced[connection] = None

    def _enqueue(self, connection: Connection) -> None:
        if connection.readable and connection.sendable and connection.state is State.OPEN:
            self._queue[connection] = None

    def _expect(self, connection: Connection, seconds: float | None) -> None:
        self._table.expect(connection, None if seconds is None else self._now + seconds)

    def _reset(self, connection: Connection) -> None:
        if connection.state is not State.DRAINING:
            self._resets[connection.key] = STREAM
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if self._table.remove(connection):
            self._announced.pop(connection, None)
            self._queue.pop(connection, None)
            connection.pending.clear()
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        stream, connection.stream = connection.stream, None
        if stream is not None:
            stream.close()
