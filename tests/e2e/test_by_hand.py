"""Every step of the demo as its own command, in separate folders, over the host's TCP ports.

The commands are the ones that `strongroom demo --keep` prints: what is documented is what runs.
"""

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from strongroom_host.demo.by_hand import ByHand, Step
from strongroom_host.demo.folders import OWNERS
from strongroom_host.testnet import default_config

from tests.e2e.commands import command, environment, run, strays


def free_ports(count: int) -> int:
    """The first of `count` consecutive ports that are free now."""
    for base in range(20_000, 60_000, 97):
        with ExitStack() as held:
            try:
                for port in range(base, base + count):
                    sock = held.enter_context(socket.socket())
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports")


class Workshop:
    """A folder in which commands are typed, and what they printed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.printed: dict[str, str] = {}

    def do(self, step: Step) -> str:
        done = subprocess.run(
            command(step.command),
            cwd=self.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == step.status, (step.line, said)
        assert "Traceback" not in said
        self.printed[step.what] = said
        return said

    @contextmanager
    def background(self, step: Step, mark: str) -> Iterator[None]:
        """Runs a step that stays until the end, waiting for what it prints when it serves."""
        assert step.stays
        process = subprocess.Popen(
            [*command(step.command), "--with-stdin"],
            cwd=self.root,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert mark in process.stdout.readline()
            yield
        finally:
            process.stdin.close()
            process.stdout.read()
            process.stdout.close()
            assert process.wait(30) == 0


@contextmanager
def worked_through(root: Path) -> Iterator[tuple[Workshop, ByHand]]:
    """All steps done, in order, and the servers still up."""
    shop = Workshop(root)
    for step in ByHand.identities():
        shop.do(step)
    keys = tuple(
        json.loads((root / "owners" / name / "owner.json").read_bytes())["owner_key"]
        for name in OWNERS
    )
    base = free_ports(5)
    with tempfile.TemporaryDirectory(prefix="sr-") as short:
        Path(short).chmod(0o711)  # for root the database is another user's, who passes through
        with ExitStack() as running:
            hand = ByHand(
                keys,
                str(default_config(80002).markets[0].tokens[0]),
                venue=f"127.0.0.1:{base + 3}",
                exchange=f"127.0.0.1:{base + 4}",
                enclave=f"127.0.0.1:{base}",
                run=f"{short}/run",
                record=f"{short}/record",
            )
            venue, exchange, host = hand.servers()
            running.enter_context(shop.background(venue, '"ready"'))
            running.enter_context(shop.background(exchange, '"ready"'))
            running.enter_context(shop.background(host, "The enclave runs"))
            for step in hand.steps():
                if step.stays:
                    running.enter_context(shop.background(step, "the store port is"))
                else:
                    shop.do(step)
            yield shop, hand
        assert strays(short) == []


def test_every_documented_step_does_what_it_says(tmp_path: Path) -> None:
    with worked_through(tmp_path) as (shop, hand):
        _check_what_was_said(shop.printed)
        _check_secrets_stayed(shop.root)
        first = f"owners/{OWNERS[0]}"
        again = ["enclave", "load", "owners/manifest-2.signed.json", "--owner", first]
        done = run(*again, "--enclave", hand.enclave, cwd=shop.root)
        assert done.returncode == 3, "a second manifest needs a new boot"
        assert "manifest already" in done.stderr
    gone = next(step for step in hand.steps() if "evidence, now" in step.what)
    done = run(*gone.command[1:], cwd=tmp_path)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert "strongroom host run" in done.stderr


def _check_what_was_said(said: dict[str, str]) -> None:
    for step, words in {
        "evidence of a boot without keys": "Verified evidence",
        "one signature": "1 of 2 needed owners have signed",
        "load and verify it": "measured in PCR16",
        "make the key inside: submit": "key main: 0x",
        "let this boot sign: submit": "is in force",
        "API credentials: submit": "API key id",
        "an order that fills at once": "matched",
        "one that rests on the book": "live",
        "one owner stops signing and cancels what rests": "canceled",
        "after that: denied": "KILL_SWITCH",
        "check all of it, offline": "in order: ",
        "check that proof, without the log": "leaf 0 is in the log of ",
        "a read-only key: submit": "account alpha is connected",
        "read what the exchange tells, compute the hours": "alpha: done",
        "how each account stands": "binance",
        "hourly returns, and nothing else": "Returns as disclosed",
        "what they add up to": "TWR",
        "check that return offline": "accounts ever connected",
        "check the record's whole log": "in order: ",
    }.items():
        assert words in said[step], said[step]
    denied = said["one over the limit: denied"]
    assert all(words in denied for words in ("ORDER_NOTIONAL", "25", "61")), denied
    assert "FAILED" not in said["one owner stops signing and cancels what rests"]


def _check_secrets_stayed(root: Path) -> None:
    share = (root / "owners" / OWNERS[0] / "unlock-share").read_text().strip()
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "unlock-share"]
    assert [path for path in files if share in path.read_text("latin-1")] == []
