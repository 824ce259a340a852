"""What an owner's folder remembers of his record's log when it is looked at, and what not."""

from pathlib import Path

import msgspec
import pytest
from strongroom_host.cli.record_memory import remember_record
from strongroom_host.log.boots import Boots, boot_path
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import How, RememberedHead
from strongroom_wire.bundle import LogHead

from tests.host.log.test_examine import LOG as SIGNERS
from tests.host.log.test_record_log import FIRST, LOG, SECOND
from tests.wire.samples import byte


@pytest.fixture
def owner(tmp_path: Path) -> Path:
    """An owner's folder, with the operator's log elsewhere."""
    folder = tmp_path / "owner"
    folder.mkdir()
    LOG.store(tmp_path / "operator")
    for name in ("trust.json", "manifest.signed.json"):
        (tmp_path / "operator" / name).rename(folder / name)
    (folder / "owner.json").write_text("{}")
    return folder


def known(owner: Path) -> list[RememberedHead]:
    return list(OwnerFolder(owner).heads.known(FIRST.origin))


def operators(owner: Path) -> Path:
    return owner.parent / "operator" / "log"


def test_the_newest_head_that_a_boot_signed_is_remembered(
    owner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        remember_record(owner, str(operators(owner)))
    [found] = known(owner)
    assert (found.head, found.how, found.boot) == (LOG.head, How.SHOWN, SECOND.boot_id)
    assert capsys.readouterr().err == ""


def test_what_is_remembered_and_not_shown_is_pointed_out(
    owner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = RememberedHead(LogHead(9, byte(9)), How.SHOWN, 1, SECOND.boot_id)
    OwnerFolder(owner).heads.remember(FIRST.origin, [more])
    remember_record(owner, str(operators(owner)))
    assert "lacks the history of 9 leaves" in capsys.readouterr().err


def test_what_no_boot_of_his_signed_is_not_remembered(
    owner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = operators(owner)
    stored = Boots(log).get(SECOND.boot_id)
    assert stored is not None
    Boots(log).add(msgspec.structs.replace(stored, document=b"another"))
    remember_record(owner, str(log))
    assert "does not remember" in capsys.readouterr().err
    (log / boot_path(SECOND.boot_id)).unlink()
    remember_record(owner, str(log))
    assert "does not remember" in capsys.readouterr().err
    (log / "checkpoint").write_bytes(FIRST.note(LOG.head))
    Boots(log).add(stored)
    remember_record(owner, str(log))
    assert "does not remember" in capsys.readouterr().err
    assert known(owner) == []


def test_nothing_is_done_where_no_owner_is_at_home_or_no_log_of_his(
    owner: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SIGNERS.store(tmp_path / "signers")
    remember_record(owner, str(tmp_path / "signers" / "log"))
    remember_record(owner, str(tmp_path / "nowhere"))
    (owner / "owner.json").unlink()
    remember_record(owner, str(operators(owner)))
    assert not (owner / "heads").exists()
    assert capsys.readouterr().err == ""
