"""The owner's memory and a log that was pulled into his folder: held together, then remembered."""

import time
from pathlib import Path
from typing import Final

from strongroom_wire.bundle import LogHead

from strongroom_host.cli.output import warn
from strongroom_host.log import proofs
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import HeadMemory, How, RememberedHead
from strongroom_host.owner.history import Vouched

__all__ = ["memory_beside", "remember_pulled"]

_OWNER: Final = "owner.json"


def memory_beside(log: Path) -> HeadMemory | None:
    """The memory of the owner in whose folder the log is (`<owner>/log`); None in another place."""
    folder = log.expanduser().absolute().parent
    return OwnerFolder(folder).heads if (folder / _OWNER).exists() else None


def remember_pulled(
    memory: HeadMemory,
    origin: str,
    reader: LogReader,
    head: LogHead,
    boot_id: bytes,
    how: How = How.PULLED,
) -> bool:
    """Remembers a signed head of which all leaves are stored (or, with `How.SHOWN`, not here);
    whether all known ones are in it.

    The new head is remembered in any case: both histories are vouched for then, and the next permit
    has to give up one of them.

    Raises:
        MemoryDamaged, MemoryUnwritable: what is known cannot be read, or not added to.
    """
    lost = [
        Vouched.of(known)
        for known in memory.known(origin)
        if known.head.size > reader.head.size
        or proofs.head(known.head.size, reader.hashes) != known.head
    ]
    for each in lost:
        warn(
            f"the log lacks the history of {each.head.size} leaves, {each.head.root.hex()[:16]}"
            f" ({each}): forked, or rolled back"
        )
    now_ms = int(time.time() * 1000)
    memory.remember(origin, [RememberedHead(head, how, now_ms, boot_id)])
    return not lost
