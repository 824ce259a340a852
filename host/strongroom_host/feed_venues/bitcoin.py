"""A node's ZMQ publisher: transactions made up, but well-formed, counted as a node counts them."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Final

import zmq

__all__ = ["BitcoinPublisher", "MadeTransaction", "make_transaction"]

_TURN: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class MadeTransaction:
    """A serialised transaction, its txid as explorers show it, and satoshi of its largest
    output."""

    data: bytes
    txid: bytes
    largest: int


def make_transaction(
    chance: random.Random, values: tuple[int, ...], *, segwit: bool = True, inputs: int = 1
) -> MadeTransaction:
    """A transaction with these outputs in satoshi; whom it pays is made up."""
    version, lock_time = (2).to_bytes(4, "little"), bytes(4)
    spent = _size(inputs) + b"".join(
        chance.randbytes(32)
        + chance.randrange(8).to_bytes(4, "little")
        + _field(b"" if segwit else chance.randbytes(107))
        + b"\xfd\xff\xff\xff"
        for _ in range(inputs)
    )
    paid = _size(len(values)) + b"".join(
        value.to_bytes(8, "little") + _field(b"\x00\x14" + chance.randbytes(20)) for value in values
    )
    witness = b"".join(
        _size(2) + _field(chance.randbytes(71)) + _field(chance.randbytes(33))
        for _ in range(inputs)
    )
    core = version + spent + paid + lock_time
    data = version + b"\x00\x01" + spent + paid + witness + lock_time if segwit else core
    txid = hashlib.sha256(hashlib.sha256(core).digest()).digest()[::-1]
    return MadeTransaction(data, txid, max(values))


def _size(count: int) -> bytes:
    if count < 0xFD:
        return bytes([count])
    if count < 1 << 16:
        return b"\xfd" + count.to_bytes(2, "little")
    return b"\xfe" + count.to_bytes(4, "little")


def _field(data: bytes) -> bytes:
    return _size(len(data)) + data


class BitcoinPublisher:
    """A PUB socket on loopback; `publish` from one thread. Use it as a context manager.

    Args:
        seed: Of the transactions it makes up.
        port: 0 picks a free one.
        queue: Messages kept per subscriber that is slow, as ``-zmqpubrawtxhwm``.
    """

    def __init__(self, *, seed: int = 1, port: int = 0, queue: int = 1000) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # transactions to be repeated, no secret
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, queue)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._counts: dict[bytes, int] = {}
        self._mempool = 0
        self.truth: list[MadeTransaction] = []

    def __enter__(self) -> BitcoinPublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close(linger=0)
        self._context.term()

    def transfer(self, satoshi: int, *, lost: bool = False) -> MadeTransaction:
        """A transaction whose largest output is `satoshi` enters the mempool."""
        change = self.chance.randrange(1, max(2, satoshi))
        made = make_transaction(
            self.chance,
            (change, satoshi),
            segwit=self.chance.random() < 0.8,
            inputs=self.chance.randint(1, 3),
        )
        self.truth.append(made)
        self.publish(b"rawtx", made.data, lost=lost)
        self._mempool += 1
        body = made.txid + b"A" + self._mempool.to_bytes(8, "little")
        self.publish(b"sequence", body, lost=lost)
        return made

    def publish(self, topic: bytes, body: bytes, *, lost: bool = False) -> None:
        """Send a notification and count it; one that is lost is only counted."""
        count = self._counts.get(topic, 0)
        self._counts[topic] = (count + 1) % _TURN
        if not lost:
            self._socket.send_multipart([topic, body, count.to_bytes(4, "little")])
