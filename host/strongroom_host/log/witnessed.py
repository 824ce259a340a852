"""How much of a log enough witnesses vouch for, by the notes that were kept. Pure and offline.

A witness that is honest cosigns one history. Two histories of one log can each have a quorum only
where so many witnesses cosigned both: `Quorum.outvoted` says how many may lie without that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.manifest import Manifest

from strongroom_host.log.errors import HeadsInconsistent
from strongroom_host.log.notes import SignatureType, VerifierKey, open_checkpoint
from strongroom_host.log.witness_errors import QuorumInvalid

__all__ = ["Quorum", "Witnessed", "witnessed"]


@dataclass(frozen=True, slots=True)
class Quorum:
    """Witnesses, and how many of them must cosign a head for it to be believed. None, and 0, for a
    log without witnesses: nothing of it is vouched for."""

    witnesses: tuple[VerifierKey, ...]
    needed: int

    def __post_init__(self) -> None:
        count = len({key.key for key in self.witnesses})
        kinds = {key.kind for key in self.witnesses} <= {SignatureType.COSIGNATURE}
        if not kinds or count != len(self.witnesses) or not bool(count) <= self.needed <= count:
            raise QuorumInvalid(
                "no quorum of witnesses",
                expected="distinct keys of type 4, and at least one of them needed",
                actual=f"{self.needed} of {len(self.witnesses)}",
            )

    @classmethod
    def of(cls, manifest: Manifest) -> Quorum:
        """The quorum that a manifest names."""
        keys = (
            VerifierKey(each.name, bytes.fromhex(each.key), SignatureType.COSIGNATURE)
            for each in manifest.witnesses
        )
        return cls(tuple(keys), manifest.witness_quorum)

    @property
    def outvoted(self) -> int:
        """How many witnesses may cosign two histories before both can reach the quorum; negative
        where two histories can have a quorum each although no witness lies."""
        return 2 * self.needed - len(self.witnesses) - 1


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The largest head that a quorum has cosigned, with the Unix second of each cosignature.

    `seconds` is when the quorum was complete: until then, none of these witnesses knew of more
    leaves, or of others. EMPTY_LOG and 0 where no quorum vouches for anything.
    """

    head: LogHead = EMPTY_LOG
    times: Mapping[VerifierKey, int] = field(default_factory=dict)
    seconds: int = 0

    @property
    def size(self) -> int:
        """How many leaves are vouched for."""
        return self.head.size


def witnessed(
    notes: Iterable[bytes],
    origin: str,
    keys: Collection[VerifierKey],
    quorum: Quorum,
    *,
    now: int | None = None,
) -> Witnessed:
    """Proves up to which head a quorum of witnesses vouches for one history of a log.

    Args:
        notes: Signed checkpoints, such as the stored one and older ones.
        origin: The log's name.
        keys: The receipt keys of its boots, out of their evidence.
        quorum: The witnesses that the manifest names.
        now: Unix seconds; cosignatures of a later time do not count. None does not ask.

    Raises:
        NoteMalformed, CheckpointMalformed: a note is none, or is another log's.
        SignatureWrong: a signature in the name of one of the keys does not verify.
        CheckpointUnsigned: no key of the log signed it, whoever cosigned it.
        HeadsInconsistent: two quorums vouch for different trees of one size.
    """
    best = Witnessed()
    for data in notes:
        signed = open_checkpoint(data, origin, keys, quorum.witnesses)
        times = {key: at for key, at in signed.witnesses.items() if now is None or at <= now}
        if not 0 < quorum.needed <= len(times):
            continue
        if signed.head.size == best.size and signed.head != best.head:
            raise HeadsInconsistent(
                f"quorums of witnesses vouch for different trees of {best.size} leaves",
                expected=best.head.root.hex(),
                actual=signed.head.root.hex(),
                remedy="keep both notes: some of these witnesses cosigned two histories",
            )
        complete = sorted(times.values())[quorum.needed - 1]
        # Of one head, the newest note says most: at that time still, there was no other.
        if (signed.head.size, complete) >= (best.size, best.seconds):
            best = Witnessed(signed.head, times, complete)
    return best
