"""One run through an account, against a venue that is told and a host in memory."""

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import cast

import pytest
from msgspec.structs import replace
from strongroom_enclave.datakeys import SealForged
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.errors import (
    AccountForked,
    RowsReplaced,
    StoreBroken,
    StoreRefused,
)
from strongroom_enclave.record.events import Event, Flow, FlowKind, Side, Trade
from strongroom_enclave.record.marks import Candles
from strongroom_enclave.record.returns import HOUR_MS, Basis, Doubt, Flag
from strongroom_enclave.record.state import AccountState
from strongroom_enclave.record.sync import Run
from strongroom_host.log.returns import require_follows, require_synced
from strongroom_wire.leaves import Kind
from strongroom_wire.manifest import Account, Tier
from strongroom_wire.record import (
    UNCHAINED,
    Credentials,
    PublishedHour,
    ReturnsReceipt,
    SyncReceipt,
)

from tests.enclave.record.oracle import History
from tests.enclave.record_kept.logs import Host, Log
from tests.enclave.record_kept.samples import KEY, KEYS
from tests.enclave.record_service.world import LAG, MARKETS, START, Faults, World, history

EXACT = Tier(hours=1, grid=None)
ADA = Account("ada", "ada", "binance", "test", "USDT", 0, EXACT)
END = START + 31 * HOUR_MS


class Scene:
    """An account that is connected, at a venue, with a host that keeps what it is given."""

    def __init__(self, world: World, account: Account = ADA) -> None:
        self.world, self.account, self.host, self.log = world, account, Host(), Log()
        self.book = self.log.boot(self.host)
        place = account.name, account.venue, account.environment, 0, UNCHAINED
        rows = 0, UNCHAINED
        credentials = Credentials(account.name, account.venue, "k", "s", "")
        state = AccountState(credentials, SyncReceipt(*place, rows, rows, 0, 0, 0, 0))
        state = state.connected(credentials, KEY)
        self.book.commit(self.host.store, None, state, KEY, Kind.SYNC)

    def reboot(self) -> None:
        self.book = self.log.boot(self.host)

    def run(self, *, full: bool = False) -> None:
        run = Run(self.book, self.host.store, KEYS, self.account, "development")
        run.run(cast(Connector, self.world), full, self.world.sleep)

    @property
    def state(self) -> AccountState:
        return AccountState.open(KEYS, self.account.name, self.book.states[self.account.name])

    def hours(self) -> list[PublishedHour]:
        published = self.host.published.get(self.account.name, [])
        return [PublishedHour.parse(row) for _, rows in published for row in rows]

    def events(self) -> set[Event]:
        run = Run(self.book, self.host.store, KEYS, self.account, "development")
        return set(run._known.values())


def check_receipts(scene: Scene) -> None:
    """The chains are whole, and returns are of the synchronisation that they name."""
    syncs = [SyncReceipt.parse(each) for each in scene.host.receipts(Kind.SYNC)]
    before: SyncReceipt | None = None
    for sync in syncs:
        require_follows(sync, before)
        before = sync
    last: ReturnsReceipt | None = None
    for receipt, rows in scene.host.published.get(scene.account.name, []):
        require_follows(receipt, last)
        [named] = [sync for sync in syncs if _names(receipt, sync)]
        require_synced(receipt, named)
        assert receipt.count == len(rows)
        last = receipt


def _names(receipt: ReturnsReceipt, sync: SyncReceipt) -> bool:
    try:
        require_synced(receipt, sync)
    except Exception:  # noqa: BLE001
        return False
    return True


def check_hours(scene: Scene, events: list[Event], doubts: tuple[Doubt, ...] = ()) -> None:
    """Each published hour is that of the oracle, over what the venue really knows."""
    marks = Candles(scene.world.candles, MARKETS, scene.account.currency)
    oracle = History(events, MARKETS, marks)
    basis = Basis(marks, doubts=doubts)
    for hour in scene.hours():
        truth = oracle.hour(hour.start_ms, basis)
        assert hour.exact is not None
        shown = (hour.value, hour.closing, *hour.exact[:7])
        meant = (
            truth.value,
            truth.closing,
            truth.opening,
            truth.flows,
            truth.pnl,
            truth.realised,
            truth.unrealised,
            truth.fees,
            truth.funding,
        )
        for said, true in zip(shown, meant, strict=True):
            assert (None if said is None else Decimal(said)) == true
        assert (hour.flags, *hour.exact[7:]) == (truth.flags, truth.trades, truth.mark_age_ms)


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_history_becomes_the_oracles_hours(seed: int) -> None:
    scene = Scene(World(history(seed), END))
    scene.run()
    hours = scene.hours()
    assert [hour.start_ms for hour in hours] == list(range(START, END, HOUR_MS))
    check_hours(scene, scene.world.events)
    check_receipts(scene)
    assert scene.events() == set(scene.world.events)
    [receipt] = [receipt for receipt, _ in scene.host.published["ada"]]
    assert (receipt.completeness, receipt.accounts, receipt.mode) == ("unbroken", 1, "development")
    assert (receipt.first_ms, receipt.end_ms) == (START, END)
    sync = scene.state.sync
    assert (sync.since_ms, sync.balanced_ms, sync.until_ms, sync.gaps) == (0, END, END + 1, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_runs_says_nothing(seed: int) -> None:
    """Hour by hour, some of it twice, some from the beginning: the same as at once."""
    events = history(seed)
    at_once = Scene(World(events, END))
    at_once.run()
    scene = Scene(World(events, START + 2 * HOUR_MS + 1))
    draw = Random(seed)  # noqa: S311
    while scene.world.now_ms < END:
        scene.world.faults = Faults(doubled=draw.random() < 0.3)
        scene.world.page = draw.choice((1, 3, 100))
        if draw.random() < 0.2:
            scene.reboot()
        scene.run(full=draw.random() < 0.3)
        scene.world.now_ms += draw.randrange(4 * HOUR_MS)
    scene.world.now_ms = END
    scene.run()
    scene.run()
    assert [_plain(hour) for hour in scene.hours()] == [_plain(hour) for hour in at_once.hours()]
    assert scene.events() == set(events)
    check_receipts(scene)


def _plain(hour: PublishedHour) -> PublishedHour:
    return replace(hour, salt="")


KILLED = ["put", "put-state", "log", "publish", "get", "states"]


@pytest.mark.parametrize("seed", range(20))
def test_killed_anywhere_and_done_again_it_is_the_same(seed: int) -> None:
    events = history(seed, count=25, hours=8)
    end = START + 9 * HOUR_MS
    scene = Scene(World(events, START + HOUR_MS))
    draw = Random(seed)  # noqa: S311
    broken = 0
    while True:
        scene.host.dies = draw.randrange(1, 30) if broken < 40 else 0
        scene.host.before = draw.random() < 0.5
        try:
            scene.run(full=draw.random() < 0.2)
            scene.host.dies = 0
            if scene.world.now_ms >= end:
                break
            scene.world.now_ms = min(end, scene.world.now_ms + draw.randrange(3 * HOUR_MS))
        except StoreBroken:
            broken += 1
            scene.host.dies = 0
            # The thread goes on over another connection, or the boot is over, or another one is.
            if draw.random() < 0.5:
                scene.reboot()
            else:
                scene.book.resume(scene.host.store)
    assert broken or seed == 9
    scene.run()
    assert scene.events() == set(events)
    assert [hour.start_ms for hour in scene.hours()] == list(range(START, end, HOUR_MS))
    check_hours(scene, events)
    check_receipts(scene)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.DEPTH])
def test_a_stream_that_is_stuck_holds_hours_back_and_says_why(reason: Reason) -> None:
    events = history(5)
    faults = Faults(reason=reason, at_page=4, candles=Reason.MALFORMED)
    scene = Scene(World(events, END, faults=faults))
    for _ in range(2):
        scene.world.asked = 0
        with pytest.raises(VenueFault) as caught:
            scene.run()
        assert caught.value.reason is reason
    assert not scene.hours()
    assert scene.state.sync.balanced_ms == 0
    assert scene.state.sync.number == 2
    scene.world.faults = Faults()
    scene.run()
    check_hours(scene, events)
    assert len(scene.hours()) == 31
    [receipt] = [receipt for receipt, _ in scene.host.published["ada"]]
    assert receipt.completeness == "unbroken"
    check_receipts(scene)


def test_streams_that_are_behind_come_first_so_that_none_waits_for_ever() -> None:
    """Each run is cut off after two pages, and the first stream alone has more each time."""
    events = history(5, count=240)
    scene = Scene(World(events, START + 2 * HOUR_MS, page=1))
    for _ in range(14):
        scene.world.asked = 0
        scene.world.faults = Faults(reason=Reason.LATE, at_page=3)
        with suppress(VenueFault):
            scene.run()
        scene.world.now_ms += 2 * HOUR_MS
    told = {getattr(event, "symbol", "flows") for event in scene.events()}
    assert told == {"flows", *MARKETS}
    scene.world.now_ms, scene.world.faults = END, Faults()
    scene.run()
    check_hours(scene, events)
    assert len(scene.hours()) == 31


def test_a_clock_that_goes_back_takes_nothing_back() -> None:
    """A venue may say so of its own, and a host of ours, within what is believed of either."""
    scene = Scene(World(history(5), END))
    scene.run()
    before = scene.state.sync
    scene.world.now_ms -= 20_000
    with suppress(VenueFault):
        scene.run()
    after = scene.state.sync
    assert (after.number, after.until_ms) == (before.number + 1, before.until_ms)
    assert after.balanced_ms <= after.until_ms
    check_receipts(scene)


def test_hours_wait_for_the_slowest_stream() -> None:
    events = history(6)
    scene = Scene(World(events, START + 10 * HOUR_MS))
    scene.run()
    assert len(scene.hours()) == 10
    scene.world.now_ms = END
    scene.world.faults = Faults(reason=Reason.UNREACHABLE, at_page=scene.world.asked + 3)
    with pytest.raises(VenueFault):
        scene.run(full=True)
    assert len(scene.hours()) == 10
    scene.world.faults = Faults()
    scene.run()
    assert len(scene.hours()) == 31
    check_hours(scene, events)
    assert [r.completeness for r, _ in scene.host.published["ada"]] == ["unbroken"] * 2


def test_what_was_told_once_is_not_lost_by_asking_again() -> None:
    """From the beginning, and not far; by the next time the venue does not tell the beginning."""
    scene = Scene(World(history(26), START + 20 * HOUR_MS))
    scene.run()
    scene.world.now_ms += HOUR_MS
    scene.world.faults = Faults(reason=Reason.UNREACHABLE, at_page=0)
    with pytest.raises(VenueFault):
        scene.run(full=True)
    scene.world.now_ms = END
    scene.world.faults = Faults(depth_ms=25 * HOUR_MS)
    scene.run()
    assert scene.state.doubts == []
    assert len(scene.hours()) == 31


@pytest.mark.parametrize("at_once", [False, True])
def test_what_was_there_before_is_an_opening(at_once: bool) -> None:
    """The venue tells the last days only: what it holds beyond came before."""
    events = history(7, count=120, hours=80)
    end = START + 81 * HOUR_MS
    depth = 30 * HOUR_MS + 1234
    scene = Scene(World(events, end, faults=Faults(depth_ms=depth)))
    if not at_once:  # the first attempt does not come to an end
        scene.world.faults.reason, scene.world.faults.at_page = Reason.UNREACHABLE, 4
        with pytest.raises(VenueFault):
            scene.run()
        scene.world.faults.reason = None
        scene.world.now_ms -= LAG + 1
    scene.run()
    begin = START + 52 * HOUR_MS
    assert [hour.start_ms for hour in scene.hours()] == list(range(begin, end, HOUR_MS))
    [receipt] = [receipt for receipt, _ in scene.host.published["ada"]]
    assert (receipt.completeness, receipt.first_ms) == ("since-opening", begin)
    # From there on it is worth what the whole history says, to the last digit.
    marks = Candles(scene.world.candles, MARKETS, "USDT")
    oracle = History(events, MARKETS, marks)
    for hour in scene.hours():
        truth = oracle.hour(hour.start_ms, Basis(marks))
        assert hour.value is not None
        assert hour.closing is not None
        assert (Decimal(hour.value), Decimal(hour.closing)) == (truth.value, truth.closing)  # type: ignore[comparison-overlap]
    scene.reboot()
    scene.world.faults = Faults()
    scene.world.now_ms = end + 3 * HOUR_MS
    scene.run()
    assert len(scene.hours()) == 32
    check_receipts(scene)


@pytest.mark.parametrize("shallow", ["flows", "trades"])
def test_what_one_stream_tells_from_before_does_not_count(shallow: str) -> None:
    """One stream goes back to the first day and the other does not: half of it explains nothing."""
    events = history(25, count=120, hours=80)
    end, depth = START + 81 * HOUR_MS, 30 * HOUR_MS
    scene = Scene(World(events, end, faults=Faults(depth_ms=depth, shallow=(shallow,))))
    scene.run()
    begin = START + 52 * HOUR_MS
    assert min(event.time_ms for event in scene.events()) < begin
    hours = scene.hours()
    assert [hour.start_ms for hour in hours] == list(range(begin, end, HOUR_MS))
    marks = Candles(scene.world.candles, MARKETS, "USDT")
    oracle = History(events, MARKETS, marks)
    for hour in hours:
        truth = oracle.hour(hour.start_ms, Basis(marks))
        assert hour.value is not None
        assert hour.closing is not None
        assert (Fraction(hour.value), Fraction(hour.closing)) == (truth.value, truth.closing)
    assert hours[0].exact is not None
    assert hours[0].exact[0] == "0." + "0" * 18  # what it begins with comes as an opening


def test_a_record_begins_when_the_manifest_says() -> None:
    events = history(8)
    begin = START + 12 * HOUR_MS
    scene = Scene(World(events, END), replace(ADA, since_ms=begin))
    scene.run()
    assert [hour.start_ms for hour in scene.hours()] == list(range(begin, END, HOUR_MS))
    assert scene.state.sync.since_ms == begin
    assert min(event.time_ms for event in scene.events()) >= begin
    [receipt] = [receipt for receipt, _ in scene.host.published["ada"]]
    assert receipt.completeness == "since-opening"


def test_what_was_before_a_record_began_is_no_gap_of_it() -> None:
    scene = Scene(World(history(8), END), replace(ADA, since_ms=START + 12 * HOUR_MS))
    for _ in range(3):
        scene.run()
        scene.world.now_ms += 2 * HOUR_MS
    said = [receipt.completeness for receipt, _ in scene.host.published["ada"]]
    assert said == ["since-opening"] * 3
    assert scene.state.sync.gaps == 0


def test_a_record_that_begins_later_waits() -> None:
    scene = Scene(World(history(8), END), replace(ADA, since_ms=END + 2 * HOUR_MS))
    scene.run()
    assert not scene.hours()
    assert scene.state.sync.balanced_ms == 0
    assert not scene.events()
    scene.world.now_ms = END + 4 * HOUR_MS
    scene.run()
    assert [hour.start_ms for hour in scene.hours()] == [END + 2 * HOUR_MS, END + 3 * HOUR_MS]


def test_a_key_that_can_do_more_than_read_is_not_used() -> None:
    scene = Scene(World(history(27), END, powerful=True))
    leaves = len(scene.host.leaves())
    with pytest.raises(VenueFault):
        scene.run()
    assert scene.world.asked == 0
    assert not scene.events()
    assert len(scene.host.leaves()) == leaves


def test_an_account_in_another_currency_has_its_own_dust() -> None:
    """A hundredth of a bitcoin is money, a hundredth of a dollar is dust."""
    deposit = Flow(START + 5, "d", "BTC", Decimal("0.01"), FlowKind.DEPOSIT)
    world = World([deposit], START + 5 * HOUR_MS)
    scene = Scene(world, replace(ADA, currency="BTC"))
    scene.run()
    assert not any(hour.flags for hour in scene.hours()[1:])
    scene = Scene(World([replace(deposit, asset="USDT")], START + 5 * HOUR_MS))
    scene.run()
    assert all(hour.flags == Flag.IDLE for hour in scene.hours())


def test_a_young_account_at_a_venue_that_looks_back_begins_with_its_first_event() -> None:
    """What the venue would have told of the time before is nothing, and no hours."""
    events = history(28)
    scene = Scene(World(events, END, faults=Faults(depth_ms=90 * 24 * HOUR_MS)))
    scene.run()
    assert [hour.start_ms for hour in scene.hours()] == list(range(START, END, HOUR_MS))
    check_hours(scene, events)
    [receipt] = [receipt for receipt, _ in scene.host.published["ada"]]
    assert (receipt.completeness, receipt.first_ms) == ("since-opening", START)


def test_an_account_that_nothing_happened_in() -> None:
    scene = Scene(World([], END))
    scene.run()
    assert not scene.hours()
    scene.world.now_ms += 5 * HOUR_MS
    scene.world.events = [Flow(END + HOUR_MS, "d", "USDT", Decimal(5), FlowKind.DEPOSIT)]
    scene.run()
    assert scene.hours()[0].start_ms == END + HOUR_MS
    check_hours(scene, scene.world.events)


def test_what_is_held_and_never_happened_was_there_before() -> None:
    scene = Scene(World([], END + 5, extra={"USDT": Decimal(70), "BTC": Decimal(1)}))
    scene.run()
    assert scene.state.sync.since_ms == END
    scene.world.now_ms += 3 * HOUR_MS
    scene.run()
    hours = scene.hours()
    assert [hour.start_ms for hour in hours] == [END, END + HOUR_MS, END + 2 * HOUR_MS]
    assert all(hour.value is not None for hour in hours)
    [receipt] = [receipt for receipt, _ in scene.host.published["ada"]]
    assert receipt.completeness == "since-opening"


def test_what_a_venue_books_late_is_waited_for() -> None:
    events = history(9)
    late = Flow(START + 20 * HOUR_MS + 5, "late", "USDT", Decimal("-3.5"), FlowKind.FEE)
    scene = Scene(World(events, START + 12 * HOUR_MS))
    scene.run()
    assert len(scene.hours()) == 12
    # The balance changed, and why is not told yet.
    scene.world.extra["USDT"] = late.amount
    scene.world.now_ms = START + 21 * HOUR_MS
    scene.run()
    assert len(scene.hours()) == 12
    scene.world.extra.clear()
    scene.world.events = sorted([*events, late], key=lambda event: event.order)
    scene.world.now_ms = START + 22 * HOUR_MS
    scene.run(full=True)
    assert len(scene.hours()) == 22
    check_hours(scene, scene.world.events)
    assert scene.state.doubts == []


def test_what_is_never_explained_is_doubted_and_then_settled() -> None:
    events = history(10, count=80, hours=60)
    scene = Scene(World(events, START + 12 * HOUR_MS))
    scene.run()
    scene.world.extra["USDT"] = Decimal(777)
    for later in (13, 30, 35):
        scene.world.now_ms = START + later * HOUR_MS
        scene.run()
        assert len(scene.hours()) == 12
    scene.world.now_ms = START + 40 * HOUR_MS + 5
    scene.run()
    hours = scene.hours()
    assert len(hours) == 40
    doubted = [hour.start_ms for hour in hours if hour.flags & Flag.UNEXPLAINED]
    assert doubted == list(range(START + 12 * HOUR_MS, START + 40 * HOUR_MS, HOUR_MS))
    assert all(hour.value is None for hour in hours if hour.flags & Flag.UNEXPLAINED)
    scene.world.now_ms = START + 62 * HOUR_MS
    scene.run()
    hours = scene.hours()
    assert len(hours) == 62
    assert not any(hour.flags & Flag.UNEXPLAINED for hour in hours[40:])
    assert all(hour.value is not None for hour in hours[41:])
    # It came as money, not as profit.
    added = Flow(START + 40 * HOUR_MS, "x", "USDT", Decimal(777), FlowKind.OPENING)
    marks = Candles(scene.world.candles, MARKETS, "USDT")
    oracle = History([*events, added], MARKETS, marks)
    assert {r.completeness for r, _ in scene.host.published["ada"][1:]} == {"with-gaps"}
    for hour in hours[40:]:
        truth = oracle.hour(hour.start_ms, Basis(marks))
        assert (hour.value and Decimal(hour.value), hour.closing and Decimal(hour.closing)) == (
            truth.value,
            truth.closing,
        )
    assert scene.state.sync.gaps == 1
    check_receipts(scene)


def test_what_a_venue_does_not_tell_any_more_is_a_gap() -> None:
    events = history(11, count=80, hours=60)
    scene = Scene(World(events, START + 12 * HOUR_MS))
    scene.run()
    scene.world.now_ms = START + 62 * HOUR_MS
    scene.world.faults = Faults(depth_ms=30 * HOUR_MS)
    scene.run()
    hours = scene.hours()
    assert len(hours) == 62
    lost = [hour.start_ms for hour in hours if hour.flags & Flag.GAP]
    assert lost == list(range(START + 12 * HOUR_MS, START + 33 * HOUR_MS, HOUR_MS))
    assert all(hour.value is None for hour in hours if hour.flags & Flag.GAP)
    for _ in range(2):
        scene.world.now_ms += HOUR_MS
        scene.run(full=True)
    assert scene.state.sync.gaps == 2  # the hole once, however often it is seen; and unexplained
    assert {flag for _, _, flag in scene.state.doubts} == {Flag.GAP, Flag.UNEXPLAINED}
    assert scene.hours()[-1].value is not None
    assert scene.host.published["ada"][-1][0].completeness == "with-gaps"


def test_an_account_that_never_rests_is_waited_for() -> None:
    scene = Scene(World(history(12), END, faults=Faults(moving=True)))
    with pytest.raises(VenueFault) as caught:
        scene.run()
    assert caught.value.reason is Reason.PENDING
    assert not scene.hours()
    assert scene.state.sync.until_ms > END - HOUR_MS  # what it told is kept
    scene.world.faults, scene.world.extra = Faults(), {}
    scene.run()
    check_hours(scene, scene.world.events)


def test_hours_wait_for_candles_that_fail_in_passing() -> None:
    scene = Scene(World(history(13), END, faults=Faults(candles=Reason.UNREACHABLE)))
    with pytest.raises(VenueFault):
        scene.run()
    assert not scene.hours()
    assert scene.state.sync.balanced_ms
    scene.world.faults = Faults()
    scene.run()
    check_hours(scene, scene.world.events)


def test_a_trade_that_comes_after_its_hour_was_published_is_not_hidden() -> None:
    events = history(14)
    late = Trade(START + 5 * HOUR_MS, "late", "BTC/USDT", Side.BUY, Decimal(1), Decimal(50_000))
    scene = Scene(World(events, START + 20 * HOUR_MS))
    scene.run()
    before = scene.hours()
    scene.world.events = sorted([*events, late], key=lambda event: event.order)
    scene.world.now_ms = END
    scene.run(full=True)
    hours = scene.hours()
    assert hours[:20] == before
    assert hours[20].flags & Flag.UNEXPLAINED
    assert not any(hour.flags & Flag.UNEXPLAINED for hour in hours[21:])
    assert late in scene.events()


def test_an_event_that_changes_afterwards_stays_what_it_was() -> None:
    events = history(15)
    scene = Scene(World(events, START + 20 * HOUR_MS))
    scene.run()
    trade = next(event for event in events if isinstance(event, Trade))
    scene.world.events = [
        replace(event, price=event.price * 2) if event is trade else event for event in events
    ]
    scene.world.now_ms = END
    scene.run(full=True)
    assert trade in scene.events()
    assert len(scene.hours()) == 20  # the venue contradicts itself, and what it holds says so


def test_a_market_that_is_delisted_stays_known() -> None:
    events = [event for event in history(16) if event.time_ms < START + 10 * HOUR_MS]
    scene = Scene(World(events, START + 12 * HOUR_MS))
    scene.run()
    assert "BNB/USDT" in scene.state.markets
    scene.world.markets = {name: MARKETS[name] for name in MARKETS if name != "BNB/USDT"}
    scene.world.now_ms = START + 14 * HOUR_MS
    scene.run()
    assert len(scene.hours()) == 14
    assert "BNB/USDT" in scene.state.markets


def test_a_market_that_is_new_was_not_traded_before() -> None:
    scene = Scene(World(history(17), START + 12 * HOUR_MS))
    scene.world.markets = {"BTC/USDT": MARKETS["BTC/USDT"]}
    scene.world.events = [e for e in history(17) if getattr(e, "symbol", "BTC/USDT") == "BTC/USDT"]
    scene.run()
    scene.world.markets = dict(MARKETS)
    scene.world.now_ms = END
    scene.world.faults = Faults(depth_ms=25 * HOUR_MS)
    scene.run()
    assert scene.state.doubts == []
    assert len(scene.hours()) == 31


Lie = Callable[[Host], object]
LIES: dict[str, tuple[type[Exception], Lie]] = {
    "a row deleted at the end": (RowsReplaced, lambda host: host.rows["trades", "ada"].pop()),
    "a row deleted in the middle": (SealForged, lambda host: host.rows["trades", "ada"].pop(3)),
    "a row doubled": (
        SealForged,
        lambda host: host.rows["trades", "ada"].insert(3, host.rows["trades", "ada"][3]),
    ),
    "two rows swapped": (
        SealForged,
        lambda host: host.rows["trades", "ada"].insert(3, host.rows["trades", "ada"].pop(5)),
    ),
    "rows of the other table": (
        SealForged,
        lambda host: host.rows.update({("trades", "ada"): host.rows["cash_flows", "ada"]}),
    ),
    "all rows deleted": (RowsReplaced, lambda host: host.rows.clear()),
    "a conflict that is none": (StoreRefused, lambda host: host.refused.add("put")),
    "a state that is not kept": (StoreRefused, lambda host: host.refused.add("put-state")),
    "a log that is not kept": (StoreRefused, lambda host: host.refused.add("log")),
}


@pytest.mark.parametrize("how", LIES)
def test_a_database_that_lies_is_found_out_before_anything_is_logged(how: str) -> None:
    error, lie = LIES[how]
    scene = Scene(World(history(18), START + 20 * HOUR_MS))
    scene.run()
    size, head = len(scene.host.leaves()), scene.book.head
    scene.world.now_ms = END
    lie(scene.host)
    with pytest.raises(error):
        scene.run()
    assert len(scene.host.leaves()) == size
    assert scene.book.head == head


def test_rows_of_another_history_are_refused() -> None:
    one, other = (Scene(World(history(seed), START + 20 * HOUR_MS)) for seed in (19, 20))
    one.run()
    other.run()
    other.host.rows = one.host.rows
    with pytest.raises(RowsReplaced):
        other.run()


def test_rows_of_a_test_venue_are_not_folded_into_a_live_account() -> None:
    """Rows that no receipt counts yet are taken, so they have to be of this account's venue."""
    one = Scene(World(history(19), START + 20 * HOUR_MS))
    other = Scene(World(history(20), START + 20 * HOUR_MS), replace(ADA, environment="live"))
    one.run()
    other.host.rows = one.host.rows
    with pytest.raises(SealForged):
        other.run()


def test_an_account_that_is_leased_twice_goes_on_once() -> None:
    scene = Scene(World(history(21), START + 20 * HOUR_MS))
    first, second = (
        Run(scene.book, scene.host.store, KEYS, scene.account, "development") for _ in range(2)
    )
    venue = cast(Connector, scene.world)
    first.run(venue, False, scene.world.sleep)
    leaves, hours = len(scene.host.leaves()), scene.hours()
    with pytest.raises((AccountForked, StoreRefused)):
        second.run(venue, False, scene.world.sleep)
    assert len(scene.host.leaves()) == leaves
    assert scene.hours() == hours


@pytest.mark.parametrize("change", [{"venue": "kraken"}, {"environment": "live"}])
def test_another_account_under_the_same_name_is_refused(change: dict[str, str]) -> None:
    scene = Scene(World(history(22), END))
    scene.account = replace(scene.account, **change)
    with pytest.raises(AccountForked):
        scene.run()


@pytest.mark.parametrize(
    "tier",
    [
        Tier(),
        Tier(hours=6, grid=Decimal("0.001")),
        Tier(hours=1, least_trades=3, grid=None),
        Tier(hours=4, grid=None, embargo=True),
    ],
)
def test_what_leaves_is_what_the_tier_lets_out(tier: Tier) -> None:
    """However often it is synchronised: the same periods, no more in a row than a period says."""
    events = history(23, count=90, hours=60)
    at_once = Scene(World(events, START + 61 * HOUR_MS), replace(ADA, tier=tier))
    at_once.run()
    scene = Scene(World(events, START + 5 * HOUR_MS), replace(ADA, tier=tier))
    while scene.world.now_ms < START + 61 * HOUR_MS:
        scene.run()
        scene.world.now_ms = min(START + 61 * HOUR_MS, scene.world.now_ms + 7 * HOUR_MS)
    scene.run()
    assert [_plain(hour) for hour in scene.hours()] == [_plain(hour) for hour in at_once.hours()]
    assert all(hour.exact is None for hour in scene.hours()) or tier.hours == 1
    if not tier.embargo:
        assert scene.hours()
    assert all(
        (hour.start_ms + hour.hours * HOUR_MS) % (tier.hours * HOUR_MS) == 0
        for hour in scene.hours()
    )
    check_receipts(scene)


def test_no_error_and_no_receipt_of_returns_names_what_an_account_holds() -> None:
    scene = Scene(World(history(24), END))
    scene.run()
    for receipt, _ in scene.host.published["ada"]:
        assert not any(word in receipt.serialise() for word in (b"BTC", b'"trades":', b'"flows":'))
