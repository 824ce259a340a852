"""The file sealer, and the files that it and the root keep their secrets in."""

import hashlib
import hmac
import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from strongroom_local import keyfile
from strongroom_local.errors import UnsafeFile, UnusableFile
from strongroom_local.keyfile import read_or_create
from strongroom_local.sealer import FileSealer

MEASUREMENT = b"\x01" * 48


def hkdf(key: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_a_secret_is_hkdf_of_the_file(tmp_path: Path) -> None:
    sealer = FileSealer(tmp_path / "seal", MEASUREMENT)
    key = (tmp_path / "seal").read_bytes()
    info = b"strongroom/local/sealer/v1" + MEASUREMENT + b"owner root"
    assert sealer.secret(b"owner root") == hkdf(key, info)
    assert len(key) == 32


def test_a_restart_gives_the_same_secret(tmp_path: Path) -> None:
    first = FileSealer(tmp_path / "seal", MEASUREMENT).secret(b"x")
    assert FileSealer(tmp_path / "seal", MEASUREMENT).secret(b"x") == first


def test_every_input_changes_the_secret(tmp_path: Path) -> None:
    secrets = {
        FileSealer(tmp_path / file, measurement).secret(context)
        for file in ("a", "b")
        for measurement in (MEASUREMENT, bytes(48))
        for context in (b"", b"x", b"y", b"\x01x")
    }
    assert len(secrets) == 16
    assert {len(secret) for secret in secrets} == {32}


@pytest.mark.parametrize("size", [0, 32, 47, 49])
def test_a_measurement_has_48_bytes(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="48"):
        FileSealer(tmp_path / "seal", bytes(size))
    assert not (tmp_path / "seal").exists()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "seal").touch(0o600)
    (tmp_path / "seal").write_bytes(bytes(size))
    with pytest.raises(UnusableFile, match="32"):
        FileSealer(tmp_path / "seal", MEASUREMENT)


@pytest.mark.parametrize("mode", [0o601, 0o602, 0o604, 0o610, 0o620, 0o640, 0o644, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    FileSealer(tmp_path / "seal", MEASUREMENT)
    (tmp_path / "seal").chmod(mode)
    with pytest.raises(UnsafeFile) as caught:
        FileSealer(tmp_path / "seal", MEASUREMENT)
    assert caught.value.actual == f"{mode:04o}"


def test_a_new_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        FileSealer(tmp_path / "seal", MEASUREMENT)
    finally:
        os.umask(old)
    assert (tmp_path / "seal").stat().st_mode & 0o777 == 0o600


def test_a_link_is_refused(tmp_path: Path) -> None:
    FileSealer(tmp_path / "seal", MEASUREMENT)
    (tmp_path / "link").symlink_to(tmp_path / "seal")
    with pytest.raises(UnsafeFile, match="link"):
        FileSealer(tmp_path / "link", MEASUREMENT)


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFile, match="link"):
        FileSealer(tmp_path / "link", MEASUREMENT)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seal").mkdir(0o700)
    with pytest.raises((UnsafeFile, IsADirectoryError)):
        FileSealer(tmp_path / "seal", MEASUREMENT)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "seal", 0o600)
    with pytest.raises(UnsafeFile, match="regular"):
        FileSealer(tmp_path / "seal", MEASUREMENT)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    FileSealer(tmp_path / "seal", MEASUREMENT)
    os.chown(tmp_path / "seal", 65534, 65534)
    with pytest.raises(UnsafeFile, match="owner"):
        FileSealer(tmp_path / "seal", MEASUREMENT)


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileSealer(tmp_path / "absent" / "seal", MEASUREMENT)


# --- keyfile --------------------------------------------------------------------------------------


def test_make_is_called_for_a_missing_file_only(tmp_path: Path) -> None:
    assert read_or_create(tmp_path / "key", lambda: b"first") == b"first"

    def never() -> bytes:
        raise AssertionError

    assert read_or_create(tmp_path / "key", never) == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_first_writer_wins(tmp_path: Path) -> None:
    path = tmp_path / "key"

    def late() -> bytes:
        # Another process finishes between our look and our link.
        assert read_or_create(path, lambda: b"theirs") == b"theirs"
        return b"ours"

    assert read_or_create(path, late) == b"theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_many_starters_agree(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    seen: list[bytes] = []

    def start(number: int) -> None:
        barrier.wait()
        seen.append(read_or_create(tmp_path / "key", lambda: bytes([number]) * 32))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(a == b for a, b in pairwise(seen))


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> bytes:
        raise RuntimeError("no entropy")

    with pytest.raises(RuntimeError):
        read_or_create(tmp_path / "key", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_bytes(bytes(keyfile._MAX_SIZE + 1))
    with pytest.raises(UnusableFile):
        read_or_create(tmp_path / "key", lambda: b"")


def test_content_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, link = os.fsync, os.link

    def noting_fsync(fd: int) -> None:
        events.append("fsync")
        fsync(fd)

    def noting_link(old: Path, new: Path) -> None:
        events.append("link")
        link(old, new)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "link", noting_link)
    content = hashlib.sha256(b"x").digest()
    assert read_or_create(tmp_path / "key", lambda: content) == content
    assert events == ["fsync", "link"]
