"""The log, as an auditor finds it: whole, cosigned, verified offline, a decision proved in a file.

Nothing here asks the enclave for more than fresh evidence; the rest is read from the folder that
its host keeps, and believed nothing.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.leaves import Decision, Leaf

from strongroom_host.cli.trading import ClientFolder
from strongroom_host.contract.openings import record_in
from strongroom_host.demo.bot import Bot
from strongroom_host.demo.owner_chapter import Configured
from strongroom_host.demo.owners import OwnersDesk
from strongroom_host.demo.processes import Child, KeeperReady
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import Story, expect_refusal, require
from strongroom_host.log.errors import NotIncluded
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.files import LogFiles
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.openings import Openings
from strongroom_host.log.signed_orders import logged_orders
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.log.tiles import CHECKPOINT, WITNESSED
from strongroom_host.log.tlog_proof import MAX_PROOF_FILE, InclusionProof
from strongroom_host.log.verify import Problem
from strongroom_host.private_files import read_file, write_atomic
from strongroom_host.runners.console import quoted, tail
from strongroom_host.store.handed_out import handed_out

__all__ = ["await_head", "check_verified", "examined", "log_chapter", "prove_order", "show_changed"]

ReadyT = TypeVar("ReadyT")
_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.02


def log_chapter(
    stage: Stage, configured: Configured, bot: Bot, keeping: Child[KeeperReady]
) -> None:
    """Holds the stored log against evidence, witness, leaves, answers, and against changed copies.

    Raises:
        DemoFailed: it is not what it should be, or a change was not noticed.
    """
    story, folder = stage.story, stage.folders.log
    await_head(keeping, folder, bot.logged)
    meant = whose(stage, configured)
    found = examined(folder, meant)
    check_verified(found, bot.logged)
    _show_verified(story, found)
    order_hash = bytes.fromhex(str(story.facts["order_hash"])[2:])
    at = prove_order(story, folder, found, order_hash, stage.folders.owners)
    show_changed(story, folder, meant, at, stage.folders.root / "changed")
    _show_evidence(story, configured.desk, folder)


def await_head(keeping: Child[ReadyT], folder: Path, size: int) -> None:
    """Returns once a log's keeper serves that many leaves, and a quorum of witnesses cosigned them.

    Raises:
        DemoFailed: it ended, or took too long.
    """
    until = time.monotonic() + _PATIENCE_S
    while (served := min(map(_size, (folder / CHECKPOINT, folder / WITNESSED)))) < size:
        require(
            keeping.process.poll() is None and time.monotonic() < until,
            "the log's keeper does not bring it up to date, and have it cosigned",
            expected=f"{size} leaves",
            actual=f"{served}; {quoted(keeping.log.name, tail(keeping.log))}",
        )
        time.sleep(_PAUSE_S)


def whose(stage: Stage, configured: Configured) -> Meant:
    """Returns what a log of these owners is held against, the bot's answers included."""
    manifest = configured.manifest.manifest
    origin = log_origin(manifest.owner_root, manifest.account, Role.SIGNER)
    leaves = (entry.leaf for entry in handed_out(ClientFolder(stage.folders.bot).journals))
    trust = configured.desk.policy.trust
    return Meant(trust, manifest.owner_root, origin=origin, leaves=tuple(leaves))


def examined(folder: Path, meant: Meant) -> Examination:
    """Returns what `strongroom log verify` finds."""
    with Openings(folder) as openings:
        return examine(FolderLog(folder), meant, openings=openings)


def check_verified(found: Examination, size: int) -> None:
    """Proves that a whole log of that size is in order, opened, and cosigned to its end.

    Raises:
        DemoFailed: it is not.
    """
    problems = "; ".join(map(str, found.findings))
    require(found.ok, "the log does not verify", expected="no finding", actual=problems)
    unproved = [boot.boot_id.hex() for boot in found.boots if boot.proved is None]
    require(not unproved, "a boot is without evidence", actual=unproved)
    proven, opened = found.report.proven, found.report.records
    sizes = {"proven": proven, "opened": opened, "cosigned": found.witnessed.size}
    short = {name: count for name, count in sizes.items() if count != size}
    require(not short, "not every leaf is proven, opened and cosigned", expected=size, actual=short)


def prove_order(
    story: Story, folder: Path, found: Examination, order_hash: bytes, out: Path
) -> int:
    """Proves by a file that one order's decision is in the log; returns its leaf.

    Raises:
        DemoFailed: the file proves something else, or proves a changed leaf.
    """
    log = StoredLog(folder)
    with Openings(folder) as openings:
        orders = logged_orders(log.reader().entries(), openings.get, log.size).orders
        require(order_hash in orders, "no leaf knows the order", actual=order_hash.hex())
        at = orders[order_hash].leaf
        opening = openings.get(at) or b""
    note = log.signed or b""
    reader = log.reader(head_of(note).size)
    file = out / f"leaf-{at}.tlog-proof"
    made = InclusionProof(at, reader.inclusion_proof(at), note, reader.entry(at))
    write_atomic(file, made.serialise())
    newest = found.boots[-1].proved
    keys = () if newest is None else (newest.key,)
    leaf = _check_file(file, found.origin, keys)
    decision = Decision.parse(record_in(leaf, opening))
    require(order_hash in decision.reply.order_hashes, "the leaf is of another order")
    expect_refusal(
        NotIncluded,
        "a proof with a changed leaf",
        lambda: _check_file(_changed_proof(file), found.origin, keys),
    )
    story.facts["order_leaf"] = at
    story.proved(
        "order_proved",
        f"order 0x{order_hash.hex()[:12]}… is leaf {at}: a file of {file.stat().st_size} bytes"
        " proves it without the log, to whoever is given that leaf's opening; with another leaf in"
        " it, it does not",
    )
    return at


def show_changed(story: Story, folder: Path, meant: Meant, at: int, scratch: Path) -> None:
    """Shows that two copies which a host might present instead are told from the log, and how.

    Raises:
        DemoFailed: one of them verifies, or another problem is named.
    """
    lost = 3
    changes: tuple[tuple[str, Problem, str, Callable[[list[bytes]], list[bytes]]], ...] = (
        ("edited_copy_named", Problem.EDITED, "a copy with that leaf changed", lambda leaves: [
            _changed(leaf) if index == at else leaf for index, leaf in enumerate(leaves)
        ]),
        ("shortened_copy_named", Problem.SHORTER, f"a copy without the newest {lost} leaves",
            lambda leaves: leaves[:-lost]),
    )  # fmt: skip
    for name, problem, what, change in changes:
        copy = _copy(folder, scratch / name, change)
        found = examine(FolderLog(copy), meant)
        named = [each for each in found.findings if each.problem is problem]
        require(
            not found.ok and bool(named),
            f"{what}: not named",
            expected=problem.code,
            actual=[each.problem.code for each in found.findings],
        )
        story.proved(name, f"refused, {what}: {named[0]}")


def _show_evidence(story: Story, desk: OwnersDesk, folder: Path) -> None:
    """Waits for evidence of the head that is stored: it commits to that of at most 5 s before."""
    story.note("the enclave takes the newest head into its evidence every five seconds")
    until = time.monotonic() + _PATIENCE_S
    while (head := desk.evidence().keys(Role.SIGNER).head) != (stored := StoredLog(folder)).head:
        require(
            time.monotonic() < until,
            "the stored log is not the one that fresh evidence commits to",
            expected=(head.size, head.root.hex()),
            actual=(stored.size, stored.head.root.hex()),
        )
        time.sleep(_PAUSE_S)
    story.facts["log_leaves"], story.facts["log_root"] = head.size, head.root.hex()
    story.proved(
        "log_matches_evidence",
        f"fresh evidence of the enclave commits to the very head that is on disk: {head.size}"
        f" leaves, {head.root.hex()[:12]}…",
    )


def _show_verified(story: Story, found: Examination) -> None:
    (boot,) = found.boots
    if boot.proved is None:  # `check_verified` has proved that it is not
        return
    counts = ", ".join(f"{n} {kind.name}" for kind, n in sorted(found.report.kinds.items()))
    evidence, manifest = boot.proved.evidence, boot.proved.manifest
    story.facts["log_kinds"] = counts
    story.proved(
        "head_witnessed",
        f"{found.end} leaves are on disk, one for each decision and owner's order; a witness, in a"
        " process of its own, cosigned their head, and will cosign no other history of this log",
    )
    story.proved(
        "log_verified",
        f"verified offline, leaf by leaf ({counts}): boot {boot.boot_id.hex()[:12]}… ran image"
        f" {evidence.image.name}, PCR0 {evidence.document.pcrs[0].hex()[:12]}…, manifest"
        f" {manifest.digest.hex()[:12]}…, under {len(boot.permits)} permit; every answer that the"
        " bot was handed is in it",
    )


def _check_file(file: Path, origin: str, keys: tuple[VerifierKey, ...]) -> Leaf:
    """Returns the leaf that a file proves to be under a head signed by one of these keys."""
    proof = InclusionProof.parse(read_file(file, limit=MAX_PROOF_FILE))
    proof.check(proof.extra, open_checkpoint(proof.note, origin, keys))
    return Leaf.parse(proof.extra)


def _changed_proof(file: Path) -> Path:
    proof = InclusionProof.parse(file.read_bytes())
    other = file.with_suffix(".changed")
    write_atomic(other, replace(proof, extra=_changed(proof.extra)).serialise())
    return other


def _changed(entry: bytes) -> bytes:
    """Returns a leaf that says the same, and commits to something else."""
    leaf = Leaf.parse(entry)
    commitment = bytes([leaf.commitment[0] ^ 1]) + leaf.commitment[1:]
    place = leaf.kind, leaf.epoch, leaf.index, leaf.time_ms
    return Leaf(*place, commitment, leaf.public).serialise()


def _copy(folder: Path, copy: Path, change: Callable[[list[bytes]], list[bytes]]) -> Path:
    """Returns a copy of the log with other leaves, and all that vouches for it as it is."""
    with LogFiles(copy) as files:
        files.append(0, change(list(StoredLog(folder).reader().entries())))
    for path in (folder / CHECKPOINT, *(folder / "boots").iterdir()):
        write_atomic(copy / path.relative_to(folder), path.read_bytes())
    return copy


def _size(note: Path) -> int:
    return head_of(note.read_bytes()).size if note.exists() else 0
