"""The sandbox: a program in it sees its root and inputs, and nothing of this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from strongroom_eif.recipe import sandbox
from strongroom_eif.recipe.errors import BuildFailed, SandboxUnavailable
from strongroom_eif.recipe.root import Root

from tests.eif.recipe.checkout import shell_root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    found = shell_root(tmp_path_factory.mktemp("shell") / "root")
    if found is None:
        pytest.skip("no ldd, with which to put a small root together")
    try:
        sandbox.run(found, ["/bin/sh", "-c", ":"], work=found.path.parent / "w", read={}, env={},
                    log=found.path.parent / "log")  # fmt: skip
    except SandboxUnavailable as error:
        pytest.skip(f"no sandbox here: {error.actual}; {error.remedy}")
    return found


def said(
    root: Root, folder: Path, script: str, read: Mapping[str, Path] | None = None, **env: str
) -> str:
    """Returns what a shell script prints in the sandbox."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    sandbox.run(
        root, ["/bin/sh", "-c", script], work=folder / "work", read=read or {}, env=env, log=log
    )
    return log.read_text().strip()


def test_the_environment_is_ours(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the caller")
    text = said(root, tmp_path, "cat /proc/self/environ", OWN="x")
    found = dict(pair.split("=", 1) for pair in text.split("\0") if pair)
    assert found.items() >= {**sandbox.ENVIRONMENT, "OWN": "x"}.items()
    assert found.keys() - {*sandbox.ENVIRONMENT, "OWN"} <= {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("umask", "0022"),
        ("pwd", "/work"),
        ("id -u", "0"),
        ("uname -n", "strongroom"),
        ("cat <&0", ""),
        ("ls /in", ""),
        ("ls /tmp", ""),
        ("ls /dev", "fd\nfull\nnull\nrandom\nstderr\nstdin\nstdout\nurandom\nzero"),
        ("cat /proc/net/dev | while read a b; do case $a in *:) echo $a;; esac; done", "lo:"),
        ("echo x 2>&- > /bin/new || echo refused", "refused"),
        ("echo x 2>&- > /new || echo refused", "refused"),
        ("echo x > /tmp/new && cat /tmp/new", "x"),
        ("echo x > /dev/null", ""),
    ],
)
def test_what_a_program_finds(root: Root, tmp_path: Path, script: str, expected: str) -> None:
    assert said(root, tmp_path, script) == expected
    assert not (root.path / "bin/new").exists()


def test_no_privilege_is_left(root: Root, tmp_path: Path) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in said(root, tmp_path, "cat /proc/self/status").splitlines()
        if ":\t" in line
    )
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"


def test_only_its_own_processes_are_visible(root: Root, tmp_path: Path) -> None:
    assert said(root, tmp_path, "echo $$; echo /proc/[0-9]*") == "2\n/proc/1 /proc/2"


def test_the_settings_of_the_kernel_are_read_only(root: Root, tmp_path: Path) -> None:
    """Who writes core_pattern has the kernel start a program of his as root, outside."""
    for path in ("sys/kernel/core_pattern", "self/oom_score_adj"):
        text = said(root, tmp_path, f"(: >> /proc/{path}) 2>&1 || echo refused")
        assert "Read-only file system" in text, path
        assert text.endswith("refused"), path


def test_inputs_are_read_only(root: Root, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/deep").write_text("deep")
    script = (
        "cat /in/a.txt /in/b/deep; echo; (echo x > /in/a.txt) 2>&- || echo refused; "
        "(echo x > /in/b/new) 2>&- || echo refused"
    )
    read = {"a.txt": tmp_path / "file", "b": tmp_path / "folder"}
    assert said(root, tmp_path, script, read) == "indeep\nrefused\nrefused"
    assert (tmp_path / "file").read_text() == "in"


def test_work_is_writable_and_stays(root: Root, tmp_path: Path) -> None:
    said(root, tmp_path, "echo made > made; umask 077; echo x > own")
    assert (tmp_path / "work/made").read_text() == "made\n"
    assert (tmp_path / "work/made").stat().st_mode == 0o100644


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A work directory as a hostile program leaves it. It cannot read the secret, but point to
    it."""
    (tmp_path / "secret").write_text("of this machine")
    work = tmp_path / "work"
    (work / "a").mkdir(parents=True)
    (work / "a/file").write_text("x")
    for name, target in (("link", "../secret"), ("folder", ".."), ("inner", "a/file")):
        (work / name).symlink_to(target)
    return work


def test_a_result_is_a_file_that_lies_in_the_work_directory(left: Path) -> None:
    assert sandbox.result(left, "a/file").read_text() == "x"


@pytest.mark.parametrize("name", ["link", "folder/secret", "a", "absent", "inner"])
def test_no_result_leads_out_of_the_work_directory(left: Path, name: str) -> None:
    with pytest.raises(BuildFailed, match=name):
        sandbox.result(left, name)


def test_nothing_stays_mounted(root: Root, tmp_path: Path) -> None:
    said(root, tmp_path, ":")
    assert str(root.path) not in Path("/proc/self/mounts").read_text()


def test_a_program_that_fails(root: Root, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        said(root, tmp_path, "echo one; echo two >&2; exit 3")
    assert caught.value.actual == "exit status 3"
    assert caught.value.tail == "one\ntwo"
    assert str(tmp_path / "log") in caught.value.remedy


def test_a_program_that_a_signal_ends(root: Root, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        said(root, tmp_path, "kill -9 $$")
    assert caught.value.actual == "signal 9"


def test_a_program_that_is_not_there(root: Root, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        sandbox.run(root, ["/bin/absent"], work=tmp_path / "w", read={}, env={},
                    log=tmp_path / "log")  # fmt: skip
    assert "cannot start /bin/absent" in caught.value.tail


def test_an_orphan_does_not_outlive_the_program(root: Root, tmp_path: Path) -> None:
    started = time.monotonic()
    said(root, tmp_path, "sleep 300 & :")
    assert time.monotonic() - started < 200


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", ".hidden"])
def test_inputs_are_named_plainly(root: Root, tmp_path: Path, name: str) -> None:
    with pytest.raises(SandboxUnavailable, match="cannot name"):
        said(root, tmp_path, ":", {name: tmp_path})


REFUSING = """#!/bin/sh
echo "unshare: unshare failed: Operation not permitted" >&2
exit 1
"""


def test_a_kernel_that_allows_nothing(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unshare").write_text(REFUSING)
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SandboxUnavailable) as caught:
        said(root, tmp_path, ":")
    why = "unshare: unshare failed: Operation not permitted"
    if os.geteuid() == 0:
        assert caught.value.actual == f"as root: {why}; in a user namespace: {why}"
    else:
        assert caught.value.actual == why
    assert ("run it as root" in caught.value.remedy) is (os.geteuid() != 0)
    assert "mount --bind" in caught.value.remedy
    assert "apparmor_restrict_unprivileged_userns" in caught.value.remedy
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SandboxUnavailable, match="unshare is not on the PATH"):
        said(root, tmp_path, ":")


WITHOUT_ROOT = """
import os, sys
from pathlib import Path
os.geteuid = lambda: 1000
from strongroom_eif.recipe import sandbox
from strongroom_eif.recipe.root import Root
folder = Path(sys.argv[2])
sandbox.run(Root(Path(sys.argv[1]), ""), ["/bin/sh", "-c", "id -u; cat /proc/self/uid_map"],
            work=folder / "work", read={}, env={}, log=folder / "log")
"""


def test_a_user_namespace_does_it_too(root: Root, tmp_path: Path) -> None:
    """As an ordinary user would: only `--user` is tried."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOT, root.path, tmp_path],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "SandboxUnavailable" in result.stderr:
        pytest.skip("user namespaces are not allowed here")
    assert result.returncode == 0, result.stderr
    lines = (tmp_path / "log").read_text().split()
    # One user only is known in there.
    assert lines == ["0", "0", str(os.geteuid()), "1"]
