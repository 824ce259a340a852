"""An account at a venue: what its streams are, how far they go, what it holds, what it is worth."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final

from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress

from strongroom_enclave import venues
from strongroom_enclave.http import Http
from strongroom_enclave.record.connectors import rules
from strongroom_enclave.record.connectors.rules import Cursor, Page, Reason, Stream, VenueFault
from strongroom_enclave.record.connectors.session import Clock, Session
from strongroom_enclave.record.connectors.tables import VENUES
from strongroom_enclave.record.connectors.walk import walk
from strongroom_enclave.record.events import Market
from strongroom_enclave.record.exact import ZERO, exactly
from strongroom_enclave.tls import Proxy, connected

__all__ = ["Connector", "connector_for"]

_CANDLES: Final = 200
_INTERVALS: Final = {60_000: "1m", 3_600_000: "1h"}
_STEP_S: Final = 20


def connector_for(
    venue: str,
    environment: str,
    credentials: tuple[str, str, str],
    egress: Iterable[Egress],
    dial: Proxy,
    now_ms: Clock,
    sleep: Callable[[int], None],
) -> "Connector":
    """Returns a connector for an account of the manifest, which has asked for nothing yet.

    `credentials` are key, secret, passphrase ("" where a venue has none); `egress` is the whole
    manifest's; `dial` opens a connection to the host's proxy; `sleep` waits so many ms. The caller
    closes it.

    Raises:
        Refused: VENUE_NOT_ALLOWED when the venue is none of ours, a host of it has another port, or
            the environment is not what the roots say: `test` has its own, and nothing else has.
    """
    ours = venues.HOSTS.get(venue, ())
    hosts = venues.reachable(venue, [each for each in egress if each.host in ours])
    own = {bool(each.development_roots) for each in hosts.values()}
    if environment not in ("live", "test") or own != {environment == "test"}:
        raise Refused(Code.VENUE_NOT_ALLOWED, f"roots of {venue}", environment, sorted(own))
    http = Http(hosts, lambda host: connected(dial(), host, _STEP_S))
    return Connector(Session(VENUES[venue], credentials, http, now_ms, sleep))


class Connector:
    """One key at one venue, which only reads.

    Call `check` first: it measures the venue's clock and learns its markets.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._venue, self.close = session, session.venue, session.close
        self._rules = {rule.name: rule for rule in self._venue.rules if rule.event != "BALANCE"}

    def check(self) -> tuple[int, bool | None]:
        """Returns how many ms the venue's clock is ahead of ours, and that the key can only read;
        None where the venue does not tell.

        Raises:
            KeyTooPowerful: it can trade or move money.
            VenueFault: CLOCK, KEY, or whatever else is wrong.
        """
        ahead, access = self._session.measure(), self._venue.access
        if access is not None and not access[1](self._session.ask(access[0])):
            raise rules.KeyTooPowerful("permissions of the key", "reading alone", "more")
        self._session.load()
        return ahead, None if access is None else True

    def symbols(self) -> list[str]:
        """Returns every symbol that trades have to be asked for, one by one: all that the venue
        lists. Nothing is inferred from what an account holds: what was sold is not held."""
        kinds = {rule.each for rule in self._rules.values()}
        return sorted(name for name in self._session.ids if self.market(name).kind.name in kinds)

    def market(self, symbol: str) -> Market:
        """Returns a market that is listed or was met in a trade.

        Raises:
            VenueFault: UNKNOWN_MARKET.
        """
        if symbol not in self._session.markets:
            raise VenueFault(Reason.UNKNOWN_MARKET)
        return self._session.markets[symbol]

    def streams(self, symbols: Iterable[str]) -> list[Stream]:
        """Returns all streams of the account, with those of the given symbols."""
        kinds = {symbol: self.market(symbol).kind.name for symbol in symbols}
        found = [Stream(rule.name) for rule in self._rules.values() if not rule.each]
        return found + [
            Stream(rule.name, symbol)
            for rule in self._rules.values()
            for symbol, kind in kinds.items()
            if rule.each == kind
        ]

    def pages(self, stream: Stream, cursor: Cursor, until_ms: int) -> Iterator[Page]:
        """Yields the pages of a stream from `Cursor(since_ms)` or the last page's cursor on.

        They go no further than some seconds before now. Nothing is raised for a venue's sake: the
        last page's gap says what was wrong, and its cursor is where the next attempt begins.
        """
        until = min(until_ms, self._session.settled_ms())
        return walk(self._session, self._rules[stream.rule], stream, cursor, until)

    def candles(
        self, symbol: str, interval_ms: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, Decimal]]:
        """Yields (end of the candle, its closing price) for closed ones that end in (start, end].

        Missing ones are missing. The interval is a minute or an hour; start is a multiple of it.

        Raises:
            VenueFault: MALFORMED, or DISCONTINUED if they are out of order or off the grid.
        """
        end_ms = min(end_ms, self._session.time_ms())
        for first in range(start_ms, end_ms, _CANDLES * interval_ms):
            until = min(first + _CANDLES * interval_ms, end_ms)
            given = symbol, _INTERVALS[interval_ms], first, _CANDLES, {"until": until - 1}
            last = first - interval_ms
            for row in self._session.ask("fetch_ohlcv", *given):
                opened = int(rules.text(row, "0") or -1)
                if first <= opened <= until - interval_ms:
                    if opened <= last or (opened - first) % interval_ms:
                        raise VenueFault(Reason.DISCONTINUED, "candles in order", "others")
                    last = opened
                    yield opened + interval_ms, rules.amount(row, "4")

    def balances(self) -> dict[str, Decimal]:
        """Returns what all wallets of the account hold, without open profit, by asset."""
        found: dict[str, Decimal] = {}
        for rule in (rule for rule in self._venue.rules if rule.event == "BALANCE"):
            for row in rules.listed(self._session.ask(rule.call, rule.given), rule.rows):
                asset = self._session.asset(rules.text(row, rule.fields["asset"]))
                with exactly():
                    held = found.get(asset, ZERO) - rules.amount(row, rule.fields.get("minus", "-"))
                    held += sum(rules.amount(row, name) for name in rule.fields["plus"].split(","))
                    found[asset] = held
        return found

    def positions(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Returns the open positions by symbol: contracts (signed), and the price they are booked
        at."""
        found: dict[str, tuple[Decimal, Decimal]] = {}
        for given in self._venue.positions:
            for row in self._session.ask("fetch_positions", None, given):
                size = abs(rules.amount(row, "contracts"))
                signed = -size if rules.text(row, "side") == "short" else size
                if size:
                    found[rules.text(row, "symbol")] = signed, rules.amount(row, "entryPrice")
        return found
