"""The default world: one market since 2020, and on each venue one account that traded up to now."""

from __future__ import annotations

import base64
import datetime
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from strongroom_host.venues.alpaca import Alpaca
from strongroom_host.venues.binance import BinanceSpot
from strongroom_host.venues.binance_usdm import BinanceCoinM, BinanceUsdM
from strongroom_host.venues.bitget import Bitget
from strongroom_host.venues.bybit import Bybit
from strongroom_host.venues.coinbase import Coinbase
from strongroom_host.venues.history import Fill, Flow, History, Move
from strongroom_host.venues.ibkr_flex import DAILY, IbkrFlex
from strongroom_host.venues.kraken import Kraken
from strongroom_host.venues.market import HOUR_MS, Instrument, Kind, Market, draw
from strongroom_host.venues.mexc import Mexc
from strongroom_host.venues.traders import FeeRule, Plan, trade
from strongroom_host.venues.venue import Venue
from strongroom_host.venues.world import Account, Credentials, World

__all__ = ["VENUES", "Login", "default_market", "default_venues", "make_account", "plan_for"]

_DAY_MS: Final = 24 * HOUR_MS
_SINCE_MS: Final = 1_577_836_800_000
_LEVELS: Final = (
    # base, level, spot tick, spot step, contract tick, contract step
    ("BTC", "60000", "0.01", "0.00001", "0.1", "0.001"),
    ("ETH", "2500", "0.01", "0.0001", "0.01", "0.001"),
    ("BNB", "600", "0.01", "0.001", "", ""),
    ("DOGE", "0.2", "0.00001", "1", "", ""),
)
_EQUITIES: Final = (("AAPL", "230"), ("MSFT", "430"))


def default_market(seed: str, now_ms: int) -> Market:
    """BTC, ETH, BNB and DOGE in USDT and USD, perpetuals, two shares; OLD, delisted.

    OLD/USDT ended ten days ago. DOGE/USDT was silent for three hours five days ago: no candles.
    """
    quiet = (now_ms // HOUR_MS * HOUR_MS - 5 * _DAY_MS,)
    silent = tuple((start, start + 3 * HOUR_MS) for start in quiet)
    found: list[Instrument] = []
    for base, level, tick, step, contract_tick, contract_step in _LEVELS:
        for quote in ("USDT", "USD"):
            found.append(
                Instrument(
                    base,
                    quote,
                    Decimal(level),
                    Decimal(tick),
                    Decimal(step),
                    listed_ms=_SINCE_MS,
                    silent=silent if (base, quote) == ("DOGE", "USDT") else (),
                )
            )
        if contract_tick:
            found.append(
                Instrument(
                    base,
                    "USDT",
                    Decimal(level),
                    Decimal(contract_tick),
                    Decimal(contract_step),
                    Kind.LINEAR,
                    listed_ms=_SINCE_MS,
                )
            )
    found.append(
        Instrument(
            "BTC",
            "USD",
            Decimal(60_000),
            Decimal("0.1"),
            Decimal(1),
            Kind.INVERSE,
            listed_ms=_SINCE_MS,
        )
    )
    found += [
        Instrument(
            base, "USD", Decimal(level), Decimal("0.01"), Decimal("0.001"), listed_ms=_SINCE_MS
        )
        for base, level in _EQUITIES
    ]
    found.append(
        Instrument(
            "OLD",
            "USDT",
            Decimal("1.5"),
            Decimal("0.0001"),
            Decimal("0.1"),
            listed_ms=_SINCE_MS,
            delisted_ms=now_ms // HOUR_MS * HOUR_MS - 10 * _DAY_MS,
        )
    )
    return Market(seed, found)


@dataclass(frozen=True, slots=True)
class Login:
    """What a client signs with; for Coinbase the private key, which no venue has."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)


def _number(event: Fill | Flow | Move) -> str:
    return event.id


def _uuid(event: Fill | Flow | Move) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, event.id))


def _dated(event: Fill | Flow | Move) -> str:
    """As Alpaca names an activity: its time, and a uuid."""
    moment = datetime.datetime.fromtimestamp(event.time_ms // 1_000, datetime.UTC)
    return f"{moment:%Y%m%d%H%M%S}{event.time_ms % 1_000:03d}::{_uuid(event)}"


@dataclass(frozen=True, slots=True)
class _Habit:
    """What is customary on a venue: what is traded, in which asset fees are taken."""

    spot: tuple[str, ...]
    contracts: tuple[str, ...] = ()
    fee_rule: FeeRule = FeeRule.RECEIVED
    fee_places: int = 8
    maker_fee: Decimal = Decimal("0.0002")
    spot_fee: Decimal = Decimal("0.001")
    wallets: tuple[str, str, str] = ("spot", "spot", "linear")
    name: Callable[[Fill | Flow | Move], str] = _number
    grain_ms: tuple[int, int] = (1, 1_000)
    broker: bool = False


_TETHER: Final = ("BTC/USDT", "ETH/USDT", "DOGE/USDT", "OLD/USDT")
_PERPETUALS: Final = ("BTC/USDT:USDT", "ETH/USDT:USDT")
_SHARES: Final = ("AAPL/USD", "MSFT/USD")
_DOLLAR: Final = ("BTC/USD", "ETH/USD", "DOGE/USD")


def _kraken_id(event: Fill | Flow | Move) -> str:
    """As Kraken names a trade: T, and 17 letters and digits in groups."""
    letters = base64.b32encode(hashlib.blake2b(event.id.encode(), digest_size=15).digest()).decode()
    return f"T{letters[:5]}-{letters[5:10]}-{letters[10:16]}"


_HABITS: Final[dict[str, _Habit]] = {
    "binance": _Habit((*_TETHER, "BNB/USDT"), _PERPETUALS, FeeRule.THIRD),
    "bybit": _Habit(
        _TETHER,
        (*_PERPETUALS, "BTC/USD:BTC"),
        maker_fee=Decimal("-0.00005"),
        wallets=("FUND", "UNIFIED", "UNIFIED"),
        name=_uuid,
    ),
    "bitget": _Habit(_TETHER, _PERPETUALS),
    "mexc": _Habit(_TETHER, _PERPETUALS, FeeRule.QUOTE),
    "kraken": _Habit(_DOLLAR, fee_rule=FeeRule.QUOTE, fee_places=5, name=_kraken_id),
    "coinbase": _Habit(_DOLLAR, fee_rule=FeeRule.QUOTE, fee_places=12, name=_uuid),
    "alpaca": _Habit(
        ("BTC/USD", *_SHARES),
        spot_fee=Decimal(0),
        name=_dated,
        grain_ms=(1, _DAY_MS),
        broker=True,
    ),
    "ibkr": _Habit(
        _SHARES,
        fee_rule=FeeRule.QUOTE,
        spot_fee=Decimal("0.0001"),
        grain_ms=(1_000, 1_000),
        broker=True,
    ),
}


VENUES: Final = tuple(_HABITS)


def plan_for(
    venue: str, market: Market, start_ms: int, end_ms: int, *, orders: int = 200, burst: int = 0
) -> Plan:
    """How an account trades on a venue, as is customary there."""
    habit = _HABITS[venue]
    return Plan(
        instruments=tuple(market.instruments[name] for name in (*habit.spot, *habit.contracts)),
        start_ms=start_ms,
        end_ms=end_ms,
        orders=orders,
        burst=burst,
        fee_rule=habit.fee_rule,
        fee_places=habit.fee_places,
        maker_fee=habit.maker_fee,
        wallets=habit.wallets,
        grain_ms=habit.grain_ms,
        broker=habit.broker,
        spot_fee=habit.spot_fee,
    )


def make_account(venue: str, market: Market, plan: Plan, seed: str) -> tuple[Account, Login]:
    """An account whose history and credentials follow from the seed, and how to log in to it."""
    histories: list[History] = []
    for owner in ("own", "stranger"):
        made = trade(market, plan, f"{seed}/{venue}/{owner}")
        histories.append(made.renamed(_HABITS[venue].name))
    login, known = _login(venue, seed)
    return Account(venue, "main", known, *histories), login


def _login(venue: str, seed: str) -> tuple[Login, Credentials]:
    """What the client has, and what the venue knows of it."""
    words = [f"{draw(seed, venue, part, place):016x}" for part in "ks" for place in range(4)]
    key, secret = "".join(words[:4]), "".join(words[4:])
    if venue == "kraken":
        secret = base64.b64encode(bytes.fromhex(secret) * 2).decode()
    if venue == "coinbase":
        private = ec.derive_private_key(int(secret, 16) >> 1, ec.SECP256R1())
        login = Login(f"organizations/{words[0]}/apiKeys/{words[1]}", _pem(private))
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return login, Credentials(login.key, public.decode())
    if venue == "ibkr":  # a token, and the number of a query
        return Login(key, DAILY), Credentials(key, DAILY)
    login = Login(key, secret, words[0])
    return login, Credentials(login.key, login.secret, login.passphrase)


def _pem(private: ec.EllipticCurvePrivateKey) -> str:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def default_venues(world: World, *, limits: bool = True) -> list[Venue]:
    """Every venue there is, over one world."""
    return [
        BinanceSpot(world, limits=limits),
        BinanceUsdM(world, limits=limits),
        BinanceCoinM(world, limits=limits),
        Bybit(world, limits=limits),
        Bitget(world, limits=limits),
        Mexc(world, limits=limits),
        Kraken(world, limits=limits),
        Coinbase(world, limits=limits),
        Alpaca(world, limits=limits),
        IbkrFlex(world, limits=limits),
    ]
