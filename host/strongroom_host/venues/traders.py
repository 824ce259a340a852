"""Accounts that traded: a whole history made from a seed, plausible and exactly known.

Fills come in orders of one to four parts at one ms, so that paging by time alone has something to
lose; positions are opened, reduced, turned around and closed; money comes, goes and moves between
wallets; perpetuals pay funding every eight hours.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Final

from strongroom_host.venues.errors import ConfigError
from strongroom_host.venues.history import Fill, Flow, History, Move, Position
from strongroom_host.venues.market import HOUR_MS, Instrument, Kind, Market, draw

__all__ = ["FeeRule", "Plan", "trade"]

_FUNDING_MS: Final = 8 * HOUR_MS
_ZERO: Final = Decimal(0)
_LEAST: Final = Decimal(10)
_PARTS: Final = 4


class FeeRule(enum.Enum):
    """Which asset a spot trade's fee is taken in. A contract's is taken in what it settles in."""

    RECEIVED = "received"
    """Of what was bought: base for a buy, quote for a sale."""
    QUOTE = "quote"
    THIRD = "third"
    """The venue's own token while there is some, else as RECEIVED."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How an account trades on one venue.

    Attributes:
        instruments: What it trades.
        orders: How many orders over the whole time.
        wallets: Where deposits arrive, where spot trades, where contracts settle.
        flows: How many deposits, withdrawals and transfers, after the first deposit of each.
        burst: One order of that many fills in a single ms, of the first instrument; 0 for none.
        grain_ms: What times of trades and of money are multiples of: some venues tell no finer.
        broker: Money also comes as dividends and interest, and goes as fees.
        own_asset: The venue's own token, for FeeRule.THIRD.
    """

    instruments: tuple[Instrument, ...]
    start_ms: int
    end_ms: int
    orders: int = 200
    flows: int = 24
    burst: int = 0
    fee_rule: FeeRule = FeeRule.RECEIVED
    fee_places: int = 8
    spot_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.0005")
    maker_fee: Decimal = Decimal("0.0002")
    wallets: tuple[str, str, str] = ("spot", "spot", "linear")
    own_asset: str = "BNB"
    grain_ms: tuple[int, int] = (1, 1_000)
    broker: bool = False
    deposit: Decimal = Decimal(50_000)


@dataclass(slots=True)
class _Desk:
    """The account while its history is being made."""

    market: Market
    plan: Plan
    seed: str
    fills: list[Fill] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    cash: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    open: dict[Instrument, Position] = field(default_factory=dict)
    first: int = 1_000_000_000
    number: int = 0
    drawn: int = 0

    def pick(self, below: int) -> int:
        self.drawn += 1
        return draw(self.seed, self.drawn) % below

    def next_id(self) -> str:
        self.number += 1 + self.pick(7)
        return str(self.first + self.number)

    def held(self, wallet: str, asset: str) -> Decimal:
        return self.cash.get((wallet, asset), _ZERO)

    def add(self, wallet: str, asset: str, amount: Decimal) -> None:
        self.cash[wallet, asset] = self.held(wallet, asset) + amount

    def fee(self, amount: Decimal) -> Decimal:
        return round(amount, self.plan.fee_places)

    # ------------------------------------------------------------------ money

    def flow(self, time_ms: int, asset: str, amount: Decimal, kind: str, wallet: str) -> None:
        fee = Decimal(1) if kind == "WITHDRAWAL" else _ZERO
        self.flows.append(Flow(time_ms, self.next_id(), asset, amount, kind, wallet, fee))
        self.add(wallet, asset, amount)

    def move(self, time_ms: int, asset: str, amount: Decimal, source: str, target: str) -> None:
        if source != target and amount > 0:
            self.moves.append(Move(time_ms, self.next_id(), asset, amount, source, target))
            self.add(source, asset, -amount)
            self.add(target, asset, amount)

    def money(self, time_ms: int) -> None:
        """One deposit, withdrawal or transfer between wallets, whichever is possible."""
        arriving, spot, contracts = self.plan.wallets
        quote = self.plan.instruments[0].quote
        what = self.pick(6 if self.plan.broker else 3)
        if what > 2:
            kind = ("DIVIDEND", "INTEREST", "FEE")[what - 3]
            cents = Decimal(1 + self.pick(5_000)).scaleb(-2)
            self.flow(time_ms, quote, -cents if kind == "FEE" else cents, kind, spot)
        elif what == 0:
            self.flow(time_ms, quote, Decimal(500 + self.pick(4_000)), "DEPOSIT", arriving)
            self.move(time_ms + 1, quote, Decimal(400), arriving, spot)
        elif what == 1:
            cents = (self.held(spot, quote) / 10).quantize(Decimal("0.01"), ROUND_DOWN)
            if cents > _LEAST:
                self.move(time_ms, quote, cents, spot, arriving)
                self.flow(time_ms + self.plan.grain_ms[1], quote, -cents, "WITHDRAWAL", arriving)
        elif any(item.kind is Kind.LINEAR for item in self.plan.instruments):
            back = self.pick(2) == 1
            source, target = (contracts, spot) if back else (spot, contracts)
            sum_ = (self.held(source, quote) / 8).quantize(Decimal("0.0001"), ROUND_DOWN)
            self.move(time_ms, quote, sum_, source, target)

    def funding(self, time_ms: int) -> None:
        """What open perpetuals pay or get at that time."""
        for instrument, position in sorted(self.open.items(), key=lambda item: item[0].symbol):
            rate = Decimal(draw(self.seed, "rate", time_ms) % 400 - 100).scaleb(-6)
            held = position.quantity / instrument.size
            value = instrument.value(held, self.market.price(instrument, time_ms))
            amount = round(-value * rate, 8)
            if position.quantity and amount:
                wallet, asset = self.plan.wallets[2], instrument.settle
                paid = Flow(
                    time_ms,
                    self.next_id(),
                    asset,
                    amount,
                    "FUNDING",
                    wallet,
                    symbol=instrument.symbol,
                    held=position.quantity,
                )
                self.flows.append(paid)
                self.add(wallet, asset, amount)

    # ----------------------------------------------------------------- trading

    def order(self, time_ms: int, parts: int, instrument: Instrument | None = None) -> None:
        """One order for some instrument that trades then, in so many fills at one ms."""
        live = [item for item in self.plan.instruments if item.trading(time_ms)]
        if not live:
            return
        instrument = instrument or live[self.pick(len(live))]
        # A burst buys: there is always money for many parts, but not always something to sell.
        side = 1 if self.pick(2) or parts > _PARTS else -1
        if instrument.kind is Kind.SPOT:
            side, amount = self._spot_amount(instrument, side, time_ms)
        else:
            amount = self._contract_amount(instrument, time_ms)
        step = instrument.step
        parts = min(parts, int(amount / step))
        if parts < 1:
            return
        each = (amount / parts).quantize(step, ROUND_DOWN)
        order_id, maker = self.next_id(), self.pick(3) == 0
        for part in range(parts):
            # Unequal parts, and no trailing zeros: venues pad as they like, and truth does not.
            size = each if part else amount - each * (parts - 1)
            price = self.market.traded_price(instrument, time_ms, order_id, part)
            if instrument.kind is Kind.SPOT:
                self._fill_spot(time_ms, order_id, instrument, side, size, price, maker)
            else:
                self._fill_contract(time_ms, order_id, instrument, side, size, price, maker)

    def _spot_amount(self, instrument: Instrument, side: int, time_ms: int) -> tuple[int, Decimal]:
        wallet = self.plan.wallets[1]
        price = self.market.price(instrument, time_ms)
        sellable = self.held(wallet, instrument.base)
        if side < 0 and sellable < instrument.step:
            side = 1
        if side > 0:
            # Prices of the parts differ by a wick; a tenth of the money leaves room for it.
            amount = self.held(wallet, instrument.quote) / 10 / price
        else:
            amount = sellable * (20 + self.pick(80)) / 100 * Decimal("0.995")
        return side, amount.quantize(instrument.step, ROUND_DOWN)

    def _contract_amount(self, instrument: Instrument, time_ms: int) -> Decimal:
        money = self.held(self.plan.wallets[2], instrument.settle)
        one = instrument.value(Decimal(1), self.market.price(instrument, time_ms))
        amount = money * (10 + self.pick(60)) / 100 / one
        held = self.open.get(instrument, Position(instrument)).quantity / instrument.size
        if held and self.pick(5) == 0:
            amount = abs(held)  # closes, if the side is right
        return max(amount, _ZERO).quantize(instrument.step, ROUND_DOWN)

    def _fill_spot(
        self,
        time_ms: int,
        order_id: str,
        instrument: Instrument,
        side: int,
        amount: Decimal,
        price: Decimal,
        maker: bool,
    ) -> None:
        wallet, plan = self.plan.wallets[1], self.plan
        cost = amount * price
        received, asset = (amount, instrument.base) if side > 0 else (cost, instrument.quote)
        fee = self.fee(received * plan.spot_fee)
        if plan.fee_rule is FeeRule.QUOTE:
            fee, asset = self.fee(cost * plan.spot_fee), instrument.quote
        elif plan.fee_rule is FeeRule.THIRD:
            third = self.fee(cost * plan.spot_fee * 3 / 4 / Decimal(600))
            if self.held(wallet, plan.own_asset) > third:
                fee, asset = third, plan.own_asset
        self.add(wallet, instrument.base, side * amount)
        self.add(wallet, instrument.quote, -side * cost)
        self._record(time_ms, order_id, instrument, side, amount, price, fee, asset, maker, wallet)

    def _fill_contract(
        self,
        time_ms: int,
        order_id: str,
        instrument: Instrument,
        side: int,
        amount: Decimal,
        price: Decimal,
        maker: bool,
    ) -> None:
        wallet, plan, asset = self.plan.wallets[2], self.plan, instrument.settle
        fee = self.fee(
            instrument.value(amount, price) * (plan.maker_fee if maker else plan.taker_fee)
        )
        self._record(time_ms, order_id, instrument, side, amount, price, fee, asset, maker, wallet)
        position = self.open.get(instrument, Position(instrument))
        self.open[instrument], profit = position.filled(self.fills[-1])
        self.add(wallet, asset, profit)

    def _record(
        self,
        time_ms: int,
        order_id: str,
        instrument: Instrument,
        side: int,
        amount: Decimal,
        price: Decimal,
        fee: Decimal,
        asset: str,
        maker: bool,
        wallet: str,
    ) -> None:
        self.add(wallet, asset, -fee)
        self.fills.append(
            Fill(
                time_ms,
                self.next_id(),
                order_id,
                instrument,
                side,
                amount,
                price,
                fee,
                asset if fee else instrument.settle,
                maker,
                wallet,
            )
        )


def _up(time_ms: int, grain_ms: int) -> int:
    return -(-time_ms // grain_ms) * grain_ms


def _awake(time_ms: int) -> int:
    """A time of another hour, if New York's clocks could have been turned back in it: then a local
    time says two things."""
    return time_ms + HOUR_MS if time_ms // HOUR_MS % 24 in (5, 6) else time_ms


def trade(market: Market, plan: Plan, seed: str) -> History:
    """The history that this plan and seed lead to; ids are ascending numbers, as text.

    Raises:
        ConfigError: the plan's time is too short.
    """
    # Ids of two accounts have no number in common, or hardly ever.
    first = 1_000_000_000 + draw(seed, "first") % 1_000_000_000
    desk = _Desk(market, plan, seed, first=first)
    arriving, spot, contracts = plan.wallets
    quote = plan.instruments[0].quote
    fine, coarse = plan.grain_ms
    start = _up(plan.start_ms, coarse)
    desk.flow(start, quote, plan.deposit, "DEPOSIT", arriving)
    if plan.fee_rule is FeeRule.THIRD:
        desk.flow(start + coarse, plan.own_asset, Decimal(2), "DEPOSIT", arriving)
        desk.move(start + coarse + 1, plan.own_asset, Decimal(2), arriving, spot)
    desk.move(start + 3, quote, plan.deposit - 100, arriving, spot)
    if any(item.kind is Kind.LINEAR for item in plan.instruments):
        desk.move(start + 4, quote, plan.deposit / 2, spot, contracts)
    begin = start + 2 * coarse
    span = plan.end_ms - begin - 2 * coarse
    if span < 1:
        raise ConfigError("a history needs more time", expected=5 * coarse, actual=span)
    steps = [(_up(begin + desk.pick(span), fine), 0) for _ in range(plan.orders)]
    steps += [(_up(begin + desk.pick(span), coarse), 1) for _ in range(plan.flows)]
    first = -(-start // _FUNDING_MS) * _FUNDING_MS
    steps += [(time_ms, 2) for time_ms in range(first, plan.end_ms, _FUNDING_MS)]
    if plan.burst:
        steps.append((_up(begin + span // 4, fine), 3))
    if plan.broker:
        steps = [(_awake(_awake(time_ms)), what) for time_ms, what in steps]
    for time_ms, what in sorted(step for step in steps if step[0] < plan.end_ms):
        if what == 0:
            desk.order(time_ms, 1 + desk.pick(_PARTS))
        elif what == 1:
            desk.money(time_ms)
        elif what == 2:
            desk.funding(time_ms)
        else:
            desk.order(time_ms, plan.burst, plan.instruments[0])
    return History(desk.fills, desk.flows, desk.moves)
