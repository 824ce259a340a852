"""Keeping a copy of a running enclave's log, and naming the part of it that a boot continues."""

from __future__ import annotations

from collections.abc import Callable

from strongroom_wire.leaves import Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import LogPage

from strongroom_host.log.errors import HeadsInconsistent, PositionMissed
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import SignedHead, VerifierKey, open_checkpoint, signed_note

__all__ = ["continued_by", "pull"]


def pull(log: LogFiles, ask: Callable[[int], bytes], key: VerifierKey) -> SignedHead:
    """Brings a stored log up to the head that the running boot signs, and publishes that head.

    Nothing is stored before the leaves, after those stored already, lead to exactly that head.

    Args:
        log: Where the leaves go.
        ask: Returns the answer to READ_LOG (a `LogPage`) from an index on.
        key: The log's name, and the receipt key out of the boot's evidence.

    Raises:
        WireError: what came is no page.
        NoteMalformed, CheckpointMalformed, SignatureWrong: its head is not this log's.
        PositionMissed: leaves between those stored and those that the enclave still has are gone.
        HeadsInconsistent: the signed head is of another history than the one stored.
        LogUnwritable: see `LogFiles.append`.
    """
    tree, found = log.reader().frontier(), list[bytes]()
    while True:
        page = LogPage.parse(ask(tree.size))
        note = signed_note(page.checkpoint, key, page.signature)
        signed = open_checkpoint(note, key.name, [key])
        for entry in page.entries:
            index = Leaf.parse(entry.leaf).index
            if index != tree.size:
                raise PositionMissed(
                    "the enclave no longer has the leaves before these",
                    expected=tree.size,
                    actual=index,
                    remedy="put the missing ones in from another copy of the log, or from the "
                    "clients who were handed them with their answers; then pull again",
                )
            tree.append(leaf_hash(entry.leaf))
            found.append(entry.leaf)
        if tree.size >= signed.head.size or not page.entries:
            break
    if tree.head != signed.head:
        raise HeadsInconsistent(
            "the enclave's log is another history than the one stored",
            expected=(tree.head.size, tree.head.root.hex()),
            actual=(signed.head.size, signed.head.root.hex()),
            remedy="keep both: one of them was forked, edited or restored from an old copy",
        )
    log.append(log.size, found)
    log.publish(note)
    return signed


def continued_by(log: LogFiles, boot_id: bytes) -> Frontier:
    """Returns the history that a boot continues: all that is stored before its own first leaf.

    All permits of one boot name the same history, so its own leaves, pulled meanwhile, are not in
    it.
    """
    reader, size = log.reader(), log.size
    while size and Leaf.parse(reader.entry(size - 1)).epoch == boot_id:
        size -= 1
    return log.reader(size).frontier()
