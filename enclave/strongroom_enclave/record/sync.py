"""One run through an account: what the host has of it, what its venue tells, what may be published.

Whatever the database does wrong ends it before anything is folded. Whatever the venue does wrong
leaves a stream where it is, for the next time, or a hole that the receipts name. What is published
stays, so hours wait until every stream is past them and what the venue holds is explained.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from hashlib import sha256
from secrets import token_hex
from typing import Final, Literal

import msgspec
from msgspec.structs import replace
from strongroom_wire import leaves, merkle, record
from strongroom_wire.manifest import Account

from strongroom_enclave.datakeys import Keys
from strongroom_enclave.record import errors, returns
from strongroom_enclave.record.balancing import Rest, differences, openings
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import Cursor, Reason, VenueFault
from strongroom_enclave.record.disclosure import disclosed
from strongroom_enclave.record.events import Event, Flow, Markets, Trade
from strongroom_enclave.record.marks import Candles
from strongroom_enclave.record.returns import DUST, HOUR_MS, Doubt, Flag
from strongroom_enclave.record.state import FLOWS, TRADES, AccountState, Book, Chain, Store

# How long what nothing explains may wait for what a venue books late.
_DAY_MS: Final = 24 * HOUR_MS
_READINGS: Final = 5
_Held = tuple[dict[str, Decimal], list[tuple[str, Decimal, Decimal]]]
_Known = dict[tuple[int, str, int, int, str], Event]
_Mode = Literal["production", "development"]


class Run:
    """One run. It begins with what the host has, and proves that this is everything."""

    def __init__(self, book: Book, store: Store, keys: Keys, account: Account, mode: _Mode) -> None:
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
            raise errors.AccountForked("account", "the manifest's", "another")
        self._chains, self._known = dict[str, Chain](), _Known()
        whose = account.name, account.venue, account.environment
        for table, tip in ((TRADES, self._sync.trades), (FLOWS, self._sync.flows)):
            self._chains[table] = chain = Chain(*whose, table)
            kept = chain.read(keys, store.rows(table, account.name), tip, self.state.counted[table])
            self._known |= {event.order[1:]: event for event in kept}
        self._doubt(0, account.since_ms, Flag.GAP)

    def run(self, connector: Connector, full: bool, sleep: Callable[[int], None]) -> None:
        """Reads on, or from the beginning if `full`; logs how far that came, and publishes.

        Raises:
            VenueFault, Refused: the venue cannot be asked, or the key may do more than read.
            CredentialsSwapped: it opens another account than the one that this record is of.
            VenueFault: it does not tell everything yet, and what could be done without is done.
            StoreError, AccountForked: what was not logged before does not count.
        """
        if self.state.holder not in ("", holder := connector.check()):
            raise errors.CredentialsSwapped("account at the venue", "the one before", "another")
        self.state.holder = holder
        now_ms, held = _quiet(connector)
        while (wait := now_ms + 1 - connector.settled_ms()) > 0:  # our clock may be set meanwhile
            sleep(wait)
        until_ms, fault = self._fetch(connector, now_ms, full)
        state, markets = self.state, {**connector.markets, **self.state.markets}
        traded = {event.symbol for event in self._known.values() if isinstance(event, Trade)}
        state.markets = {symbol: markets[symbol] for symbol in traded & markets.keys()}
        marks = Candles(connector.candles, markets, self._account.currency)
        trades, flows = (chain.tip for chain in self._chains.values())
        told_ms = max(self._sync.until_ms, min(until_ms, now_ms + 1))
        self._sync = replace(self._sync, trades=trades, flows=flows, until_ms=told_ms)
        if until_ms > now_ms and held is not None:
            self._balance(now_ms, differences(self._events, markets, *held), markets, marks)
        self._sync = state.sync = replace(self._sync, gaps=len(state.doubts))
        self._commit(leaves.Kind.SYNC)
        if self._sync.balanced_ms:
            self._publish(markets, marks)
        if fault or held is None:
            raise VenueFault(fault or Reason.PENDING)

    def _fetch(self, connector: Connector, until_ms: int, full: bool) -> tuple[int, Reason | None]:
        """Keeps what is new; returns before when everything is told, and why it is not further."""
        cursors, fault, told_ms = self.state.cursors, None, list[int]()
        origin = Cursor(self._account.since_ms)
        # What is listed since the last time was not traded before.
        listed = Cursor(max(self._sync.until_ms, origin.next_ms))
        reached = {each: cursors.get(" ".join(each), listed) for each in connector.streams()}
        # Those that are far behind come first: a run may end before the last of them.
        for stream, had in sorted(reached.items(), key=lambda each: each[1].next_ms):
            cursor = origin if full else had
            for page in connector.pages(stream, cursor, until_ms):
                self._keep(page.events)
                gap, before, cursor = page.gap, cursor, page.cursor
                if gap is Reason.DEPTH:
                    self._doubt(max(before.next_ms, had.next_ms), cursor.next_ms, Flag.GAP)
                elif gap:
                    fault = gap
            told_ms.append(max(had.next_ms, cursor.next_ms))
            cursors[" ".join(stream)] = max(had, cursor, key=lambda each: each.next_ms)
        return min(told_ms), fault

    def _keep(self, events: Iterable[Event]) -> None:
        """Adds the events that are new to the rows that the host has."""
        new = {event.order[1:]: event for event in events if event.order[1:] not in self._known}
        for table, chain in self._chains.items():
            (first, _), kind = chain.tip, Trade if table == TRADES else Flow
            rows = [chain.add(self._key, event) for event in new.values() if type(event) is kind]
            self._store.put(table, self._account.name, first, rows)
        self._known |= new
        published_ms = self.state.returns.end_ms if self.state.returns else 0
        if any(event.time_ms < published_ms for event in new.values()):
            self._doubt(published_ms, published_ms + HOUR_MS, Flag.UNEXPLAINED)

    def _doubt(self, start_ms: int, end_ms: int, flag: Flag) -> None:
        """Takes note of a span that is not complete. The record begins after it, if it can."""
        doubt, doubts = Doubt(start_ms, end_ms, flag), self.state.doubts
        if not self._sync.balanced_ms:
            begin_ms = -(-end_ms // HOUR_MS) * HOUR_MS
            self._sync = replace(self._sync, since_ms=max(self._sync.since_ms, begin_ms))
        elif max(start_ms, self._sync.since_ms) < end_ms and doubt not in doubts:
            doubts.append(doubt)

    def _balance(self, now_ms: int, rest: Rest, markets: Markets, marks: Candles) -> None:
        """Takes note that everything is explained. What nothing explains for a day was there when
        the record began, or came in a span that is doubted as a whole."""
        balanced_ms = self._sync.balanced_ms
        begin_ms = self._sync.since_ms or self._first_ms
        start_ms = now_ms // HOUR_MS * HOUR_MS if balanced_ms else begin_ms
        if start_ms > now_ms or (any(rest) and now_ms - balanced_ms < _DAY_MS):
            return
        if any(rest):
            self.state.openings += openings(rest, markets, marks, start_ms)
            self._doubt(balanced_ms, start_ms, Flag.UNEXPLAINED)
        self._sync = replace(self._sync, balanced_ms=now_ms)

    @property
    def _events(self) -> list[Event]:
        """All that happened since the record began, and with what."""
        since_ms = self._sync.since_ms
        told = [event for event in self._known.values() if event.time_ms >= since_ms]
        return told + self.state.openings

    @property
    def _first_ms(self) -> int:
        """The full hour in which the first of them happened."""
        first_ms = min((event.time_ms for event in self._events), default=self._sync.until_ms)
        return first_ms // HOUR_MS * HOUR_MS

    def _publish(self, markets: Markets, marks: Candles) -> None:
        """Computes the hours that are over, and publishes what of them the tier lets out."""
        sync, last, account = self._sync, self.state.returns, self._account
        doubts, start_ms = tuple(self.state.doubts), last.end_ms if last else self._first_ms
        basis = returns.Basis(marks, DUST.get(account.currency, Decimal(1)), doubts=doubts)
        history = returns.Account(self._events, markets, basis, start_ms)
        hours = list(history.hours(min(sync.until_ms, sync.balanced_ms)))
        opened_ms = history.ledger.open_since()
        if not (periods := disclosed(hours, account.tier, opened_ms, lambda: token_hex(16))):
            return
        rows, tree = [period.serialise() for period in periods], merkle.Frontier()
        for row in rows:
            tree.append(merkle.leaf_hash(row))
        root, tier = tree.head.root, msgspec.json.encode(account.tier).decode()
        complete: record.Completeness = "since-opening" if sync.since_ms else "unbroken"
        complete = "with-gaps" if doubts else complete
        place = (last.number + 1, _digest(last)) if last else (0, record.UNCHAINED)
        whose = account.name, account.venue, account.environment, *place, _digest(sync)
        what = self._mode, account.currency, tier, complete, len(self._book.states)
        span = start_ms, periods[-1].start_ms + periods[-1].hours * HOUR_MS, len(rows)
        self.state.returns = record.ReturnsReceipt(*whose, *what, *span, root.hex())
        self._store.ask("publish", account.name, root, *rows)
        self._commit(leaves.Kind.RETURNS)

    def _commit(self, kind: leaves.Kind) -> None:
        self._book.commit(self._store, self._sealed, self.state, self._key, kind)
        self._sealed = self.state.seal(self._key)


def following(receipt: record.SyncReceipt) -> record.SyncReceipt:
    """Returns the receipt that follows in the chain, which says the same so far."""
    return replace(receipt, number=receipt.number + 1, previous=_digest(receipt))


def _digest(receipt: record.Receipt) -> str:
    return sha256(receipt.serialise()).hexdigest()


def _quiet(connector: Connector) -> tuple[int, _Held | None]:
    """Returns a time of the venue's, and what it held then; None if that changed all the while."""
    for _ in range(_READINGS):
        held, time_ms = (connector.balances(), connector.positions()), connector.time_ms()
        if held == (connector.balances(), connector.positions()):
            return time_ms, held
    return time_ms, None
