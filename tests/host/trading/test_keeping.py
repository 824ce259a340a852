"""What is settled before the first tick: a keeper that keeps, a strategy that has its market."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from strongroom_host.cli.trade import _load
from strongroom_host.enclave_client.errors import EnclaveRefused
from strongroom_host.errors import HostError
from strongroom_host.log.errors import LeafConflict
from strongroom_host.log.keeper_client import KeeperClient
from strongroom_host.log.keeper_socket import KeeperSocket
from strongroom_host.strategy.errors import StrategyUnsuited
from strongroom_host.strategy.port import NO_MODEL
from strongroom_host.trading.errors import LogNotKept
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.keeping import prove_kept
from strongroom_wire import frames
from strongroom_wire.errors import Code
from strongroom_wire.frames import Reply
from strongroom_wire.pages import Entry

from tests.host.trading.world import logs

WRITER = IntentWriter(0, NO_MODEL)


class Enclave:
    """Logs a leaf for what the real one logs, and sends nothing."""

    def __init__(self, code: Code = Code.OK) -> None:
        self.code = code

    def exchange_bytes(self, intent: bytes, timeout: float | None = None) -> Reply:
        asked = frames.Intent.parse(intent)
        assert (asked.kind, asked.argument) == (frames.Kind.CANCEL, bytes(32))
        logged = logs(asked.kind)
        leaf, opening = (b"leaf", b"opening") if logged else (b"", b"")
        return Reply(self.code, 0, request=b"never sent", leaf=leaf, opening=opening)


class Book:
    """A keeper's book, which takes everything or raises."""

    def __init__(self, error: HostError | None = None) -> None:
        self.error = error
        self.kept: list[Entry] = []

    @property
    def size(self) -> int:
        return len(self.kept)

    def keep(self, entries: Sequence[Entry]) -> None:
        if self.error is not None:
            raise self.error
        self.kept += entries


def test_a_keeper_that_keeps_what_the_enclave_logs_now_will_do(tmp_path: Path) -> None:
    book, path = Book(), tmp_path / "keeper.sock"
    with KeeperSocket(path, book), KeeperClient(path) as client:
        prove_kept(Enclave(), WRITER, client.kept, named=False)
    assert book.kept == [Entry(b"leaf", b"opening")]


@pytest.mark.parametrize("left", [True, False], ids=["left by an ended keeper", "never there"])
def test_nobody_at_the_socket_says_what_has_to_run(tmp_path: Path, left: bool) -> None:
    path = tmp_path / "keeper.sock"
    if left:
        KeeperSocket(path, Book()).close()
    assert path.exists() is left
    with KeeperClient(path) as client, pytest.raises(LogNotKept) as refused:
        prove_kept(Enclave(), WRITER, client.kept, named=not left)
    error = refused.value
    assert str(path) in error.what
    assert "`strongroom log keep`" in str(error.expected)
    assert error.remedy.startswith("run `strongroom log keep`")
    assert ("--keeper" in error.remedy) is not left
    assert error.exit_status == 5


def test_another_enclaves_keeper_is_none(tmp_path: Path) -> None:
    book, path = Book(LeafConflict("the log has another leaf")), tmp_path / "keeper.sock"
    with (
        KeeperSocket(path, book),
        KeeperClient(path) as client,
        pytest.raises(LogNotKept, match="another leaf") as refused,
    ):
        prove_kept(Enclave(), WRITER, client.kept, named=True)
    assert "--keeper" in refused.value.remedy


def test_a_client_that_may_not_cancel_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(EnclaveRefused):
        prove_kept(Enclave(Code.CALL_NOT_PERMITTED), WRITER, lambda _: None, named=False)


# --- the strategy's market ----------------------------------------------------------------------

NAMES = ("", "polymarket:1", "polymarket:2")


def test_the_only_market_is_the_strategys_unless_it_is_told_another() -> None:
    (first, second) = NAMES[1:]
    assert _load("baseline", {}, NAMES, [first]).parameters["market"] == first
    told = _load("baseline", {"market": second}, NAMES, [first])
    assert told.parameters["market"] == second


def test_among_several_markets_nobody_guesses() -> None:
    with pytest.raises(StrategyUnsuited, match="needs the option market"):
        _load("baseline", {}, NAMES, NAMES[1:])


def test_a_market_that_a_strategy_can_do_without_is_not_given_to_it() -> None:
    given = {"mempool": NAMES[2], "rising": NAMES[1]}
    assert _load("whale", given, NAMES, [NAMES[1]]).parameters["market"] == ""
