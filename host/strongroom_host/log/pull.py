"""Keeping a copy of a running enclave's log, and naming the part of it that a boot continues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Boot, Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry, LogPage

from strongroom_host.contract.openings import WrongOpening, record_in
from strongroom_host.log.errors import (
    HeadsInconsistent,
    LogForked,
    LogShorter,
    OpeningWrong,
    PositionMissed,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.incoming import Incoming
from strongroom_host.log.notes import SignedHead, VerifierKey, open_checkpoint, signed_note
from strongroom_host.log.openings import Openings
from strongroom_host.log.own_heads import keep_own_head
from strongroom_host.log.stored import StoredLog

__all__ = ["News", "continued_by", "fetch", "prove_opening", "pull", "store"]


@dataclass(frozen=True, slots=True)
class News:
    """What a running boot's log has beyond the stored one: entries that, after the leaves stored,
    lead to `signed`, the head in `note`."""

    entries: tuple[Entry, ...]
    signed: SignedHead
    note: bytes


def pull(
    log: LogFiles,
    ask: Callable[[int], bytes],
    key: VerifierKey,
    openings: Openings | None = None,
) -> SignedHead:
    """Brings a stored log up to the head that the running boot signs, and publishes that head.

    Nothing is stored before the leaves, after those stored already, lead to exactly that head.

    Args:
        log: Where the leaves go.
        ask: Returns the answer to READ_LOG (a `LogPage`) from an index on.
        key: The log's name, and the receipt key out of the boot's evidence.
        openings: Where the openings go, of those leaves that they come with.

    Raises:
        WireError, LogError: see `fetch`.
        LogUnwritable: see `LogFiles.append`.
    """
    news = fetch(log, ask, key)
    store(log, news, openings)
    log.publish(news.note)
    return news.signed


def fetch(log: LogFiles, ask: Callable[[int], bytes], key: VerifierKey) -> News:
    """Returns what is new in the running boot's log, proved and not stored yet.

    Raises:
        WireError: what came is no page.
        NoteMalformed, CheckpointMalformed, SignatureWrong: its head is not this log's.
        PositionMissed: leaves between those stored and those that the enclave still has are gone.
        LogShorter: the enclave's log is an old state of the one stored.
        LogForked: the enclave's log has another history than the one stored.
        HeadsInconsistent: the leaves do not lead to the signed head.
        OpeningWrong: an opening is not of the leaf that it came with.
        LogUnwritable: pages that are not proved yet could not be kept.
    """
    tree, incoming = log.frontier, Incoming(log.folder)
    entries: list[Entry] = []
    while True:
        page = LogPage.parse(ask(tree.size))
        note = signed_note(page.checkpoint, key, page.signature)
        signed = open_checkpoint(note, key.name, [key])
        found = _following(tree.size, page.entries, incoming)
        for entry in found:
            tree.append(leaf_hash(entry.leaf))
        entries += found
        if tree.size >= signed.head.size or not page.entries:
            break
        incoming.add(found)
    if tree.head != signed.head:
        raise _disagreement(log, entries, tree, signed)
    return News(tuple(entries), signed, note)


def store(log: LogFiles, news: News, openings: Openings | None = None) -> None:
    """Stores what `fetch` returned, leaves with the signed head, not published yet.

    Raises:
        LogUnwritable, LogDamaged: see `LogFiles.append` and `Openings.put`.
    """
    if news.entries and log.size and _epoch(news.entries[0].leaf) != _epoch(log.leaf(log.size - 1)):
        keep_own_head(log)  # another boot's head takes its place
    if openings is not None:
        # Before the leaves: an opening without its leaf does no harm, and is fetched again.
        opened = {log.size + n: e.opening for n, e in enumerate(news.entries) if e.opening}
        openings.put(opened)
    log.append(log.size, [entry.leaf for entry in news.entries], news.note)
    Incoming(log.folder).clear()


def continued_by(log: StoredLog, boot_id: bytes) -> Frontier:
    """Returns the history that a boot continues: all that is stored before its own first leaf.

    All permits of one boot name the same history, so its own leaves, pulled meanwhile, are not in
    it.
    """
    reader, size = log.reader(), log.size
    while size and Leaf.parse(reader.entry(size - 1)).epoch == boot_id:
        size -= 1
    return log.reader(size).frontier()


def _following(size: int, entries: tuple[Entry, ...], incoming: Incoming) -> tuple[Entry, ...]:
    """The entries of a page, which are those from `size` on; before them what was kept of pages
    that came earlier, where the enclave has forgotten that."""
    if not entries:
        return entries
    first = Leaf.parse(entries[0].leaf)
    if first.index > size:
        kept = incoming.entries()
        before = [kept[n] for n in range(size, first.index) if n in kept]
        if len(before) < first.index - size:
            begins = ", with which a boot begins" if first.kind is Kind.BOOT else ""
            raise PositionMissed(
                f"the enclave no longer has the leaves before number {first.index}{begins}",
                expected=size,
                actual=first.index,
                remedy="put the missing ones in from another copy of the log, or from the clients "
                "who were handed them with their answers: `strongroom log recover`",
            )
        entries = (*before, *entries)
    for index, entry in enumerate(entries, size):
        leaf = Leaf.parse(entry.leaf)
        if leaf.index != index:
            raise PositionMissed(
                "the enclave gives leaves out of order", expected=index, actual=leaf.index
            )
        if entry.opening:
            prove_opening(leaf, entry.opening)
    return entries


def prove_opening(leaf: Leaf, opening: bytes) -> None:
    """Proves that an opening is of this leaf.

    Raises:
        OpeningWrong: it is not.
    """
    try:
        record_in(leaf, opening)
    except WrongOpening as error:
        raise OpeningWrong(
            f"an opening that is not of leaf {leaf.index}", expected=leaf.commitment.hex()
        ) from error


def _disagreement(
    log: StoredLog, entries: list[Entry], tree: Frontier, signed: SignedHead
) -> HeadsInconsistent:
    """Says how the enclave's history differs from the one stored."""
    size, head = log.size, signed.head
    expected = f"{tree.head.size} leaves, root {tree.head.root.hex()}"
    actual = f"{head.size} leaves, root {head.root.hex()}"
    if head.size < size and log.reader(head.size).head == head:
        return LogShorter(
            f"the enclave's log is shorter than the one stored: it lacks the newest"
            f" {size - head.size} leaves",
            expected=expected,
            actual=actual,
            remedy="its permit named an old state of this log; keep this copy, permit a new boot "
            "that continues it, and end this one",
        )
    begun = _begun(entries[0]) if entries else None
    if begun is not None and begun.continued != log.head:
        what = f"this boot continues another history of {begun.continued.size} leaves"
    elif head.size <= size:
        what = f"the enclave's log of {head.size} leaves has another history"
    else:
        return HeadsInconsistent(
            "the stored leaves and those that came do not lead to the head that the enclave signed",
            expected=actual,
            actual=expected,
            remedy="leaves were edited, here or on their way: keep this copy as it is, run "
            "`strongroom log verify`, and compare it with another one",
        )
    return LogForked(
        f"{what} than the one stored",
        expected=expected,
        actual=actual,
        remedy="keep both: one was forked, edited or restored from an old copy (`strongroom log"
        " compare`). If the owner's permit named an old copy of this log: restart the enclave,"
        " `strongroom log mirror` this one to him, and permit that",
    )


def _epoch(leaf: bytes) -> bytes:
    return Leaf.parse(leaf).epoch


def _begun(entry: Entry) -> Boot | None:
    try:
        leaf = Leaf.parse(entry.leaf)
        return Boot.parse(leaf.public) if leaf.kind is Kind.BOOT else None
    except WireError:
        return None
