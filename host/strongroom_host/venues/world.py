"""Who has an account where: credentials and histories, one market, one clock."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from strongroom_host.venues.errors import ConfigError
from strongroom_host.venues.history import History
from strongroom_host.venues.market import Market, draw

__all__ = ["Account", "Credentials", "VenueClock", "World"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client signs with; of what the venue does not use, an empty text.

    `secret` is the shared secret, base64 for Kraken. Coinbase has the client's P-256 public key
    (PEM) here, since a venue never knows the private one.
    """

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """One account on one venue. `stranger` is somebody else's history, for a venue that errs."""

    venue: str
    name: str
    credentials: Credentials
    history: History
    stranger: History = field(default_factory=lambda: History([], []))

    @property
    def number(self) -> int:
        """The venue's own number of the account, of nine digits: the same whichever key asks."""
        return 100_000_000 + draw(self.venue, self.name) % 900_000_000


class VenueClock:
    """Wall time in ms, shifted on demand; every venue of a server tells its time from one.

    With `start_ms` it begins there, so that a seed gives the same histories on any day.
    """

    def __init__(self, start_ms: int | None = None) -> None:
        self._shift_ms = 0
        if start_ms is not None:
            self._shift_ms = start_ms - self()

    def __call__(self) -> int:
        """Unix milliseconds now."""
        return time.time_ns() // 1_000_000 + self._shift_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass, or turn it back."""
        self._shift_ms += by_ms


class World:
    """Accounts by venue and key.

    Raises:
        ConfigError: two accounts of one venue share a key.
    """

    def __init__(self, market: Market, accounts: Iterable[Account]) -> None:
        self.market = market
        self.accounts: dict[tuple[str, str], Account] = {}
        for account in accounts:
            place = account.venue, account.credentials.key
            if place in self.accounts:
                raise ConfigError("two accounts have one key", actual=account.name)
            self.accounts[place] = account

    def account(self, venue: str, key: str) -> Account | None:
        """The account that an API key opens, if there is one."""
        return self.accounts.get((venue, key))

    def named(self, venue: str, name: str) -> Account:
        """The account of that name.

        Raises:
            ConfigError: there is none.
        """
        for account in self.accounts.values():
            if (account.venue, account.name) == (venue, name):
                return account
        raise ConfigError("no such account", actual=f"{venue}/{name}")
