"""Provisioning where a real enclave would not lie: answers that contradict what was asked."""

from pathlib import Path

import pytest
from strongroom_host.cli import provision
from strongroom_host.owner.chain_keys import address_of

from tests.host.cli.world import Machine
from tests.host.owner.samples import OwnerKeys, sample_manifest, verified


class Session:
    """As much of an owner's session as drafting an import needs."""

    def __init__(self) -> None:
        owners = OwnerKeys.new(1, 1)
        self.manifest = verified(owners, sample_manifest(owners))


SECRET = b"\x11" * 32


@pytest.mark.parametrize(("answer", "status"), [(address_of(SECRET), 0), (bytes(20), 3), (None, 0)])
def test_an_import_is_believed_under_its_own_address_only(
    answer: bytes | None, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "open_session", lambda *_: Session())
    monkeypatch.setattr(provision, "carry_out", lambda *_: answer)
    done = Machine(tmp_path).run(
        "provision", "import", "main", "--from", "-", stdin=SECRET.hex(), expect=status
    )
    assert "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A" in done.out
    assert ("another address" in done.err) is bool(status)
    assert SECRET.hex() not in done.out + done.err


def test_a_bad_key_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "open_session", lambda *_: Session())
    bad = "12" * 31
    done = Machine(tmp_path).run("provision", "import", "main", "--from", "-", stdin=bad, expect=2)
    assert bad not in done.out + done.err


def test_an_exposed_key_file_is_pointed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "open_session", lambda *_: Session())
    monkeypatch.setattr(provision, "carry_out", lambda *_: None)
    path = tmp_path / "key"
    path.write_text(SECRET.hex())
    path.chmod(0o644)
    done = Machine(tmp_path / "m").run("provision", "import", "main", "--from", path)
    assert "other users may read" in done.err
