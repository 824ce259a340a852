"""The whole demo: starts the parties, tells the chapters in order, and ends every process."""

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from strongroom_host.demo.accounts import DAYS, EXCHANGES, FLOWS, ORDERS, recorded
from strongroom_host.demo.bot import open_bot
from strongroom_host.demo.by_hand import ByHand
from strongroom_host.demo.departure_chapter import departure_chapter
from strongroom_host.demo.evidence_chapter import development_trust, evidence_chapter
from strongroom_host.demo.folders import Folders, demo_folders
from strongroom_host.demo.last_words import explained
from strongroom_host.demo.log_chapter import log_chapter
from strongroom_host.demo.next_boot_chapter import follow_boot, next_boot_chapter
from strongroom_host.demo.owner_chapter import Configured, key_chapter, manifest_chapter
from strongroom_host.demo.owners import VENUE
from strongroom_host.demo.processes import (
    Child,
    ExchangesReady,
    HostReady,
    KeeperReady,
    VenueReady,
    WitnessReady,
    exchanges,
    host,
    keeper,
    venue,
    witness,
)
from strongroom_host.demo.record_chapter import connect_chapter, returns_chapter
from strongroom_host.demo.recording import (
    DatabaseMade,
    RecorderReady,
    database,
    recorder,
    store_way,
)
from strongroom_host.demo.return_chapter import return_chapter
from strongroom_host.demo.secrecy_chapter import secrecy_chapter
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import Story, require
from strongroom_host.demo.timings import timings_chapter
from strongroom_host.demo.trading_chapter import kill_chapter, limits_chapter, order_chapter
from strongroom_host.demo.venue_admin import VenueAdmin
from strongroom_host.log.notes import VerifierKey
from strongroom_host.private_files import write_atomic
from strongroom_host.witness.folder import WitnessFolder
from strongroom_host.witness.memory import FollowedOwners

__all__ = ["perform"]

_WITNESS: Final = "witness.local/demo"


def perform(story: Story, keep: Path | None, document: bytes | None) -> ByHand:
    """Tells the whole story; returns only if every step happened, with what it takes by hand.

    Args:
        story: Where it is told.
        keep: Folder that stays; None for one that is removed.
        document: A real AWS document to verify; None looks for a recorded one.

    Raises:
        HostError: what went wrong, with what to do; every process has ended by then.
    """
    started = time.perf_counter()
    with demo_folders(keep) as folders, explained(folders.console), ExitStack() as running:
        with story.chapter("venue and host", "A venue waits, and a host boots an enclave"):
            witness_key = WitnessFolder(folders.witness).create(_WITNESS)
            witnessing = running.enter_context(witness(folders.witness))
            making = running.enter_context(database(folders))
            stage, operating = _set(story, folders, running, witness_key)
        with story.chapter("owner", "Evidence before trust"):
            evidence_chapter(stage, document)
        with story.chapter("owners", "Three owners agree on a manifest, two signatures count"):
            configured = manifest_chapter(stage)
        admin = running.enter_context(closing(VenueAdmin(stage.venue)))
        at = _followed(stage, configured, witnessing)
        follow_boot(folders.enclave, stage.host.run)
        keeping = running.enter_context(keeper(folders.log, folders.bot, folders.enclave, at))
        with story.chapter("owners", "A key and its credentials, made where nobody can read them"):
            address = key_chapter(stage, configured, admin)
        kept = keeping.ready(KeeperReady).socket, folders.log
        opened = open_bot(folders.bot, stage.on_the_host, stage.venue.port, *kept)
        bot = running.enter_context(opened)
        recording = running.enter_context(_recorder(folders, making, at))
        recording.ready(RecorderReady)
        with story.chapter("owners", "Read-only keys of two exchange accounts go in"):
            connect_chapter(stage, configured)
        with story.chapter("bot", "From an intent to a filled order"):
            order_chapter(stage, bot, admin)
        with story.chapter("bot", "What the owners do not allow"):
            limits_chapter(stage, bot)
        with story.chapter("bot", "How fast"):
            timings_chapter(stage, bot, configured.evidence)
        # It boots while the story goes on.
        booting = host(folders.host, folders.next_run, stage.ways, "next-host.log")
        running.enter_context(booting)
        with story.chapter("one owner", "The kill switch"):
            kill_chapter(stage, configured, bot)
        with story.chapter("auditor", "The log, which nobody can rewrite unnoticed"):
            log_chapter(stage, configured, bot, keeping)
        with story.chapter("reader", "Hourly returns come out, signed"):
            returns_chapter(stage, recording)
            return_chapter(stage, configured)
        with story.chapter("reader and superuser", "Trades do not"):
            secrecy_chapter(stage, recording)
        following = booting.ready(HostReady)
        follow_boot(folders.enclave, following.run)  # where the keeper looks when this boot ends
        with story.chapter("narrator and host", "What was left behind"):
            departure_chapter(stage, bot, operating, address)
        with story.chapter("owners", "The next boot goes on with the log"):
            next_boot_chapter(stage, configured, following, keeping, recording)
        for child in (booting, keeping, recording, witnessing):
            child.process.terminate()  # all at once; each is waited for
        keys = tuple(folder.public_key.hex() for folder in configured.owners.values())
        by_hand = ByHand(keys, stage.market.tokens[0])
    story.facts["total_s"] = round(time.perf_counter() - started, 2)
    return by_hand


def _followed(stage: Stage, configured: Configured, witnessing: Child[WitnessReady]) -> str:
    """Has the witness follow the owners' logs; returns where it is asked, as NAME=URL."""
    manifest = configured.manifest.manifest
    with WitnessFolder(stage.folders.witness).memory() as memory:
        memory.follow_owners(FollowedOwners(manifest.owner_root, manifest.account))
    return f"{_WITNESS}={witnessing.ready(WitnessReady).url}"


def _recorder(folders: Folders, making: DatabaseMade, at: str) -> Child[RecorderReady]:
    """Returns the starting service around the record, once its database is made."""
    for name in ("trust.json", "manifest.signed.json"):
        write_atomic(folders.recorder / name, (folders.bot / name).read_bytes())
    making.finish()
    return recorder(folders, at)


def _set(
    story: Story, folders: Folders, running: ExitStack, witness_key: VerifierKey
) -> tuple[Stage, Child[HostReady]]:
    for folder in (folders.host, folders.venue):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun_ms = time.time_ns() // 1_000_000
    waiting = running.enter_context(venue(folders.venue))
    trading = running.enter_context(
        exchanges(folders.exchanges, tuple(EXCHANGES.values()), DAYS, ORDERS, FLOWS)
    )
    open_venue, open_exchanges = waiting.ready(VenueReady), trading.ready(ExchangesReady)
    ways = (f"{VENUE}=127.0.0.1:{open_venue.port}", store_way(folders), *open_exchanges.ways)
    operating = running.enter_context(host(folders.host, folders.run, ways))
    ready = operating.ready(HostReady)
    require(open_venue.chain_id == 80002, "the testnet is on another chain")
    story.facts["boot_s"] = ready.boot_s
    markets = len(open_venue.markets)
    story.proved(
        "venue_serves",
        f"a test venue serves {markets} markets on port {open_venue.port}, under a CA of its own",
    )
    story.proved(
        "enclave_boots",
        f"an enclave booted in {ready.boot_s:.1f} s behind a host that carries bytes, at"
        f" {ready.address}",
    )
    trust = development_trust(ready.root)
    kept = recorded(open_exchanges.ca, begun_ms)
    parties = open_venue, open_exchanges, ready
    return Stage(story, folders, *parties, ways, trust, witness_key, kept), operating
