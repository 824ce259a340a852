"""Everybody in `demo-trade` as a process of its own: started, read until ready, ended."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from strongroom_host.demo.folders import Folders
from strongroom_host.demo.owners import VENUE
from strongroom_host.demo.processes import CLI, Child, VenueReady
from strongroom_host.private_files import write_private

__all__ = [
    "FeedReady",
    "MovingVenueReady",
    "RelayReady",
    "feed",
    "moving_venue",
    "new_psk",
    "relay",
    "trade_folders",
    "trader_arguments",
]

_EVERY_S: Final = "0.04"
_SEED: Final = "7"


class MovingVenueReady(VenueReady, frozen=True):
    """What the testnet says when its markets move: where its market channel is, besides."""

    market_url: str


class FeedReady(msgspec.Struct, frozen=True):
    """What `strongroom feed run --json` says when ticks come."""

    ring: str


class RelayReady(msgspec.Struct, frozen=True):
    """What `strongroom relay run --json` says when it listens."""

    address: str


@contextmanager
def trade_folders(keep: Path | None) -> Iterator[Folders]:
    """Yields fresh folders, removed at the end unless `keep` names where they stay."""
    run = Path(tempfile.mkdtemp(prefix="strongroom-run-"))
    run.chmod(0o711)  # a way through for the enclave's users
    root = Path(tempfile.mkdtemp(prefix="strongroom-trade-")) if keep is None else keep.absolute()
    try:
        for name in ("venue", "host", "bot", "owners", "relay"):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        yield Folders(root, run / "enclave", root / "database")
    finally:
        shutil.rmtree(run, ignore_errors=True)
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)


def moving_venue(folder: Path) -> Child[MovingVenueReady]:
    """Returns a starting testnet whose markets move, with its market channel."""
    arguments = ["--dir", str(folder), "--chain", "80002", "--with-stdin", "--market-port", "0"]
    arguments += ["--move", _SEED, "--move-every", _EVERY_S]
    return Child("the testnet venue", "strongroom_host.testnet", arguments, folder / "venue.log")


def feed(ring: str, venue: MovingVenueReady, token: str, folder: Path) -> Child[FeedReady]:
    """Returns a starting `strongroom feed run` of the testnet's market channel."""
    arguments = ["feed", "run", "--ring", ring, "--polymarket", token]
    arguments += ["--polymarket-url", venue.market_url, "--polymarket-ca", str(venue.ca)]
    arguments += ["--with-stdin", "--json"]
    return Child("the feed", CLI, arguments, folder / "feed.log")


def new_psk(path: Path) -> Path:
    """Returns the file of a fresh pre-shared key."""
    write_private(path, secrets.token_hex(32).encode() + b"\n")
    return path


def relay(venue: VenueReady, psk: Path) -> Child[RelayReady]:
    """Returns a starting `strongroom relay run` in front of the testnet, on a free port."""
    arguments = ["relay", "run", "--listen", "127.0.0.1:0", "--upstream", f"{VENUE}:443"]
    arguments += ["--dial", f"127.0.0.1:{venue.port}", "--ca", str(venue.ca)]
    arguments += ["--psk-file", str(psk), "--no-v1", "--with-stdin", "--json"]
    return Child("the relay", CLI, arguments, psk.parent / "relay.log")


def trader_arguments(
    folders: Folders, ring: str, token: str, relayed: RelayReady, psk: Path
) -> list[str]:
    """Returns `strongroom trade run` with what it needs, without a way to show itself."""
    arguments = ["trade", "run", "--ring", ring, "--strategy", "baseline"]
    arguments += ["--option", f"market=polymarket:{token}", "--option", "edge=0"]
    arguments += ["--option", "size=20000000", "--option", "rest_ms=150"]
    arguments += ["--option", "most=2000000000"]
    arguments += ["--market", token, "--name", ring]
    arguments += ["--relay", relayed.address, "--psk-file", str(psk)]
    arguments += ["--client", str(folders.bot), "--enclave", f"unix:{folders.run}"]
    arguments += [
        "--with-stdin",
        "--decisions",
        str(folders.bot / "decisions.jsonl"),
    ]
    return arguments
