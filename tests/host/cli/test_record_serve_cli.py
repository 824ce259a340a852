"""What keeps `record serve` from starting: said at once, with what to do, and an exit status."""

from pathlib import Path

import msgspec
import pytest
from strongroom_host.owner.signed import DocumentKind, SignedFile
from strongroom_host.trust.record import Trust

from tests.host.cli.world import Machine
from tests.host.log.boots_made import Running, manifest
from tests.host.log.test_record_log import ACCOUNTS, LOG, SECOND
from tests.wire.samples import byte


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with the files that a record is served with."""
    machine = Machine(tmp_path)
    LOG.trust.save(machine.folder / "trust.json")
    _sign(machine, SECOND)
    return machine


def _sign(machine: Machine, boot: Running) -> None:
    path = machine.folder / "manifest.signed.json"
    path.unlink(missing_ok=True)
    SignedFile(DocumentKind.MANIFEST, boot.statement).save(path)


def serve(machine: Machine, *more: object, expect: int) -> str:
    files = "--manifest", machine.folder / "manifest.signed.json"
    trust = "--trust", machine.folder / "trust.json"
    record = "--record", machine.folder / "record", "--db", machine.folder / "db"
    done = machine.run("record", "serve", *files, *trust, *record, *more, expect=expect)
    assert not (machine.folder / "record").exists(), "nothing is begun"
    return done.err


def test_a_manifest_without_accounts_has_no_record(machine: Machine) -> None:
    _sign(machine, Running(manifest(9)))
    told = serve(machine, expect=2)
    assert "has no accounts" in told
    assert "manifest add-account" in told


def test_what_its_evidence_is_held_against_has_to_be_there(machine: Machine) -> None:
    (machine.folder / "trust.json").unlink()
    told = serve(machine, expect=2)
    assert "there is no trust file" in told
    assert "strongroom enclave trust" in told


def test_trust_file_and_manifest_have_to_be_of_the_same_owners(machine: Machine) -> None:
    trust = Trust.load(machine.folder / "trust.json")
    other = msgspec.structs.replace(trust, owner_root=byte(9).hex())
    (machine.folder / "trust.json").unlink()
    other.save(machine.folder / "trust.json")
    assert "owner root" in serve(machine, expect=3)


def test_without_an_owner_at_home_it_asks_for_his_files(machine: Machine) -> None:
    told = machine.run("record", "serve", "--record", machine.folder / "record", expect=2).err
    assert "nothing says whose record it is" in told
    assert "--manifest FILE --trust FILE" in told


def test_a_witness_that_the_manifest_lacks_is_told(machine: Machine) -> None:
    told = serve(machine, "--witness", "nobody.example/1=http://127.0.0.1:1", expect=2)
    assert "nobody.example/1" in told


def test_with_all_of_them_it_goes_on_to_the_database(machine: Machine) -> None:
    assert SECOND.document.accounts == ACCOUNTS
    files = "--manifest", machine.folder / "manifest.signed.json"
    trust = "--trust", machine.folder / "trust.json"
    record = "--record", machine.folder / "record", "--db", machine.folder / "db"
    done = machine.run("record", "serve", *files, *trust, *record, expect=2)
    assert "strongroom db init" in done.err
