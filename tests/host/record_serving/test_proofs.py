"""One return as a file: proved from evidence to row, and refused wherever a link is not so."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from strongroom_host.cli.app import app
from strongroom_host.contract.roles import role_keys
from strongroom_host.errors import HostError
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.errors import (
    BootUnproved,
    CheckpointUnsigned,
    NotIncluded,
    OutsideLog,
    ProofMalformed,
    ReceiptUnfit,
)
from strongroom_host.log.notes import VerifierKey, signed_note
from strongroom_host.log.return_proof import ReturnProof, prove_return, return_proof
from strongroom_host.log.returns import row_path
from strongroom_host.log.sources import open_source
from strongroom_host.log.tlog_proof import InclusionProof
from strongroom_host.log.tree import LogReader
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.manifest import Account, Manifest, Tier
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import UNCHAINED, ReturnsReceipt
from typer.testing import CliRunner

from tests.host.enclave_client.simulator import Boot as Machine
from tests.host.log.boots_made import NONCE, START, Kept, Running, manifest
from tests.host.record_serving.recording import FIRST_HOUR, HOUR_MS, hour
from tests.wire.samples import byte

ROLES = (Role.INIT, Role.SIGNER, Role.RECORD)
ADA = Account("ada", "user", "binance", "test", "USDT", FIRST_HOUR * HOUR_MS, Tier(1, 0, None))


class Recording(Running):
    """A boot with a record, whose log is meant."""

    def __init__(self, document: Manifest) -> None:
        super().__init__(document)
        self.machine = Machine(manifest=self.digest, roles=ROLES)
        self.machine.bundle = msgspec.structs.replace(
            self.machine.bundle, owner_root=document.owner_root
        )
        self.origin = log_origin(document.owner_root, document.account, Role.RECORD)

    @property
    def key(self) -> VerifierKey:
        return VerifierKey(self.origin, role_keys(self.machine.bundle, Role.RECORD).receipt)

    def note(self, head: LogHead) -> bytes:
        text = checkpoint_text(self.origin, head)
        return signed_note(text, self.key, self.machine.receipt[Role.RECORD].sign(text))

    def evidence(self, head: LogHead = EMPTY_LOG, **changes: object) -> StoredBoot:
        document = self.machine.document(NONCE, self.machine.bundle.commitment)
        parts = document, self.machine.bundle.serialise(), self.statement.serialise()
        stored = StoredBoot(*parts, START, NONCE, self.note(head) if head.size else b"")
        return msgspec.structs.replace(stored, **changes)


@dataclass
class Record:
    """A log in which the leaf number 2 is a returns receipt of four rows."""

    kept: Kept
    rows: list[bytes]
    receipt: ReturnsReceipt

    def proof(self, folder: Path, position: int = 2) -> ReturnProof:
        path = row_path(self.rows, position)
        row = self.rows[position]
        with open_source(str(self.kept.store(folder)), None) as source:
            return return_proof(source, 2, row, position, path, self.kept.openings[2])

    def prove(self, proof: ReturnProof) -> object:
        return prove_return(proof, self.kept.trust, self.kept.boot.document.owner_root)


def made(**changes: object) -> Record:
    kept = Kept().start(Recording(manifest(accounts=(ADA,))))
    rows = [hour(at).serialise() for at in range(4)]
    tree = Frontier()
    for row in rows:
        tree.append(leaf_hash(row))
    said: dict[str, object] = {
        "account": "ada",
        "venue": "binance",
        "environment": "test",
        "number": 0,
        "previous": UNCHAINED,
        "sync": "0" * 64,
        "mode": "development",
        "currency": "USDT",
        "tier": msgspec.json.encode(ADA.tier).decode(),
        "completeness": "since-opening",
        "accounts": 1,
        "first_ms": FIRST_HOUR * HOUR_MS,
        "end_ms": (FIRST_HOUR + 4) * HOUR_MS,
        "count": 4,
        "root": tree.head.root.hex(),
    }
    receipt = ReturnsReceipt(**(said | changes))  # type: ignore[arg-type]
    kept.add(Kind.SYNC, b"a sync receipt", byte(8))
    kept.add(Kind.RETURNS, receipt.serialise(), byte(9))
    kept.add(Kind.SYNC, b"another", byte(10))
    return Record(kept.sign(), rows, receipt)


def test_a_return_is_proved_from_evidence_to_row(tmp_path: Path) -> None:
    record = made()
    for position in range(4):
        proof = record.proof(tmp_path / str(position), position)
        assert ReturnProof.parse(proof.serialise()) == proof
        proved = prove_return(proof, record.kept.trust, record.kept.boot.document.owner_root)
        assert proved.found.hour == hour(position)
        assert proved.found.receipt == record.receipt
        assert proved.leaf.index == 2
        assert proved.signed.head == record.kept.head
        assert proved.writer.boot_id == record.kept.boot.boot_id


def test_after_a_later_boot_the_head_is_still_that_of_the_boot_that_wrote_the_leaf(
    tmp_path: Path,
) -> None:
    record = made()
    first, head = record.kept.boot, record.kept.head
    record.kept.start(Recording(manifest(8, accounts=(ADA,))))
    proof = record.proof(tmp_path)
    assert len(proof.evidence) == 1
    proved = prove_return(proof, record.kept.trust, first.document.owner_root)
    assert proved.writer.boot_id == first.boot_id
    assert proved.signed.head == head


def test_a_later_boot_does_not_vouch_for_what_its_owners_say_went_before(tmp_path: Path) -> None:
    """A permit names the log that goes on: its owners could put returns in an earlier boot's name
    into it, which that boot never computed, and the later one signs the head over them."""
    record = made()
    first = record.kept.boot
    evidence = first.evidence()
    record.kept.start(later := Recording(manifest(8, accounts=(ADA,))))
    record.kept.boots[first.boot_id] = evidence  # no head of its own has the leaf
    proof = record.proof(tmp_path)
    for boots in (proof.evidence, (*proof.evidence, later.evidence().serialise())):
        with pytest.raises(HostError) as caught:
            record.prove(msgspec.structs.replace(proof, evidence=boots))
        expected = CheckpointUnsigned if len(boots) == 1 else BootUnproved
        assert isinstance(caught.value, expected)


def change(**fields: object) -> Callable[[ReturnProof], ReturnProof]:
    return lambda proof: msgspec.structs.replace(proof, **fields)


@pytest.mark.parametrize(
    ("altered", "error"),
    [
        (change(row=hour(2, "0.020000000000").serialise()), NotIncluded),
        (change(row=hour(3).serialise()), NotIncluded),
        (change(position=1), NotIncluded),
        (change(path=()), NotIncluded),
        (lambda proof: change(path=proof.path[::-1])(proof), NotIncluded),
        (lambda proof: change(opening=bytes(32) + proof.opening[32:])(proof), WireError),
        (lambda proof: change(inclusion=proof.inclusion[:-30])(proof), HostError),
        (change(inclusion=b"none"), ProofMalformed),
    ],
)
def test_nothing_in_it_can_be_changed(
    tmp_path: Path,
    altered: Callable[[ReturnProof], ReturnProof],
    error: type[Exception],
) -> None:
    record = made()
    with pytest.raises(error):
        record.prove(altered(record.proof(tmp_path)))


def test_a_leaf_that_is_not_in_the_log_is_refused(tmp_path: Path) -> None:
    """Everything fits but the log: another place in it, or a leaf of one's own making."""
    record = made()
    proof = record.proof(tmp_path)
    inclusion = InclusionProof.parse(proof.inclusion)
    better = hour(2, "0.990000000000").serialise()
    receipt = msgspec.structs.replace(
        record.receipt, count=1, root=leaf_hash(better).hex()
    ).serialise()
    opening = bytes(32) + receipt
    genuine = Leaf.parse(inclusion.extra)
    forged = Leaf(
        Kind.RETURNS, genuine.epoch, 2, genuine.time_ms, commitment(opening), genuine.public
    )
    made_up = change(
        row=better,
        position=0,
        path=(),
        opening=opening,
        inclusion=replace(inclusion, extra=forged.serialise()).serialise(),
    )
    elsewhere = change(inclusion=replace(inclusion, index=1).serialise())
    for altered in (made_up, elsewhere):
        with pytest.raises(NotIncluded):
            record.prove(altered(proof))


def test_a_head_that_nobody_proved_signed_is_refused(tmp_path: Path) -> None:
    record, other = made(), made()
    proof, stranger = record.proof(tmp_path / "a"), other.proof(tmp_path / "b")
    trust = record.kept.trust
    root = record.kept.boot.document.owner_root
    mixed = msgspec.structs.replace(proof, evidence=stranger.evidence)
    with pytest.raises(CheckpointUnsigned):
        prove_return(mixed, trust, root)
    # The head is signed by a boot that is proved, the leaf of one that is not.
    record.kept.start(Recording(manifest(8, accounts=(ADA,))))
    inclusion = InclusionProof.parse(proof.inclusion)
    with open_source(str(record.kept.store(tmp_path / "c")), None) as source:
        reader = LogReader(source, record.kept.head, source.size)
        hashes = reader.inclusion_proof(inclusion.index)
    inclusion = replace(inclusion, hashes=hashes, note=record.kept.note)
    signer = record.kept.boot.evidence().serialise()
    later = msgspec.structs.replace(proof, inclusion=inclusion.serialise(), evidence=(signer,))
    with pytest.raises(BootUnproved, match="computed the return"):
        prove_return(later, trust, root)


def test_evidence_of_other_owners_or_images_proves_nothing(tmp_path: Path) -> None:
    record = made()
    proof, trust = record.proof(tmp_path), record.kept.trust
    with pytest.raises(BootUnproved):
        prove_return(proof, trust, byte(7))
    other = msgspec.structs.replace(trust.images[0], pcr0="ff" * 48)
    trust = msgspec.structs.replace(trust, images=(other,))
    with pytest.raises(BootUnproved):
        prove_return(proof, trust, record.kept.boot.document.owner_root)


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "bob"},
        {"venue": "kraken"},
        {"environment": "live"},
        {"currency": "EUR"},
        {"mode": "production"},
        {"tier": "exact"},
    ],
)
def test_a_receipt_is_of_an_account_as_the_manifest_has_it(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    record = made(**changes)
    with pytest.raises(ReceiptUnfit):
        record.prove(record.proof(tmp_path))


def test_a_leaf_without_a_signed_head_has_no_proof(tmp_path: Path) -> None:
    record = made()
    with (
        open_source(str(record.kept.store(tmp_path)), None) as source,
        pytest.raises(OutsideLog),
    ):
        return_proof(source, 9, b"", 0, (), b"")


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"format":"strongroom-return/1"}'])
def test_what_is_no_proof_is_told(data: bytes) -> None:
    with pytest.raises(ProofMalformed):
        ReturnProof.parse(data)


def run(*arguments: object, status: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


def test_on_the_command_line(tmp_path: Path) -> None:
    record = made()
    proof = record.proof(tmp_path)
    file = tmp_path / "ada.return-proof"
    file.write_bytes(proof.serialise())
    known = (
        "--trust", tmp_path / "trust.json", "--manifest", tmp_path / "manifest.signed.json",
        "--owner", tmp_path,
    )  # fmt: skip
    shown = run("record", "verify", file, *known)
    for said in (
        "0.010000000000",
        "since-opening",
        "no real money",
        "does not mean",
        "development",
    ):
        assert said in shown, said
    told = json.loads(CliRunner().invoke(
        app, ["record", "verify", str(file), *map(str, known), "--json"]).stdout)  # fmt: skip
    assert told["proved"] is True
    assert told["return"]["value"] == "0.010000000000"
    assert told["receipt"]["accounts"] == 1
    file.write_bytes(msgspec.structs.replace(proof, position=1).serialise())
    run("record", "verify", file, *known, status=3)
    file.write_bytes(msgspec.structs.replace(proof, opening=bytes(64)).serialise())
    run("record", "verify", file, *known, status=3)
