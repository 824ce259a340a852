"""One run through an account: what the host has of it, what its venue tells, what may be published.

Whatever the database does wrong ends it before anything is folded. Whatever the venue does wrong
leaves a stream where it is, for the next time, or a hole that the receipts name. What is published
stays, so hours wait until every stream is past them and what the venue holds is explained.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from hashlib import sha256
from secrets import token_hex
from typing import Final

import msgspec
from msgspec.structs import replace
from strongroom_wire.manifest import Account
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import (
    UNCHAINED,
    Completeness,
    PublishedHour,
    Receipt,
    ReturnsReceipt,
    SyncReceipt,
)

from strongroom_enclave.datakeys import Keys
from strongroom_enclave.record.balancing import differences, openings
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import Cursor, Reason, VenueFault
from strongroom_enclave.record.disclosure import Period, disclosed
from strongroom_enclave.record.errors import AccountForked
from strongroom_enclave.record.events import Event, Flow, Market, Trade
from strongroom_enclave.record.marks import Candles
from strongroom_enclave.record.returns import HOUR_MS, Basis, Doubt, Flag
from strongroom_enclave.record.returns import Account as History
from strongroom_enclave.record.rows import FLOWS, TRADES, Chain
from strongroom_enclave.record.state import AccountState, Book
from strongroom_enclave.record.store import Store

__all__ = ["Run", "following"]

_DAY_MS: Final = 24 * HOUR_MS
"""How long what nothing explains may wait for what a venue books late."""
_READINGS: Final = 5
_Held = tuple[dict[str, Decimal], list[tuple[str, Decimal, Decimal]]]


class Run:
    """One run. It begins with what the host has, and proves that this is everything."""

    def __init__(self, book: Book, store: Store, keys: Keys, account: Account, mode: str) -> None:
        """`keys` are those of the account's user, `mode` is the manifest's.

        Raises:
            StoreError, SealForged, Malformed: the host has not what was kept, or not all of it.
            AccountForked: that is of another venue or environment than the manifest's.
        """
        self._book, self._store, self._account, self._mode = book, store, account, mode
        self._sealed = book.states[account.name]
        self.state = AccountState.open(keys, account.name, self._sealed)
        self._key, self._sync = keys[self._sealed[:16]], following(self.state.sync)
        if (self._sync.venue, self._sync.environment) != (account.venue, account.environment):
            raise AccountForked("account", "the manifest's", "another")
        self._chains, self._known = dict[str, Chain](), dict[object, Event]()
        for table, tip in ((TRADES, self._sync.trades), (FLOWS, self._sync.flows)):
            self._chains[table] = chain = Chain(account.name, account.venue, table)
            kept = chain.read(keys, store.rows(table, account.name), tip)
            self._known |= {_identity(event): event for event in kept}
        if not self._sync.balanced_ms:  # not begun
            since_ms = max(self._sync.since_ms, account.since_ms)
            self._sync = replace(self._sync, since_ms=since_ms)

    def run(self, connector: Connector, full: bool, sleep: Callable[[int], None]) -> None:
        """Reads on, or from the beginning if `full`; logs how far that came, and publishes.

        Raises:
            VenueFault, KeyTooPowerful: the venue cannot be asked; or it does not tell everything
                yet, and what could be done without is done.
            StoreError, AccountForked, Refused: what was not logged before does not count.
        """
        connector.check()
        until_ms, held = _quiet(connector)
        sleep(max(0, until_ms + 1 - connector.settled_ms()))
        reached_ms, fault = self._fetch(connector, until_ms, full)
        markets, state = {**connector.markets, **self.state.markets}, self.state
        traded = {event.symbol for event in self._known.values() if isinstance(event, Trade)}
        state.markets = {symbol: markets[symbol] for symbol in traded & markets.keys()}
        marks = Candles(connector.candles, markets, self._account.currency)
        if reached_ms > until_ms and held is not None:
            self._balance(until_ms, held, marks, markets)
        reached_ms = max(self._sync.until_ms, min(reached_ms, until_ms + 1))
        trades, flows = (chain.tip for chain in self._chains.values())
        so_far = replace(self._sync, until_ms=reached_ms, gaps=len(state.doubts))
        self._sync = state.sync = replace(so_far, trades=trades, flows=flows)
        self._commit(state.sync)
        if self._sync.balanced_ms:
            self._publish(marks, markets)
        if fault or held is None:
            raise VenueFault(fault or Reason.PENDING)

    def _fetch(self, connector: Connector, until_ms: int, full: bool) -> tuple[int, Reason | None]:
        """Keeps what is new; returns before when everything is told, and why it is not further."""
        cursors, reached, fault = self.state.cursors, list[int](), None
        origin = Cursor(self._account.since_ms)
        for stream in connector.streams():
            name = f"{stream.rule} {stream.place}"
            # What is listed since the last time was not traded before.
            had = cursors.get(name, Cursor(max(self._sync.until_ms, origin.next_ms)))
            cursor = origin if full else had
            for page in connector.pages(stream, cursor, until_ms):
                self._keep(page.events)
                cursor, gap = page.cursor, page.gap
                if gap and gap.reason is Reason.DEPTH:
                    self._lose(max(gap.start_ms, had.next_ms), gap.end_ms + 1)
                elif gap:
                    fault = gap.reason
            cursors[name] = max(had, cursor, key=lambda each: each.next_ms)
            reached.append(cursors[name].next_ms)
        return min(reached), fault

    def _keep(self, events: Iterable[Event]) -> None:
        """Adds the events that are new to the rows that the host has."""
        new = {_identity(event): event for event in events}
        fresh = [event for identity, event in new.items() if identity not in self._known]
        for table, chain in self._chains.items():
            first = chain.tip[0]
            mine = [event for event in fresh if isinstance(event, Trade) is (table == TRADES)]
            rows = [chain.add(self._key, event) for event in mine]
            self._store.put(table, self._account.name, first, rows)
        self._known = new | self._known
        published = self.state.returns.end_ms if self.state.returns else 0
        if any(event.time_ms < published for event in fresh):
            self._doubt(published, published + HOUR_MS, Flag.UNEXPLAINED)

    def _lose(self, start_ms: int, end_ms: int) -> None:
        """Takes note of what a venue will not tell: before the record begins, it begins later."""
        if not self._sync.balanced_ms:
            self._sync = replace(self._sync, since_ms=max(self._sync.since_ms, end_ms))
        elif start_ms < end_ms:
            self._doubt(start_ms, end_ms, Flag.GAP)

    def _doubt(self, start_ms: int, end_ms: int, flag: Flag) -> None:
        if (doubt := Doubt(start_ms, end_ms, flag)) not in self.state.doubts:
            self.state.doubts.append(doubt)

    def _balance(
        self, time_ms: int, held: _Held, marks: Candles, markets: Mapping[str, Market]
    ) -> None:
        """Compares what the venue holds with what is known. What nothing explains was there when
        the record began, or came in a span that is doubted as a whole."""
        begun, rest = self._sync.balanced_ms, differences(self._events, markets, *held)
        start_ms = time_ms // HOUR_MS * HOUR_MS if begun else self._begin_ms
        if start_ms > time_ms or (any(rest) and time_ms - begun < _DAY_MS):
            return
        if any(rest):
            found = openings(rest, markets, marks, start_ms)
            self.state.openings += [event for event in found if isinstance(event, Flow)]
            self.state.positions += [event for event in found if isinstance(event, Trade)]
            if begun:
                self._doubt(begun, start_ms, Flag.UNEXPLAINED)
            else:
                self._sync = replace(self._sync, since_ms=start_ms)
        self._sync = replace(self._sync, balanced_ms=time_ms)

    @property
    def _events(self) -> list[Event]:
        return [*self._known.values(), *self.state.openings, *self.state.positions]

    @property
    def _begin_ms(self) -> int:
        """The full hour that the record begins at: that of the first event if all are told."""
        since_ms = (
            self._sync.since_ms + HOUR_MS - 1
            if self._sync.since_ms
            else min((event.time_ms for event in self._known.values()), default=self._sync.until_ms)
        )
        return since_ms // HOUR_MS * HOUR_MS

    def _publish(self, marks: Candles, markets: Mapping[str, Market]) -> None:
        """Computes the hours that are over, and publishes what of them the tier lets out."""
        sync, state, account = self._sync, self.state, self._account
        start_ms = state.returns.end_ms if state.returns else self._begin_ms
        basis = Basis(marks, doubts=tuple(state.doubts))
        history = History(self._events, markets, basis, start_ms)
        hours = list(history.hours(min(sync.until_ms, sync.balanced_ms)))
        if not (periods := disclosed(hours, account.tier, history.ledger.open_since())):
            return
        rows, tree = [_published(period) for period in periods], Frontier()
        for row in rows:
            tree.append(leaf_hash(row))
        root, tier = tree.head.root, msgspec.json.encode(account.tier).decode()
        complete: Completeness = "since-opening" if sync.since_ms else "unbroken"
        complete = "with-gaps" if state.doubts else complete
        end_ms = periods[-1].start_ms + periods[-1].hours * HOUR_MS
        last = state.returns
        place = (last.number + 1, _digest(last)) if last else (0, UNCHAINED)
        whose = sync.account, sync.venue, sync.environment, *place
        what = _digest(sync), self._mode, account.currency, tier, complete, len(self._book.states)
        state.returns = ReturnsReceipt(*whose, *what, start_ms, end_ms, len(rows), root.hex())
        self._store.ask("publish", sync.account, root, *rows)
        self._commit(state.returns)

    def _commit(self, receipt: Receipt) -> None:
        made_of = self._sealed, self.state, self._key
        self._sealed, _ = self._book.commit(self._store, *made_of, receipt)


def following(receipt: SyncReceipt) -> SyncReceipt:
    """Returns the receipt that follows in the chain, which says the same so far."""
    return replace(receipt, number=receipt.number + 1, previous=_digest(receipt))


def _digest(receipt: Receipt) -> str:
    return sha256(receipt.serialise()).hexdigest()


def _quiet(connector: Connector) -> tuple[int, _Held | None]:
    """Returns a time of the venue's, and what it held then; None if that changed all the while."""
    for _ in range(_READINGS):
        held, time_ms = (connector.balances(), connector.positions()), connector.time_ms()
        if held == (connector.balances(), connector.positions()):
            return time_ms, held
    return time_ms, None


def _identity(event: Event) -> tuple[object, ...]:
    """Returns what tells an event apart from any other of its account."""
    _, _, name, kind, _, identifier = event.order
    return type(event), kind, name, identifier


def _published(period: Period) -> bytes:
    value, closing, exact = _text(period.value), _text(period.closing), None
    if hour := period.exact:
        money = hour.opening, hour.flows, hour.pnl, hour.realised, hour.unrealised
        exact = *map(_text, (*money, hour.fees, hour.funding)), hour.trades, hour.mark_age_ms
    known = period.start_ms, period.hours, value, closing, int(period.flags)
    return PublishedHour(*known, exact, token_hex(16)).serialise()


def _text(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:f}"
