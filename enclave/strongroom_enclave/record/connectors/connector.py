"""An account at a venue: what its streams are, how far they go, what it holds, what it is worth."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Final

from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress
from strongroom_wire.record import Credentials

from strongroom_enclave import venues
from strongroom_enclave.http import Http
from strongroom_enclave.record.connectors.reading import amount, inside, listed, text
from strongroom_enclave.record.connectors.rules import (
    Balance,
    Cursor,
    KeyTooPowerful,
    Page,
    Reason,
    Stream,
    VenueFault,
)
from strongroom_enclave.record.connectors.session import Clock, Session
from strongroom_enclave.record.connectors.walk import walk
from strongroom_enclave.record.exact import ZERO, exactly
from strongroom_enclave.tls import Proxy, connected

__all__ = ["Connector", "connector_for"]

_CANDLES: Final = 200
_INTERVALS: Final = {60_000: "1m", 3_600_000: "1h"}
_STEP_S: Final = 20


def connector_for(
    venue: str,
    environment: str,
    credentials: Credentials,
    egress: Iterable[Egress],
    dial: Proxy,
    now_ms: Clock,
    sleep: Callable[[int], None],
) -> "Connector":
    """Returns a connector for an account of the manifest, which has asked for nothing yet.

    `egress` is the whole manifest's; `dial` opens a connection to the host's proxy; `sleep` waits
    so many ms. The caller closes it.

    Raises:
        Refused: VENUE_NOT_ALLOWED when the venue is none of ours, or the environment is not what
            the roots say: `test` has its own, and nothing else has.
    """
    hosts = venues.reachable(venue, egress)
    own = {bool(each.development_roots) for each in hosts.values()}
    if environment not in ("live", "test") or own != {environment == "test"}:
        raise Refused(Code.VENUE_NOT_ALLOWED, f"roots of {venue}", environment, sorted(own))
    http = Http(hosts, lambda host: connected(dial(), host, _STEP_S))
    key = credentials.key, credentials.secret, credentials.passphrase
    return Connector(Session(venue, key, http, now_ms, sleep))


class Connector:
    """One key at one venue, which only reads.

    Call `check` first: it measures the venue's clock and learns its markets. `markets` are all that
    are listed, by symbol, and those that were met in a trade; `settled_ms()` is until when the
    venue has booked everything.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._venue, self.markets = session, session.venue, session.markets
        self.settled_ms, self.time_ms = session.settled_ms, session.time_ms
        self.close = session.http.close

    def check(self) -> tuple[int, bool | None]:
        """Returns how many ms the venue's clock is ahead of ours, and that the key can only read;
        None where the venue does not tell.

        Raises:
            KeyTooPowerful: it can trade or move money.
            VenueFault: CLOCK, KEY, or whatever else is wrong.
        """
        ahead, access = self._session.measure(), self._venue.access
        if access is not None:
            told = inside(self._session.ask(access.call), access.path)
            names = told if isinstance(told, dict) else ()
            granted = {name for name in names if text(told, name) in ("true", "1")}
            allowed = {access.needs, *(access.allows or granted)}
            if access.needs not in granted or granted - allowed:
                raise KeyTooPowerful("permissions of the key", "reading alone", "more")
        self._session.load()
        for wallet in self._venue.balances.values():
            for row in self._held(wallet) if wallet.wallet else ():
                name = text(row, wallet.wallet)
                self._session.places[name] = "WALLET", name
        return ahead, None if access is None else True

    def streams(self) -> list[Stream]:
        """Returns all streams of the account. Where trades are told by symbol, those of all that
        the venue lists: what an account holds says nothing of what it sold."""
        found, known = [], self._session.places.items()
        for name, rule in self._venue.rules.items():
            places = [place for place, (kind, _) in known if kind == rule.places]
            named = () if isinstance(rule.places, str) else rule.places
            found += [Stream(name, place) for place in (*named, *places)]
        return found

    def pages(self, stream: Stream, cursor: Cursor, until_ms: int) -> Iterator[Page]:
        """Yields the pages of a stream from `Cursor(since_ms)` or the last page's cursor on.

        They go no further than some seconds before now. Nothing is raised for a venue's sake: the
        last page's gap says what was wrong, and its cursor is where the next attempt begins.
        """
        return walk(self._session, stream, cursor, min(until_ms, self._session.settled_ms()))

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
                opened = int(text(row, "0") or -1)
                if first <= opened <= until - interval_ms:
                    if opened <= last or (opened - first) % interval_ms:
                        raise VenueFault(Reason.DISCONTINUED, "candles in order", "others")
                    last = opened
                    yield opened + interval_ms, amount(row, "4")

    def balances(self) -> dict[str, Decimal]:
        """Returns what all wallets of the account hold, without open profit, by asset."""
        found: dict[str, Decimal] = {}
        for wallet in self._venue.balances.values():
            for row in self._held(wallet):
                asset = self._session.asset(text(row, wallet.asset))
                with exactly():
                    held = sum((amount(row, path) for path in wallet.plus), ZERO)
                    found[asset] = found.get(asset, ZERO) + held
        return found

    def positions(self) -> list[tuple[str, Decimal, Decimal]]:
        """Returns the open positions, each leg of a hedge by itself: symbol, contracts (signed),
        and the price that they are booked at."""
        found = []
        for given in self._venue.positions:
            for row in self._session.ask("fetch_positions", None, given):
                size = amount(row, "-contracts" if text(row, "side") == "short" else "contracts")
                if size:
                    found.append((text(row, "symbol"), size, amount(row, "entryPrice")))
        return found

    def _held(self, wallet: Balance) -> list[object]:
        answer = self._session.ask(wallet.call, wallet.given)
        if text(answer, wallet.more) == "true":
            raise VenueFault(Reason.OVERFULL, "all wallets", "more of them")
        return listed(answer, wallet.rows)
