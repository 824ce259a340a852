"""What an owner remembers of his record's log: each head that a boot of his shows him, proved.

`strongroom permit` holds the stored log against it, so that no later boot begins without what an
earlier one had: neither by mistake, nor because a host shows an old copy or none.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf

from strongroom_host.cli.log_meant import LogRole, whose_log
from strongroom_host.cli.log_memory import remember_pulled
from strongroom_host.cli.output import warn
from strongroom_host.cli.session import OwnerSession
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.errors import HostError
from strongroom_host.log.attested import prove_boot
from strongroom_host.log.examination import Meant
from strongroom_host.log.notes import Checkpoint, Note, open_checkpoint
from strongroom_host.log.return_proof import ProvedReturn
from strongroom_host.log.sources import LogSource, open_source, read_boot, reader_of
from strongroom_host.log.stored import head_of
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import How, RememberedHead

__all__ = ["remember_attested", "remember_proved", "remember_record"]

_OWNER: Final = "owner.json"


def remember_attested(session: OwnerSession, evidence: VerifiedEvidence) -> None:
    """Remembers the head of the record's log that verified evidence commits to, if it has one.

    Raises:
        MemoryDamaged, MemoryUnwritable: it cannot be remembered.
    """
    bundle, account = evidence.bundle, session.manifest.manifest.account
    head = evidence.keys(Role.RECORD).head
    shown = RememberedHead(head, How.SHOWN, _now_ms(), bundle.boot_id, "its evidence")
    log = log_origin(bundle.owner_root, account, Role.RECORD)
    session.folder.heads.remember(log, [shown])


def remember_record(owner: Path, place: str) -> None:
    """Remembers the newest head of a record's log as it is shown, if this owner's enclave signed
    it, and points out what of his memory is not in there. Nothing happens where no owner is at
    home, or where the log is another account's; what cannot be proved is said and not remembered.

    Args:
        owner: The owner's folder.
        place: The log's folder, or the URL where it is served.
    """
    folder = owner.expanduser()
    if not (folder / _OWNER).is_file() or not ("://" in place or Path(place).is_dir()):
        return
    try:
        meant = whose_log(None, None, [], folder, folder, LogRole.RECORD)
        with ExitStack() as stack:
            _remember_shown(folder, meant, stack.enter_context(open_source(place, None)))
    except (HostError, WireError) as error:
        warn(f"{folder} does not remember this record's log: {error}")


def remember_proved(owner: Path, meant: Meant, proved: ProvedReturn) -> None:
    """Remembers the head that a return was proved under, where that record's owner is at home."""
    folder, log = owner.expanduser(), proved.writer.key.name
    if (folder / _OWNER).is_file() and meant.origin == log:
        what = f"a return from {proved.found.hour.start_ms} on"
        shown = RememberedHead(
            proved.signed.head, How.SHOWN, _now_ms(), proved.writer.boot_id, what
        )
        OwnerFolder(folder).heads.remember(log, [shown])


def _remember_shown(folder: Path, meant: Meant, source: LogSource) -> None:
    notes = [note for note in (source.checkpoint, source.note) if note]
    if meant.trust is None or not notes:
        return
    note = max(notes, key=lambda each: head_of(each).size)
    head = head_of(note)
    if Checkpoint.parse(Note.parse(note).text).origin != meant.origin or not head.size:
        return
    [newest] = reader_of(source).entries(head.size - 1, head.size)
    stored = read_boot(source, Leaf.parse(newest).epoch)
    boot = prove_boot(stored, meant.trust, meant.owner_root, Role.RECORD)
    signed = open_checkpoint(note, meant.origin, [boot.key])
    reader = LogReader(source, signed.head, source.size)
    memory = OwnerFolder(folder).heads
    remember_pulled(memory, meant.origin, reader, signed.head, boot.boot_id, How.SHOWN)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
