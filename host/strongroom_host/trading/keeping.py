"""Before the first tick: whether the log's keeper answers, and keeps the log of this enclave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from strongroom_wire.frames import Reply
from strongroom_wire.pages import Entry

from strongroom_host.enclave_client.channel import refused_reply
from strongroom_host.errors import HostError
from strongroom_host.trading.errors import LogNotKept
from strongroom_host.trading.intents import IntentWriter

__all__ = ["prove_kept"]

_NOBODYS: Final = bytes(32)
"""The hash of no order."""


class _Enclave(Protocol):
    def exchange_bytes(self, intent: bytes, timeout: float | None = None) -> Reply:
        """See `FastChannel.exchange_bytes`."""


def prove_kept(
    enclave: _Enclave,
    writer: IntentWriter,
    kept: Callable[[Sequence[Entry]], object],
    *,
    named: bool,
) -> None:
    """Proves that a leaf which this enclave logs now is kept.

    Only a leaf of this boot tells a keeper of this enclave from another's, so that the cancellation
    of an order that nobody has is signed, which goes nowhere (queries and heartbeats are no leaf).
    Otherwise each order would be signed, and none ever sent.

    Args:
        enclave: An open channel.
        writer: Encodes for the key.
        kept: Of the keeper (`KeeperClient.kept`).
        named: Whether a person chose the keeper, and may have chosen another one's.

    Raises:
        LogNotKept: it is not, and why.
        EnclaveRefused: the enclave does not let this client cancel.
    """
    reply = enclave.exchange_bytes(writer.cancel([_NOBODYS]))
    if error := refused_reply(reply, "a cancellation, to try the keeper with"):
        raise error
    try:
        kept([Entry(reply.leaf, reply.opening)])
    except HostError as error:
        choice = "give --keeper the socket of this enclave's keeper; " if named else ""
        raise LogNotKept(
            f"the log's keeper does not keep what the enclave signs, so that no order could"
            f" leave: {error.what}",
            expected="an answer from `strongroom log keep`, running for this enclave",
            actual=error.actual,
            remedy=f"run `strongroom log keep` (a keeper that has ended may leave its socket"
            f" behind); {choice}--journal-only trades without waiting for it",
        ) from error
