"""`strongroom log prove`: proofs as files, made from a log and checked without one."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.bundle import Bundle
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf

from strongroom_host.cli.log_facts import say_leaf, say_record
from strongroom_host.cli.log_heads import CONSISTENCY_START, note_in
from strongroom_host.cli.log_meant import (
    DEFAULT_PLACE,
    CacheOption,
    ClientFolderOption,
    KeyOption,
    LogRole,
    ManifestFileOption,
    OpeningsOption,
    OwnerFolderOption,
    PlaceOption,
    RoleOption,
    TrustFileOption,
    open_openings,
    whose_log,
)
from strongroom_host.cli.log_options import DEFAULT_CLIENT
from strongroom_host.cli.log_show import which_leaf
from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import DEFAULT_OWNER
from strongroom_host.contract.openings import record_in
from strongroom_host.contract.roles import role_keys
from strongroom_host.errors import BadInput
from strongroom_host.log.attested import ProvedBoot, prove_boot, role_of
from strongroom_host.log.boots import MAX_BOOT, StoredBoot
from strongroom_host.log.decoded import decode_record
from strongroom_host.log.errors import OpeningWrong, OutsideLog, ProofMalformed
from strongroom_host.log.examination import Meant
from strongroom_host.log.notes import (
    Checkpoint,
    Note,
    SignedHead,
    VerifierKey,
    open_checkpoint,
)
from strongroom_host.log.proofs import verify_consistency
from strongroom_host.log.sources import LogSource, boot_ids, open_source, read_boot
from strongroom_host.log.stored import head_of
from strongroom_host.log.submissions import Submission
from strongroom_host.log.tlog_proof import MAX_PROOF_FILE, PROOF_HEADER, InclusionProof
from strongroom_host.log.tree import LogReader
from strongroom_host.log.witnessed import Quorum, witnessed
from strongroom_host.private_files import read_file, write_atomic, write_private

__all__ = ["app"]

app = typer.Typer(help="Make proofs from a log, and check them without it.", no_args_is_help=True)

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Where the proof goes.")
]
EvidenceOut = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the evidence of the boot that signed the head here."),
]


@app.command("inclusion")
def inclusion(
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Which leaf,")] = None,
    order: Annotated[
        str | None, typer.Option(metavar="HASH", help="or the one that signed this order.")
    ] = None,
    out: OutOption = None,
    opening_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the leaf's opening (secret) here.")
    ] = None,
    evidence_out: EvidenceOut = None,
    log: PlaceOption = DEFAULT_PLACE,
    openings: OpeningsOption = None,
    cache: CacheOption = None,
) -> None:
    """Prove that a leaf is in the log under its newest signed head (C2SP tlog-proof)."""
    with ExitStack() as stack:
        source = stack.enter_context(open_source(log, cache))
        opened = open_openings(log, openings)
        if opened is not None:
            stack.enter_context(opened)
        at = which_leaf(index, order, source.size, opened)
        note = _newest(source, at + 1)
        reader = LogReader(source, head_of(note), source.size)
        entry = reader.entry(at)  # it is what is proved; a store that has another is told now
        proof = InclusionProof(at, reader.inclusion_proof(at), note, entry)
        if opening_out is not None:
            opening = opened.get(at) if opened else None
            if opening is None:
                raise BadInput(f"no opening of leaf {at} is known here")
            write_private(opening_out, opening)
            say(f"{opening_out}: what leaf {at} commits to; give it to nobody but its reader")
        _write_evidence(source, note, evidence_out)
    file = out or Path(f"leaf-{at}.tlog-proof")
    write_atomic(file, proof.serialise())
    say(f"{file}: leaf {at} is in the log of {head_of(note).size} leaves")


@app.command("consistency")
def consistency(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A size, or a file with a head.")],
    new: Annotated[
        Path | None,
        typer.Argument(metavar="[NEW]", help="Another such file (default: newest)."),
    ] = None,
    out: OutOption = None,
    evidence_out: EvidenceOut = None,
    log: PlaceOption = DEFAULT_PLACE,
    cache: CacheOption = None,
) -> None:
    """Prove that a head contains an older one (the lines of C2SP tlog-witness add-checkpoint)."""
    before = None if old.isdecimal() else head_of(note_in(Path(old)))
    size = int(old) if before is None else before.size
    with open_source(log, cache) as source:
        note = _newest(source, size) if new is None else note_in(new)
        reader = LogReader(source, head_of(note), source.size)
        proof = reader.consistency_proof(size)
        if before is not None:
            verify_consistency(before, reader.head, proof)
        _write_evidence(source, note, evidence_out)
    file = out or Path(f"heads-{size}-{reader.head.size}.tlog-consistency")
    write_atomic(file, Submission(size, proof, note).serialise())
    say(f"{file}: the log of {reader.head.size} leaves begins with that of {size}")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof.")],
    old: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For a consistency proof: the older head.")
    ] = None,
    leaf: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The leaf (default: the one in the proof).")
    ] = None,
    opening: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its opening: says what was decided.")
    ] = None,
    evidence: Annotated[
        list[Path], typer.Option(metavar="FILE", help="Evidence of the boot that signed the head.")
    ] = [],  # noqa: B006  typer takes no other default for a list
    key: KeyOption = [],  # noqa: B006
    trust: TrustFileOption = None,
    manifest: ManifestFileOption = None,
    role: RoleOption = LogRole.SIGNER,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    client: ClientFolderOption = DEFAULT_CLIENT,
) -> None:
    """Check a proof offline: the head's signature, and that the head has the leaf, or the head."""
    meant = whose_log(trust, manifest, key, owner, client, role)
    boots = [_proved(path, meant) for path in evidence]
    if not boots and not meant.keys:
        raise BadInput(
            "nothing says whose signature counts",
            expected="--evidence FILE of the boot that signed the head, or --key VKEY",
            remedy="`strongroom log prove ... --evidence-out FILE` writes it beside the proof",
        )
    data = read_file(file, limit=MAX_PROOF_FILE)
    if data.startswith(PROOF_HEADER):
        proof = InclusionProof.parse(data)
        signed = _opened(proof.note, meant, boots)
        entry = read_file(leaf) if leaf else proof.extra
        if not entry:
            raise BadInput("the proof does not hold its leaf", remedy="give it with --leaf FILE")
        proof.check(entry, signed)
        say(f"leaf {proof.index} is in the log of {signed.head.size} leaves")
        _open(entry, opening)
    elif data.startswith(CONSISTENCY_START):
        submission = Submission.parse(data)
        if old is None:
            raise BadInput("which older head?", remedy="give the file that it is in: --old FILE")
        before = _opened(note_in(old), meant, boots).head
        if before.size != submission.old:
            raise ProofMalformed(
                "a proof for another head", expected=before.size, actual=submission.old
            )
        signed = _opened(submission.note, meant, boots)
        verify_consistency(before, signed.head, submission.proof)
        say(f"the log of {signed.head.size} leaves begins with that of {before.size}")
    else:
        raise ProofMalformed(f"{file} is no proof", expected="a tlog-proof, or `old N` and hashes")


def _open(entry: bytes, opening: Path | None) -> None:
    """Shows a proven leaf, and what it commits to if that is given."""
    try:
        leaf = Leaf.parse(entry)
        record = opening and decode_record(leaf, record_in(leaf, read_file(opening)))
    except WireError as error:
        raise OpeningWrong("the leaf, or its opening, is none", actual=str(error)) from error
    say_leaf(leaf)
    if record:
        say_record(record)


def _proved(path: Path, meant: Meant) -> ProvedBoot:
    stored = StoredBoot.parse(read_file(path, limit=MAX_BOOT))
    if meant.trust is None:
        raise BadInput("evidence proves nothing without a trust file", remedy="add --trust FILE")
    if meant.trust.caution:
        warn(meant.trust.caution)
    return prove_boot(stored, meant.trust, meant.owner_root, meant.role)


def _opened(note: bytes, meant: Meant, boots: list[ProvedBoot]) -> SignedHead:
    """Proves that one of those whose signature counts signed the head, and says who."""
    keys = [*meant.keys, *(boot.key for boot in boots)]
    origin = meant.origin or keys[0].name
    signed = open_checkpoint(note, origin, keys)
    for boot in boots:
        if boot.key in signed.signers:
            image, manifest = boot.evidence.image.name, boot.manifest
            say(
                f"head of {signed.head.size} leaves: signed by boot {boot.boot_id.hex()[:16]},"
                f" image {image}, manifest version {manifest.manifest.version}"
            )
            quorum = Quorum.of(manifest.manifest)
            if not witnessed([note], origin, keys, quorum).size:
                warn(
                    f"no witness vouches for this head (needed: {quorum.needed} of"
                    f" {len(quorum.witnesses)}): that others are shown another history is not"
                    " excluded"
                )
            return signed
    say(f"head of {signed.head.size} leaves: signed by {signed.signers[0]}")
    return signed


def _newest(source: LogSource, least: int) -> bytes:
    """The newest signed head that the stored leaves lead to, with this many leaves at least."""
    notes = [note for note in (source.checkpoint, source.note) if note]
    sizes = {note: head_of(note).size for note in notes}
    fit = [note for note in notes if least <= sizes[note] <= source.size]
    if not fit:
        raise OutsideLog(
            "no signed head that is stored has this leaf",
            expected=f"a head of at least {least} leaves",
            actual=f"heads of {sorted(sizes.values())}, {source.size} leaves stored",
            remedy="`strongroom log pull` brings a newer one",
        )
    return max(fit, key=lambda note: sizes[note])


def _write_evidence(source: LogSource, note: bytes, out: Path | None) -> None:
    """Writes the evidence of the boot whose key is said to have signed a note."""
    if out is None:
        return
    parsed = Note.parse(note)
    origin = Checkpoint.parse(parsed.text).origin
    ids = {(each.name, each.key_id) for each in parsed.signatures}
    for boot_id in boot_ids(source):
        stored = read_boot(source, boot_id)
        key = VerifierKey(origin, role_keys(Bundle.parse(stored.bundle), role_of(origin)).receipt)
        if (key.name, key.id) in ids:
            write_atomic(out, stored.serialise())
            say(f"{out}: the evidence of boot {boot_id.hex()[:16]}, which signed the head")
            return
    raise BadInput("no evidence of the boot that signed the head is stored here")
