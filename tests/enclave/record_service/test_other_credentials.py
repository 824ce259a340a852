"""Other credentials for an account: a record is of one account at the venue, whoever reconnects.

An owner and a host together could mix two accounts in one record: have one read in part, then
connect the other. Whatever of the first is left over has to count for nothing.
"""

from decimal import Decimal
from secrets import token_bytes

import pytest
from strongroom_enclave.datakeys import DataKey
from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.errors import AccountForked, CredentialsSwapped, StoreBroken
from strongroom_enclave.record.events import Event, Flow, FlowKind
from strongroom_enclave.record.returns import HOUR_MS, Flag
from strongroom_enclave.record.state import AccountState
from strongroom_enclave.record.sync import Run, following
from strongroom_wire.leaves import Kind
from strongroom_wire.record import Credentials

from tests.enclave.record_kept.samples import KEYS
from tests.enclave.record_service.test_sync import (
    ADA,
    END,
    Scene,
    check_hours,
    check_receipts,
)
from tests.enclave.record_service.world import START, Faults, World, history

MIDDLE = START + 16 * HOUR_MS


class Reconnected(Scene):
    """A scene whose owner may connect the account anew; `keys` are all that were made for it."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.keys = dict(KEYS)

    @property
    def state(self) -> AccountState:
        return AccountState.open(self.keys, "ada", self.book.states["ada"])

    def opened(self) -> Run:
        return Run(self.book, self.host.store, self.keys, ADA, "development")

    def run(self, *, full: bool = False) -> None:
        self.opened().run(self.world, full, self.world.sleep)  # type: ignore[arg-type]

    def events(self) -> set[Event]:
        return set(self.opened()._known.values())

    def connect(self, world: World) -> None:
        """What the process does with an owner's order: the same, or another account's."""
        key, before, state = DataKey("ada", token_bytes(32)), self.book.states["ada"], self.state
        self.keys[key.id] = key
        state.sync = following(state.sync)
        state = state.connected(Credentials("ada", "binance", "k2", "s2", ""), key)
        self.book.commit(self.host.store, before, state, key, Kind.SYNC)
        self.world = world


def other(seed: int = 40, now_ms: int = END, holder: str = "2002") -> World:
    """An account of another holder at the same venue."""
    return World(history(seed), now_ms, holder=holder)


def is_of(scene: Reconnected, world: World) -> None:
    """The record is of this account and no other, to the last digit, and says so."""
    assert scene.events() == set(world.events)
    assert [hour.start_ms for hour in scene.hours()] == list(range(START, END, HOUR_MS))
    check_hours(scene, world.events)
    check_receipts(scene)
    assert {receipt.completeness for receipt, _ in scene.host.published["ada"]} == {"unbroken"}


@pytest.mark.parametrize("dies", [4, 6, 9])
def test_rows_of_a_run_that_was_cut_off_are_not_the_next_accounts(dies: int) -> None:
    scene = Reconnected(World(history(41), END))
    scene.host.dies = dies
    with pytest.raises(StoreBroken):
        scene.run()
    assert sum(map(len, scene.host.rows.values())) > 0
    scene.book.resume(scene.host.store)
    scene.connect(other())
    scene.run()
    is_of(scene, scene.world)


def test_rows_that_a_receipt_counts_are_not_the_next_accounts_before_they_are_balanced() -> None:
    faults = Faults(reason=Reason.UNKNOWN_KIND, at_page=4)
    scene = Reconnected(World(history(41), END, faults=faults))
    with pytest.raises(VenueFault):
        scene.run()
    assert scene.state.sync.trades[0] + scene.state.sync.flows[0] > 0
    scene.connect(other())
    assert (scene.state.cursors, scene.state.holder, scene.state.sync.until_ms) == ({}, "", 0)
    scene.run()
    is_of(scene, scene.world)
    scene.reboot()
    scene.run()
    is_of(scene, scene.world)


def test_how_far_another_account_was_told_says_nothing_of_the_next_one() -> None:
    """Else its owner could have all before left out, by an account that is never at rest."""
    scene = Reconnected(World(history(41), END, faults=Faults(moving=True, depth_ms=9 * HOUR_MS)))
    with pytest.raises(VenueFault):
        scene.run()
    first = scene.state.sync
    assert first.balanced_ms == 0
    assert first.until_ms > MIDDLE
    assert first.since_ms > MIDDLE
    scene.connect(other())
    assert (scene.state.sync.since_ms, scene.state.sync.until_ms) == (0, 0)
    scene.run()
    is_of(scene, scene.world)


def test_a_run_with_the_old_credentials_that_goes_on_adds_nothing() -> None:
    """It was fetching when the owner connected the other account, and puts what it still gets."""
    scene = Reconnected(World(history(41), END))
    late, old = scene.opened(), scene.world
    scene.connect(other())
    with pytest.raises(AccountForked):
        late.run(old, False, old.sleep)  # type: ignore[arg-type]
    assert sum(map(len, scene.host.rows.values())) > 0
    scene.run()
    is_of(scene, scene.world)


def test_another_account_is_refused_once_one_was_balanced() -> None:
    scene = Reconnected(World(history(41), MIDDLE))
    scene.run()
    before = scene.state, len(scene.host.leaves()), {**scene.host.rows}, scene.hours()
    scene.connect(other())
    for _ in range(2):
        with pytest.raises(CredentialsSwapped):
            scene.run()
    assert (scene.host.rows, scene.hours()) == before[2:]
    assert len(scene.host.leaves()) == before[1] + 1  # that it was connected
    assert scene.state.sync.balanced_ms == before[0].sync.balanced_ms
    # A new key of the account itself, and it goes on.
    own = World(history(41), END)
    scene.connect(own)
    scene.run()
    is_of(scene, own)


def test_a_venue_that_names_no_holder_is_found_out_by_what_it_holds() -> None:
    """What another account holds is not what the record's ledger adds up to."""
    scene = Reconnected(World(history(41), MIDDLE, holder=""))
    scene.run()
    published = len(scene.hours())
    balanced_ms = scene.state.sync.balanced_ms
    scene.connect(other(holder=""))
    scene.run()
    assert len(scene.hours()) == published  # it waits for a day
    scene.world.now_ms = balanced_ms + 25 * HOUR_MS
    scene.run()
    late = scene.hours()[published:]
    flagged = [hour for hour in late if hour.flags & Flag.UNEXPLAINED]
    assert len(flagged) >= 24
    assert all(hour.value is None for hour in flagged)
    assert scene.host.published["ada"][-1][0].completeness == "with-gaps"


def test_a_new_key_of_the_same_account_begins_nothing_anew() -> None:
    own = World(history(41), MIDDLE)
    scene = Reconnected(own)
    scene.run()
    cursors, openings = scene.state.cursors, scene.state.openings
    own.now_ms = END
    scene.connect(own)
    assert (scene.state.cursors, scene.state.openings) == (cursors, openings)
    scene.run()
    is_of(scene, own)
    trades, flows = scene.state.sync.trades[0], scene.state.sync.flows[0]
    assert trades + flows == len(own.events)  # nothing was fetched twice


def test_what_was_left_over_is_not_told_in_the_openings_either() -> None:
    """The other account holds what no event explains; of the first one nothing is in that."""
    scene = Reconnected(World(history(41), END))
    scene.host.dies = 6
    with pytest.raises(StoreBroken):
        scene.run()
    scene.book.resume(scene.host.store)
    scene.connect(other())
    scene.world.extra["USDT"] = Decimal(500)
    scene.run()
    openings = [event for event in scene.state.openings if isinstance(event, Flow)]
    assert [(each.asset, each.amount, each.kind) for each in openings] == [
        ("USDT", Decimal(500), FlowKind.OPENING)
    ]
