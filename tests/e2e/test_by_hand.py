"""Every step of the demo as its own command, in separate folders, over the host's TCP ports.

The commands are the ones that `strongroom demo --keep` prints: what is documented is what runs.
"""

import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
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


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workshop, ByHand]]:
    """All steps done, in order, and the servers still up."""
    shop = Workshop(tmp_path_factory.mktemp("by-hand"))
    for step in ByHand.identities():
        shop.do(step)
    keys = tuple(
        json.loads((shop.root / "owners" / name / "owner.json").read_bytes())["owner_key"]
        for name in OWNERS
    )
    base = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="sr-") as short, ExitStack() as running:
        hand = ByHand(
            keys,
            str(default_config(80002).markets[0].tokens[0]),
            venue=f"127.0.0.1:{base + 3}",
            enclave=f"127.0.0.1:{base}",
            run=f"{short}/run",
        )
        venue, host = hand.servers()
        running.enter_context(shop.background(venue, '"ready"'))
        running.enter_context(shop.background(host, "The enclave runs"))
        for step in hand.steps():
            shop.do(step)
        yield shop, hand
        running.close()
        assert strays(short) == []


def test_each_step_does_what_it_says(workshop: tuple[Workshop, ByHand]) -> None:
    said = workshop[0].printed
    assert "Verified evidence" in said["evidence of a boot without keys"]
    assert "1 of 2 needed owners have signed" in said["one signature"]
    assert "measured in PCR16" in said["load and verify it"]
    assert "key main: 0x" in said["make the key inside: submit"]
    assert "is in force" in said["let this boot sign: submit"]
    assert "API key id" in said["API credentials: submit"]
    assert "matched" in said["an order that fills at once"]
    assert "live" in said["one that rests on the book"]


def test_what_is_not_allowed_is_denied_with_rule_and_numbers(
    workshop: tuple[Workshop, ByHand],
) -> None:
    said = workshop[0].printed["one over the limit: denied"]
    assert "ORDER_NOTIONAL" in said
    assert "25" in said
    assert "61" in said


def test_the_kill_switch_cancels_and_denies(workshop: tuple[Workshop, ByHand]) -> None:
    said = workshop[0].printed
    assert "FAILED" not in said["one owner stops signing and cancels what rests"]
    assert "canceled" in said["one owner stops signing and cancels what rests"]
    assert "KILL_SWITCH" in said["after that: denied"]


def test_secrets_stay_in_their_owners_folders(workshop: tuple[Workshop, ByHand]) -> None:
    root = workshop[0].root
    share = (root / "owners" / OWNERS[0] / "unlock-share").read_text().strip()
    elsewhere = [
        path
        for path in root.rglob("*")
        if path.is_file() and path.name != "unlock-share" and share in path.read_text("latin-1")
    ]
    assert elsewhere == []


def test_a_second_manifest_needs_a_new_boot(workshop: tuple[Workshop, ByHand]) -> None:
    shop, hand = workshop
    words = ["enclave", "load", "owners/manifest-2.signed.json", "--owner", f"owners/{OWNERS[0]}"]
    done = run(*words, "--enclave", hand.enclave, cwd=shop.root)
    assert done.returncode == 3
    assert "manifest already" in done.stderr


def test_without_an_enclave_there_is_one_clear_message(
    workshop: tuple[Workshop, ByHand],
) -> None:
    shop, hand = workshop
    nobody = replace(hand, enclave=f"127.0.0.1:{free_ports(3)}")
    step = next(step for step in nobody.steps() if "evidence, now" in step.what)
    done = run(*step.command[1:], cwd=shop.root)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert "strongroom host run" in done.stderr
