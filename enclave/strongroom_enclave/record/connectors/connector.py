"""An account at a venue: what its streams are, how far they go, what it holds, what it is worth."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from strongroom_wire.errors import Code, Refused

from strongroom_enclave.record.connectors import rules
from strongroom_enclave.record.connectors.rules import Page, Reason, VenueFault, amount, text
from strongroom_enclave.record.connectors.session import Session
from strongroom_enclave.record.connectors.walk import Walk
from strongroom_enclave.record.exact import ZERO, exactly

_CANDLES: Final = 200
_INTERVALS: Final = {60_000: "1m", 3_600_000: "1h"}
_BARS: Final = {60_000: "1Min", 3_600_000: "1Hour"}


class Connector(Session):
    """A session of which an account is asked; `check` comes first.

    Nothing that computes may be in between: numbers are passed on as they were told.
    """

    def check(self) -> str:
        """Learns clock, markets and wallets of the venue, once the key can only read; returns whose
        account it opens. Both as far as the venue tells.

        Raises:
            Refused: VENUE_NOT_ALLOWED, it can trade or move money.
            VenueFault: CLOCK, KEY, or whatever else is wrong.
        """
        self.begin()
        if (access := self.venue.access) is not None:
            told = rules.inside(self.ask(access.call), access.path)
            names = told if isinstance(told, dict) else ()
            granted = {name for name in names if text(told, name) in ("true", "1")}
            if not {access.needs} <= granted <= {access.needs, *(access.allows or granted)}:
                raise Refused(Code.VENUE_NOT_ALLOWED, "what the key may", "read", "more or less")
        for wallet in self.venue.balances.values():
            if wallet.wallet:
                self.places["WALLET"] |= {text(row, wallet.wallet) for row in self._held(wallet)}
        call, path = self.venue.holder
        return text(self.ask(call), path)

    def streams(self) -> list[rules.Stream]:
        """Returns all streams of the account. Where trades are told by symbol, those of all that
        the venue lists: what an account holds says nothing of what it sold."""
        found = list[rules.Stream]()
        for name, rule in self.venue.rules.items():
            places = rule.places if isinstance(rule.places, tuple) else self.places[rule.places]
            found += [rules.Stream(name, place) for place in sorted(places)]
        return found

    def pages(self, stream: rules.Stream, cursor: rules.Cursor, until_ms: int) -> Iterator[Page]:
        """Yields the pages of a stream from `Cursor(since_ms)` or the last page's cursor on.

        They go no further than some seconds before now. Nothing is raised for a venue's sake: the
        last page's gap says what was wrong, and its cursor is where the next attempt begins.
        """
        return Walk(self, stream, cursor, min(until_ms, self.settled_ms())).pages()

    def candles(
        self, symbol: str, interval_ms: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, Decimal]]:
        """Yields (end of the candle, its closing price) for closed ones that end in (start, end].

        Missing ones, and what is no candle of that grid, are missing. The interval is a minute or
        an hour; start is a multiple of it.

        Raises:
            VenueFault: MALFORMED, or another reason why there is no answer.
        """
        end_ms = min(end_ms, self.time_ms())
        for first in range(start_ms, end_ms, _CANDLES * interval_ms):
            until = min(first + _CANDLES * interval_ms, end_ms)
            told = self._closes(symbol, interval_ms, first, until - 1)
            for opened in range(first, until - interval_ms + 1, interval_ms):
                if str(opened) in told:
                    yield opened + interval_ms, told[str(opened)]

    def balances(self) -> dict[str, Decimal]:
        """Returns what all wallets of the account hold, without open profit, by asset."""
        found: dict[str, Decimal] = {}
        for wallet in self.venue.balances.values():
            for row in self._held(wallet):
                asset = self.asset(text(row, wallet.asset))
                held = [amount(row, path) for path in wallet.plus]
                with exactly():
                    found[asset] = sum(held, found.get(asset, ZERO))
        return found

    def positions(self) -> list[tuple[str, Decimal, Decimal]]:
        """Returns the open positions, each leg of a hedge by itself: symbol, contracts (signed),
        and the price that they are booked at."""
        found = []
        for given in self.venue.positions:
            for row in self.ask("fetch_positions", None, given):
                size = amount(row, "-contracts" if text(row, "side") == "short" else "contracts")
                if size:
                    found.append((text(row, "symbol"), size, amount(row, "entryPrice")))
        return found

    def _closes(self, symbol: str, interval_ms: int, first: int, last: int) -> dict[str, Decimal]:
        """Returns closing prices by when their candle opened. ccxt lists no shares, so the venue is
        asked for those itself."""
        if not (self.venue.shares and " STK/" in symbol):
            given = symbol, _INTERVALS[interval_ms], first, _CANDLES, {"until": last}
            return {text(row, "0"): amount(row, "4") for row in self.ask("fetch_ohlcv", *given)}
        name, written = self.ids[symbol], self._exchange.iso8601
        asked = {"symbols": name, "timeframe": _BARS[interval_ms], "limit": _CANDLES, "feed": "iex"}
        asked |= {"start": written(first), "end": written(last)}
        bars = rules.inside(self.ask("marketPrivateGetV2StocksBars", asked), "bars")
        rows = bars.get(name) if isinstance(bars, dict) else None
        return {str(rules.time_ms(text(row, "t"))): amount(row, "c") for row in rows or ()}

    def _held(self, wallet: rules.Balance) -> list[object]:
        answer = self.ask(wallet.call, wallet.given)
        if text(answer, wallet.more) == "true":
            raise VenueFault(Reason.OVERFULL, "all wallets", "more of them")
        return [answer] if wallet.rows is None else rules.listed(answer, wallet.rows)
