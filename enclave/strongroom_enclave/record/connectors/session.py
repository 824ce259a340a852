"""ccxt as what it is best at: it signs, knows errors by their words, and lists markets.

Every byte goes through `Http`, every wait through the given sleep, every time comes from the given
clock, but for when a run has to end; numbers stay the text that the venue wrote. What ccxt says in
its errors (addresses, answers) ends here.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from threading import Lock
from typing import Any, Final

import msgspec
from ccxt.alpaca import alpaca
from ccxt.base import errors as said
from ccxt.binance import binance
from ccxt.bitget import bitget
from ccxt.bybit import bybit
from ccxt.coinbase import coinbase
from ccxt.kraken import kraken
from ccxt.mexc import mexc
from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress
from strongroom_wire.record import Credentials

from strongroom_enclave import venues
from strongroom_enclave.http import Http
from strongroom_enclave.record.connectors import flex
from strongroom_enclave.record.connectors.rules import VENUES, Reason, VenueFault
from strongroom_enclave.record.errors import RecordError
from strongroom_enclave.record.events import Kind, Market
from strongroom_enclave.tls import Proxy, connected

_KINDS: Final = alpaca, binance, bitget, bybit, coinbase, flex.ibkr, kraken, mexc
_CLIENTS: Final = {kind.__name__: kind for kind in _KINDS}
_JSON: Final = msgspec.json.Decoder(float_hook=str)
_ATTEMPTS: Final = 5
_LONGEST_WAIT_MS: Final = 130_000
_MAX_SKEW_MS: Final = 30_000
_LONGEST_PAUSE_MS: Final = 7 * 24 * 3_600_000  # between two days that a venue tells of
# How late a venue may book, in ms; one under the roots of a manifest is made for tests, and prompt.
_LAGS: Final = {"live": 10_000, "paper": 10_000, "test": 1_000}
_STEP_S: Final = 20
_TICKER: Final = 12  # letters of a share's name at most: an option has more
# More than all of Binance's symbols take where several accounts share an address, 11 minutes each.
_LONGEST_RUN_S: Final = 3_600
_SHARED_MS: Final = 3_600_000
_LOCKS, _LISTED = {name: Lock() for name in _CLIENTS}, dict[str, tuple[int, Any]]()
_PASSING: Final = (Reason.RATE_LIMIT, Reason.UNREACHABLE)
# The first that fits: ccxt's errors go from the particular to the general.
_MEANING: Final = (
    (Refused, Reason.UNREACHABLE),
    ((said.RateLimitExceeded, said.DDoSProtection), Reason.RATE_LIMIT),
    (said.NetworkError, Reason.UNREACHABLE),
    (said.AuthenticationError, Reason.KEY),
    (said.BadResponse, Reason.MALFORMED),
    (said.BaseError, Reason.REFUSED),
    (Exception, Reason.MALFORMED),
)


class Session:
    """One key at one venue, which has asked for nothing yet; the caller closes it.

    `markets` are those that are listed or were met, by symbol; `ids` the venue's own names of them;
    `places` what streams can be asked for: symbols by kind, and wallets.
    """

    def __init__(
        self,
        venue: str,
        environment: str,
        credentials: Credentials,
        egress: Iterable[Egress],
        dial: Proxy,
        now_ms: Callable[[], int],
        sleep: Callable[[int], None],
    ) -> None:
        """`egress` is the whole manifest's; `dial` opens a connection to the host's proxy; `now_ms`
        is the time; `sleep` waits so many ms.

        Raises:
            Refused: VENUE_NOT_ALLOWED when the venue is none of ours, has no such environment, or
                it is not what the roots say: `test` has its own, and nothing else has.
        """
        hosts = venues.reachable(venue, egress)
        self.name, self.venue, self._now, self._sleep = venue, VENUES[venue], now_ms, sleep
        self._end_s = time.monotonic() + _LONGEST_RUN_S
        own = {bool(each.development_roots) for each in hosts.values()}
        if environment not in self.venue.environments or own != {environment == "test"}:
            raise Refused(Code.VENUE_NOT_ALLOWED, f"roots of {venue}", environment, sorted(own))
        self.http = Http(hosts, lambda host: connected(dial(), host, _STEP_S))
        self.close, self._offset, self._wait, self._lag = self.http.close, 0, 0, _LAGS[environment]
        self.markets, self.ids = dict[str, Market](), dict[str, str]()
        self.places: dict[Any, set[str]] = {kind: set() for kind in (*Kind.__members__, "WALLET")}
        self._pairs, self._known = dict[str, str](), dict[tuple[bool, str], Market]()
        keys = {"apiKey": credentials.key, "secret": credentials.secret}
        keys |= {"password": credentials.passphrase}
        exchange = self._exchange = _CLIENTS[venue]({**keys, "options": self.venue.options})
        exchange.number, exchange.session, exchange.has["fetchCurrencies"] = str, None, False
        exchange.fetch = self._fetch
        exchange.set_sandbox_mode(environment == "paper")
        exchange.throttle = lambda cost: sleep(int(exchange.rateLimit * (cost or 1)))
        exchange.milliseconds, exchange.seconds = self.time_ms, lambda: self.time_ms() // 1000

    def time_ms(self) -> int:
        """Returns the venue's time, as far as it was measured."""
        return self._now() + self._offset

    def settled_ms(self) -> int:
        """Returns until when a venue has booked everything: a little ago by either clock."""
        return self._now() + min(self._offset, 0) - self._lag

    def begin(self) -> None:
        """Learns how far the venue's clock is ahead of ours, and goes by it from now on; and its
        markets, but for those that settle in ways unknown here.

        Markets are public and large: for an hour, sessions of a venue share them.

        Raises:
            VenueFault: CLOCK when clocks are too far apart for either to be believed, or why there
                is no answer.
        """
        told_ms = int(self.ask("fetch_time") or 0)
        ahead, daily = told_ms - self._now(), self.venue.daily
        least, most = (-_LONGEST_PAUSE_MS, 0) if daily else (-_MAX_SKEW_MS, _MAX_SKEW_MS)
        if not least <= ahead <= most:
            raise VenueFault(Reason.CLOCK, f"from {least} to {most} ms", ahead)
        # Less than a second is none: some tell no more, and what is signed has to rise with time.
        self._offset = ahead if abs(ahead) >= 1_000 else 0
        if daily:  # time stands at the end of the newest day, which has nothing left to book
            self._now, self._offset, self._lag = lambda: told_ms, 0, -1
        with _LOCKS[self.name]:  # one that stalls holds up none but its own
            since, shared = _LISTED.get(self.name, (0, None))
            if shared and self._now() - since < _SHARED_MS:
                self._exchange.set_markets_from_exchange(shared)
            else:
                self.ask("load_markets", False, self.venue.listing)
                # One without a key.
                shared = _CLIENTS[self.name]().set_markets_from_exchange(self._exchange)
                _LISTED[self.name] = self._now(), shared
        for listed in self._exchange.markets.values():
            kinds = [kind for kind in Kind if listed[kind.name.lower()] and not listed["option"]]
            base, quote, symbol, name = (listed[key] for key in ("base", "quote", "symbol", "id"))
            with suppress(RecordError, ArithmeticError, IndexError):
                size, settle = Decimal(listed["contractSize"] or 1), listed["settle"] or quote
                market = Market(symbol, base, quote, settle, kinds[0], size)
                self._known[kinds[0] is not Kind.SPOT, name] = self.markets[symbol] = market
                self.ids[symbol], self._pairs[base + quote] = name, base
                self.places[kinds[0].name].add(symbol)

    def market(self, name: str, contracts: bool) -> Market:
        """Returns a market by the venue's own name.

        A spot market that the venue lists no more is told from its name, if that ends in a quote.

        Raises:
            VenueFault: UNKNOWN_MARKET.
        """
        if (found := self._known.get((contracts, name))) is not None:
            return found
        base, _, quote = name.partition("/")
        if self.venue.shares and not quote and len(name) <= _TICKER:
            base, quote = self.asset(name), self.venue.shares
        elif not quote:
            # Contracts are quoted in what no pair is: a BTCBUSD is no pair of BTCB and their USD.
            quotes = {each.quote for each in self.markets.values() if each.kind is Kind.SPOT}
            quote = max(filter(name[1:].endswith, quotes), key=len, default="")
            base = self.asset(name.removesuffix(quote).rstrip("-_"))
        if contracts or not quote or not self.venue.guessable:
            raise VenueFault(Reason.UNKNOWN_MARKET)
        market = Market(f"{base}/{quote}", base, quote, quote, Kind.SPOT)
        self._known[False, name] = self.markets[market.symbol] = market
        self.ids[market.symbol] = name
        return market

    def asset(self, name: str) -> str:
        """Returns the name that an asset has in markets. A share may be called as a coin is, and is
        none; where there are both, a coin held is named by its pair."""
        if self.venue.shares and name != self.venue.shares:
            return self._pairs.get(name, f"{name} STK")
        return str(self._exchange.safe_currency_code(name.partition(self.venue.cut)[0]))

    def ask(self, call: str, *given: Any) -> Any:
        """Returns what a method of ccxt does; what passes by itself is waited for, and not long.

        Raises:
            VenueFault: with its reason; nothing of what was said is in it.
        """
        attempt = 0
        while time.monotonic() < self._end_s:
            attempt += 1
            try:
                return getattr(self._exchange, call)(*given)
            except Exception as error:  # noqa: BLE001  a wrong shape fails anyhow in ccxt's parsers
                reason = next(reason for kinds, reason in _MEANING if isinstance(error, kinds))
            wait = max(self._wait, 250 << attempt)
            if attempt == _ATTEMPTS or reason not in _PASSING or wait > _LONGEST_WAIT_MS:
                raise VenueFault(reason)
            self._sleep(wait)
        raise VenueFault(Reason.LATE)

    def _fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        self._wait = 0
        answer = self.http.request(method, url, headers or {}, body or "")
        after = answer.headers.get("retry-after", "")
        self._wait = int(after) * 1000 if after.isdecimal() and len(after) < 10 else 0
        try:
            content = (flex.rows if self.name == "ibkr" else _JSON.decode)(answer.body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            content = None
        text, status, exchange = answer.body.decode(errors="replace"), answer.status, self._exchange
        exchange.handle_errors(status, "", url, method, answer.headers, text, content, {}, "")
        exchange.handle_http_status_code(status, "", url, method, "")
        if content is None or status != 200:
            raise VenueFault(Reason.MALFORMED, "JSON with status 200", status)
        return content
