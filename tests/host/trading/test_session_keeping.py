"""A session is opened whole: before its first tick the keeper that it waits for proves itself."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from strongroom_host.cli.trading import ClientFolder
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.log.errors import LeafConflict
from strongroom_host.log.keeper_socket import KeeperSocket
from strongroom_host.ring.writer import RingWriter
from strongroom_host.trading import session
from strongroom_host.trading.errors import LogNotKept
from strongroom_host.trading.session import Session, SessionOptions, open_session
from strongroom_wire import frames
from strongroom_wire.manifest import Manifest
from strongroom_wire.pages import Entry

from tests.host.trading.world import Script, World
from tests.wire.samples import manifest


class Book:
    """A keeper's book, which takes everything, or nothing."""

    def __init__(self, *, takes: bool) -> None:
        self._takes = takes
        self.kept: list[Entry] = []

    @property
    def size(self) -> int:
        return len(self.kept)

    def keep(self, entries: Sequence[Entry]) -> None:
        if not self._takes:
            raise LeafConflict("the log has another leaf")
        self.kept += entries


@pytest.fixture
def options(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SessionOptions]:
    """A session with a ring of one market; the signer is the world's, and so is the venue."""
    folder, name = tmp_path / "client", f"test-{secrets.token_hex(4)}"
    folder.mkdir()
    identity = ClientIdentity.generate("bot")
    identity.save(folder)
    frame_key, calls = identity.frame_public.hex(), ("order", "cancel", "query", "heartbeat")
    client = replace(manifest().clients[0], frame_key=frame_key, calls=calls)
    known: Manifest = replace(manifest(), clients=(client,))
    market = replace(known.keys[0].policy.markets[0], token=str(world.token))
    key = replace(known.keys[0], policy=replace(known.keys[0].policy, markets=(market,)))
    boot = SimpleNamespace(bundle=SimpleNamespace(boot_id=bytes(32)))

    @contextmanager
    def trader(*_: object, **__: object) -> Iterator[Any]:
        yield SimpleNamespace(
            manifest=replace(known, keys=(key,)),
            evidence=boot,
            channel=world.signer,
            key=lambda _: key,
        )

    monkeypatch.setattr(ClientFolder, "trader", trader)
    monkeypatch.setattr(session, "venue_of", lambda *_: world.connection())
    with RingWriter.create(name) as writer:
        writer.instrument(f"polymarket:{world.token}")
        yield SessionOptions(
            name,
            "script",
            key.name,
            (str(world.token),),
            folder,
            EnclaveAddress.at_ports("127.0.0.1", 1),
            name=name,
        )


@contextmanager
def opened(options: SessionOptions) -> Iterator[Session]:
    with open_session(options, lambda *_: Script()) as found:
        yield found


def test_a_session_whose_keeper_keeps_nothing_does_not_begin(
    world: World, options: SessionOptions
) -> None:
    book = Book(takes=False)
    with (
        KeeperSocket(options.client / "keeper.sock", book),
        pytest.raises(LogNotKept, match="another leaf"),
        opened(options),
    ):
        pytest.fail("it began")
    assert [asked.kind for asked in world.signer.asked] == [frames.Kind.CANCEL]


def test_a_session_whose_keeper_has_ended_does_not_begin(options: SessionOptions) -> None:
    KeeperSocket(options.client / "keeper.sock", Book(takes=True)).close()
    with pytest.raises(LogNotKept), opened(options):
        pytest.fail("it began")


def test_a_session_begins_with_a_leaf_that_was_kept(world: World, options: SessionOptions) -> None:
    book = Book(takes=True)
    with KeeperSocket(options.client / "keeper.sock", book), opened(options) as begun:
        assert begun.taken_over == 0
        assert len(book.kept) == len(world.signer.asked) == 1
        assert book.kept[0].leaf


def test_who_goes_without_a_keeper_asks_for_no_proof(world: World, options: SessionOptions) -> None:
    KeeperSocket(options.client / "keeper.sock", Book(takes=True)).close()
    with opened(changed(options, journal_only=True)) as begun:
        assert begun.taken_over == 0
        assert world.signer.asked == []
