"""Which keys may sign a log's heads: those that are named, and those that evidence of boots proves.

Each boot signs with a key of its own. Whoever watches a log over years names its owners and the
images that they may run, once; the key of each new boot follows from the evidence that its host
serves, which proves itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf

from strongroom_host.log.attested import prove_boot, role_of
from strongroom_host.log.errors import BootUnproved, LogError, LogUnreadable
from strongroom_host.log.notes import Checkpoint, Note, VerifierKey
from strongroom_host.log.sources import LogSource, read_boot
from strongroom_host.log.tree import LogReader
from strongroom_host.trust.record import Trust

__all__ = ["BootKeys"]


class BootKeys:
    """The keys of one log, learned boot by boot: a `KeyRing`.

    Args:
        origin: The log.
        named: Keys that are trusted as they are.
        trust: Which images may be the log's; None learns no further keys.
        owner_root: Whose log it is, 32 bytes.
    """

    def __init__(
        self,
        origin: str,
        named: Iterable[VerifierKey] = (),
        trust: Trust | None = None,
        owner_root: bytes = b"",
    ) -> None:
        self._origin, self._trust, self._owner_root = origin, trust, owner_root
        self._keys = {key for key in named if key.name == origin}

    def add(self, key: VerifierKey) -> None:
        """Trusts one more key: the caller has verified the evidence of its boot."""
        self._keys.add(key)

    def keys(self, note: bytes, source: LogSource) -> Collection[VerifierKey]:
        """The keys known by now; the boot that signed `note` is asked for if it is a new one.

        Raises:
            BootUnproved: the source has no evidence of that boot, or none that verifies.
            LogUnreadable: the source does not answer.
            NoteMalformed, CheckpointMalformed: `note` is no checkpoint.
        """
        parsed = Note.parse(note)
        by = {(signature.name, signature.key_id) for signature in parsed.signatures}
        known = any((key.name, key.id) in by for key in self._keys)
        if self._trust is not None and not known:
            self._learn(Checkpoint.parse(parsed.text).head, source, self._trust)
        return self._keys

    def _learn(self, head: LogHead, source: LogSource, trust: Trust) -> None:
        """Adds the key of the boot whose leaf is the newest: no other boot signs that head."""
        try:
            last = LogReader(source, head).bundle((head.size - 1) // 256)[-1]
            stored = read_boot(source, Leaf.parse(last).epoch)
            proved = prove_boot(stored, trust, self._owner_root, role_of(self._origin))
        except LogUnreadable:
            raise
        except BootUnproved:
            raise
        except (LogError, WireError, IndexError) as error:
            raise BootUnproved(
                "an unknown key signed the head, and no evidence of its boot is shown",
                expected="the evidence of the boot that made the newest leaf, under boots/",
                actual=error,
                remedy="pull the log with `strongroom log pull` or `log keep`, which store it; or"
                " name the key with --key",
            ) from error
        if proved.key.name == self._origin:
            self.add(proved.key)
