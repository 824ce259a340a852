"""The owner's folder: encrypted keys, exposed files, serials that grow."""

from pathlib import Path

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.owner.errors import KeyLocked, KeyMissing, OwnerError
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.private_files import FileExposed, read_file, read_private, write_private

SECRET = b"correct horse battery"


def no_passphrase() -> bytes:
    raise AssertionError("asked for a passphrase of a plain key")


@pytest.fixture
def plain(tmp_path: Path) -> OwnerFolder:
    return OwnerFolder.create(tmp_path / "owner", "owner", None)


def test_a_plain_key_opens_without_asking(plain: OwnerFolder) -> None:
    assert plain.key(no_passphrase).public_key().public_bytes_raw() == plain.public_key
    assert not plain.encrypted()
    assert len(plain.share()) == 32
    assert plain.client().name == "owner"


def test_an_encrypted_key_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    folder = OwnerFolder.create(tmp_path / "owner", "owner", SECRET)
    assert folder.encrypted()
    assert b"ENCRYPTED" in folder.key_path.read_bytes()
    assert folder.key(lambda: SECRET).public_key().public_bytes_raw() == folder.public_key
    for wrong in (b"", b"wrong", SECRET + b" "):
        with pytest.raises(KeyLocked):
            folder.key(lambda wrong=wrong: wrong)  # type: ignore[misc]


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OwnerError, match="short"):
        OwnerFolder.create(tmp_path / "owner", "owner", b"short")
    assert not (tmp_path / "owner").exists()


def test_an_owner_is_never_overwritten(plain: OwnerFolder) -> None:
    with pytest.raises(OwnerError, match="already"):
        OwnerFolder.create(plain.root, "owner", None)


def test_owners_may_share_one_unlock_share(plain: OwnerFolder, tmp_path: Path) -> None:
    other = OwnerFolder.create(tmp_path / "other", "other", None, share=plain.share())
    assert other.share() == plain.share()
    assert other.public_key != plain.public_key
    with pytest.raises(OwnerError, match="32 bytes"):
        OwnerFolder.create(tmp_path / "third", "third", None, share=b"short")


def test_secrets_are_for_this_user_only(plain: OwnerFolder) -> None:
    assert plain.root.stat().st_mode & 0o777 == 0o700
    for path in (plain.key_path, plain.share_path):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_exposed_secrets_are_refused(plain: OwnerFolder, mode: int) -> None:
    plain.key_path.chmod(mode)
    with pytest.raises(FileExposed) as caught:
        plain.key(no_passphrase)
    assert "chmod 600" in caught.value.remedy
    plain.share_path.chmod(mode)
    with pytest.raises(FileExposed):
        plain.share()


def test_missing_and_damaged_parts_are_named(plain: OwnerFolder, tmp_path: Path) -> None:
    none = OwnerFolder(tmp_path / "none")
    with pytest.raises(KeyMissing, match="no owner key"):
        none.key(no_passphrase)
    with pytest.raises(KeyMissing, match="no owner key"):
        none.encrypted()
    with pytest.raises(KeyMissing, match="no owner key"):
        assert none.public_key
    with pytest.raises(KeyMissing, match="unlock share"):
        OwnerFolder(tmp_path / "none").share()
    for content in (b"zz", b"aabb", b"\xff" * 10):
        plain.share_path.write_bytes(content)
        with pytest.raises(KeyMissing, match="damaged"):
            plain.share()
    plain.key_path.write_bytes(b"junk")
    with pytest.raises(KeyMissing, match="damaged"):
        plain.key(no_passphrase)
    (plain.root / "owner.json").write_bytes(b"{}")
    with pytest.raises(KeyMissing, match="damaged"):
        assert plain.public_key


def test_serials_grow_whatever_the_clock_does(plain: OwnerFolder) -> None:
    serials = [plain.next_serial(now) for now in (1000, 1000, 500, 2000, 0)]
    assert serials == [1000, 1001, 1002, 2000, 2001]
    again = OwnerFolder(plain.root)
    assert again.next_serial(0) == 2002


def test_addresses_are_remembered(plain: OwnerFolder) -> None:
    assert plain.addresses() == {}
    plain.note_address("main", "0x11")
    plain.note_address("other", "0x22")
    plain.note_address("main", "0x33")
    assert plain.addresses() == {"main": "0x33", "other": "0x22"}
    (plain.root / "addresses.json").write_bytes(b"[")
    with pytest.raises(OwnerError):
        plain.addresses()


def test_files_say_why_they_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BadInput, match="cannot read"):
            read_file(path)
    (tmp_path / "big").write_bytes(bytes(11))
    with pytest.raises(BadInput, match="too large"):
        read_file(tmp_path / "big", limit=10)


def test_a_secret_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    write_private(tmp_path / "s", b"one")
    with pytest.raises(BadInput, match="exists"):
        write_private(tmp_path / "s", b"two")
    assert read_private(tmp_path / "s") == b"one"
    write_private(tmp_path / "s", b"two", replace=True)
    assert read_private(tmp_path / "s") == b"two"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot write"):
        write_private(tmp_path / "file" / "s", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "s"]
