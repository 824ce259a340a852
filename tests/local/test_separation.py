"""Roles get users of their own where, and only where, those users can reach what they need."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_local.entry import USERS, separated_users

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root starts other users' processes")


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Yields a folder that every user may pass through."""
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        if not separated_users(folder):
            pytest.skip("this interpreter is not readable for other users")
        yield folder


@needs_root
def test_every_role_gets_a_user(reachable: Path) -> None:
    assert separated_users(reachable) == USERS


@needs_root
def test_a_folder_below_a_private_one_is_out_of_reach(reachable: Path) -> None:
    """Such as a run directory in root's home: front could not bind its sockets there."""
    run = reachable / "run"
    run.mkdir(mode=0o711)
    reachable.chmod(0o700)
    assert separated_users(run) == {}


@pytest.mark.skipif(os.getuid() == 0, reason="as root there is a choice")
def test_without_root_there_is_one_user(tmp_path: Path) -> None:
    assert separated_users(tmp_path) == {}
