"""`harden` in real child processes, judged by what the kernel says about them."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from strongroom_enclave.platform import PlatformError, hardening
from strongroom_enclave.platform.hardening import HardeningFailed, harden

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")
ENCLAVE = Path(hardening.__file__).parents[2]


def run(code: str) -> subprocess.CompletedProcess[str]:
    program = "from strongroom_enclave.platform.hardening import *\n" + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ENCLAVE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_core_files_have_no_size_left() -> None:
    code = "harden(); import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    assert run(code).stdout.strip() == "(0, 0)"


@LINUX
def test_memory_has_an_end_for_whoever_is_to_go_first() -> None:
    """What cannot be had is an error there, and no reason to end anybody else."""
    out = run(
        """
        limit_memory(256 << 20)
        harden()
        print(open("/proc/self/oom_score_adj").read().strip() if os.getuid() == 0 else "1000")
        for size in (64 << 20, 512 << 20):
            try:
                print(len(bytearray(size)) == size)
            except MemoryError:
                print("no more")
        """
    ).stdout.split("\n")
    assert out[:3] == ["1000", "True", "no more"]


@LINUX
def test_the_kernel_confirms() -> None:
    out = run(
        """
        import ctypes
        prctl = ctypes.CDLL(None).prctl
        print(prctl(3))
        harden()
        death = ctypes.c_int()
        assert prctl(2, ctypes.byref(death)) == 0
        print(prctl(3), death.value)
        print([line for line in open("/proc/self/status") if line.startswith("NoNewPrivs")])
        """
    ).stdout.split("\n")
    assert out[:2] == ["1", "0 9"]
    assert out[2] == "['NoNewPrivs:\\t1\\n']"


@LINUX
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_another_process_of_the_same_user_cannot_read_memory() -> None:
    out = run(
        """
        import os, sys
        os.setuid(65534)
        def readable(pid):
            try:
                open(f"/proc/{pid}/mem", "rb").close()
            except PermissionError:
                return False
            return True
        def child(ready):
            inward, outward = os.pipe()
            pid = os.fork()
            if pid == 0:
                import ctypes
                ctypes.CDLL(None).prctl(4, 1)  # the change of user has cleared it
                if ready:
                    harden()
                os.write(outward, b"x")
                os.read(os.pipe()[0], 1)
            os.read(inward, 1)
            return pid
        for hardened in (False, True):
            pid = child(hardened)
            print(readable(pid))
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        """
    )
    assert out.stdout.split() == ["True", "False"]


@LINUX
@pytest.mark.parametrize(("lifetime", "expected"), [(0, "forked"), (45, "refused")])
def test_who_has_a_lifetime_leaves_no_child_behind(lifetime: int, expected: str) -> None:
    # The kernel counts only for users without privileges, as workers are in the image.
    out = run(
        f"""
        import os
        if os.getuid() == 0:
            os.setuid(65534)
        harden({lifetime})
        try:
            if os.fork() == 0:
                os._exit(0)
            print("forked")
        except BlockingIOError:
            print("refused")
        """
    )
    assert out.stdout.strip() == expected


@LINUX
def test_a_worker_does_not_outlive_its_parent() -> None:
    # The middle process starts a worker, waits until it is hardened, and dies.
    out = run(
        """
        import os, signal, subprocess, sys
        worker = '''
        import os, time
        from strongroom_enclave.platform.hardening import harden
        harden()
        print(os.getpid(), flush=True)
        time.sleep(600)
        '''
        import textwrap
        program = [sys.executable, "-c", textwrap.dedent(worker)]
        child = subprocess.Popen(program, stdout=subprocess.PIPE)
        print(child.stdout.readline().decode(), end="", flush=True)
        os._exit(0)
        """
    )
    pid = int(out.stdout)
    for _ in range(1000):
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if status == "Z":
            return
        signal.sigtimedwait([], 0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


@LINUX
@pytest.mark.parametrize("measure", [4, 38, 1])
def test_a_refused_measure_is_never_reported_as_taken(
    measure: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)

    class Library:
        @staticmethod
        def prctl(option: int, *arguments: object) -> int:
            return -1 if option == measure else 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    with pytest.raises(HardeningFailed):
        harden()


def test_a_refused_limit_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "setrlimit", denied)
    with pytest.raises(PlatformError, match="RLIMIT_CORE"):
        harden()


def test_without_prctl_only_the_limit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise AssertionError("asked for prctl")

    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(ctypes, "CDLL", unavailable)
    monkeypatch.setattr(sys, "platform", "darwin")
    harden()


CONFINED = """
    import errno, os, socket, subprocess, sys

    def refused(act):
        try:
            act()
        except OSError as error:
            return error.errno == errno.EPERM
        return False

    acts = {
        "inet": lambda: socket.socket(socket.AF_INET),
        "inet6": lambda: socket.socket(socket.AF_INET6),
        "vsock": lambda: socket.socket(socket.AF_VSOCK),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "execveat": lambda: os.execve(os.open("/bin/true", os.O_RDONLY), ["true"], {}),
        "io_uring": lambda: call(425, 1, bytes(120)),
        "i386 numbers": lambda: call(0x40000000 | 41, socket.AF_INET, 1, 0),
    }

    def call(*arguments):
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(*arguments) < 0:
            raise OSError(ctypes.get_errno(), "")
"""


@LINUX
def test_a_confined_worker_starts_nothing_and_connects_to_nothing() -> None:
    out = run(
        CONFINED
        + """
    harden(); confine()
    print([name for name, act in acts.items() if not refused(act)])
    """
    )
    assert out.stdout.strip() == "[]"


@LINUX
def test_a_confined_worker_keeps_what_it_inherited_and_unix_sockets() -> None:
    out = run(
        CONFINED
        + """
    inet = socket.socket(socket.AF_INET)
    inet.bind(("127.0.0.1", 0)); inet.listen()
    client = socket.create_connection(inet.getsockname())
    harden(); confine()
    server, _ = inet.accept()
    client.send(b"tcp"); ours, theirs = socket.socketpair(); theirs.send(b"unix")
    print(server.recv(9), ours.recv(9), socket.socket(socket.AF_UNIX).family.name)
    """
    )
    assert out.stdout.strip() == "b'tcp' b'unix' AF_UNIX"


@LINUX
def test_what_confinement_refuses_works_without_it() -> None:
    out = run(
        CONFINED
        + """
    harden()
    print([name for name in ("inet", "inet6", "netlink") if refused(acts[name])])
    """
    )
    assert out.stdout.strip() == "[]"


@LINUX
@pytest.mark.parametrize("machine", ["riscv64", "armv7l"])
def test_an_unknown_architecture_is_refused(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uname = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*uname[:4], machine)))
    with pytest.raises(HardeningFailed, match="architecture"):
        hardening.confine()
