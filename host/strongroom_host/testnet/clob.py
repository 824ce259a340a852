"""The venue itself: takes verified requests, matches, settles, cancels. No sockets, no JSON.

One thread owns it (the server's event loop), so nothing here locks. Time comes in through `clock`
(Unix milliseconds). `advance` must run before anything is read or changed: it expires orders,
session keys and missed heartbeats.
"""

from __future__ import annotations

import enum
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from eth_utils.crypto import keccak

from strongroom_host.testnet.accounts import MAX_ALLOWANCE, Accounts
from strongroom_host.testnet.auth import ApiKey, Authenticator
from strongroom_host.testnet.book import Book, Plan
from strongroom_host.testnet.config import TestnetConfig
from strongroom_host.testnet.contracts import Address, address_from, deployment
from strongroom_host.testnet.errors import (
    DuplicateOrder,
    EngineRestarting,
    FakNotFilled,
    FokNotFilled,
    InvalidExpiration,
    InvalidPostOnlyType,
    InvalidTimestamp,
    MarketableOrderTooSmall,
    ModeRefusal,
    NotEnoughAllowance,
    NotEnoughBalance,
    PostOnlyCrosses,
    UnknownToken,
    WrongOrderOwner,
    WrongOrderSigner,
)
from strongroom_host.testnet.heartbeats import Heartbeats
from strongroom_host.testnet.limits import RateLimits
from strongroom_host.testnet.markets import Terms, terms_of
from strongroom_host.testnet.orders import Order, OrderRequest, OrderType, Side
from strongroom_host.testnet.records import OrderStatus, Placement, StoredOrder, Trade
from strongroom_host.testnet.signatures import authorise
from strongroom_host.testnet.units import LOT, base_text
from strongroom_host.testnet.wallets import Batch, WalletKind, Wallets

__all__ = ["Clob", "Mode"]

_HOUSE: Final = address_from("0x" + keccak(text="strongroom testnet house")[12:].hex())
_STREET: Final = address_from("0x" + keccak(text="strongroom testnet street")[12:].hex())


def _nobody() -> None:
    """Whom a change concerns while nobody watches."""


class Mode(enum.Enum):
    """What the engine takes in."""

    NORMAL = "normal"
    RESTARTING = "restarting"
    DISABLED = "disabled"
    CANCEL_ONLY = "cancel_only"
    POST_ONLY = "post_only"


class Clob:
    """Markets, books, accounts, keys and the orders of everybody."""

    def __init__(
        self, config: TestnetConfig, clock: Callable[[], int], master_secret: bytes
    ) -> None:
        self.config = config
        self.clock = clock
        self.contracts = deployment(config.chain_id)
        self.accounts = Accounts()
        self.wallets = Wallets(config.chain_id)
        self.limits = RateLimits(config.burst, config.per_second)
        self.auth = Authenticator(
            master_secret,
            config.chain_id,
            l1_skew_s=config.windows.l1_skew_s,
            l2_skew_s=config.windows.l2_skew_s,
        )
        self.heartbeats = Heartbeats(
            config.windows.heartbeat_s * 1000, lambda: secrets.token_hex(16)
        )
        self.mode = Mode.NORMAL
        self.markets = {token: market for market in config.markets for token in market.tokens}
        self.books = {token: Book() for token in self.markets}
        self.orders: dict[bytes, StoredOrder] = {}
        self.trades: list[Trade] = []
        self.submissions: Counter[bytes] = Counter()
        """How often each order hash arrived with a valid signature; 2 means a blind retry."""
        self.on_change: Callable[[], None] = _nobody
        """Called after books or trades have changed, before the answer is out."""
        self._open: dict[bytes, StoredOrder] = {}
        self._house_orders = 0
        for seed in config.seeds:
            self.house_order(seed.token, seed.side, seed.price, seed.shares)

    # --- accounts -----------------------------------------------------------------------------

    def open_account(
        self, wallet: Address, kind: WalletKind, owner: Address, *, funds: int = 0
    ) -> None:
        """Register `wallet`, approve every exchange, and mint `funds` of every asset to it."""
        self.wallets.register(wallet, kind, owner)
        for asset in (None, *self.markets):
            for exchange in self.contracts.live:
                self.accounts.allow(wallet, asset, exchange.contract, MAX_ALLOWANCE)
            self.accounts.fund(wallet, asset, funds)

    def execute(self, batch: Batch, scopes: dict[Address, frozenset[str]]) -> None:
        """Run an owner's wallet call; a revoked session key loses its open orders.

        Raises:
            ChainCallRefused: see `Wallets.execute`.
        """
        self.wallets.execute(batch, scopes, self.now_s)
        self.advance()

    # --- time ---------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Unix milliseconds by the venue's clock."""
        return self.clock()

    @property
    def now_s(self) -> int:
        """Unix seconds by the venue's clock."""
        return self.clock() // 1000

    def advance(self) -> None:
        """Apply what the passage of time does to open orders."""
        now_s = self.now_s
        overdue = set(self.heartbeats.expire(self.now_ms))
        self._close(
            stored
            for stored in self._open.values()
            if stored.owner in overdue
            or (
                stored.order_type is OrderType.GTD
                and now_s >= stored.expiration_s - self.config.windows.gtd_security_s
            )
            or (
                stored.order.signature_type == WalletKind.DEPOSIT.value
                and not self.wallets.signs_for(stored.order.maker, stored.signed_by, now_s)
            )
        )

    # --- orders -------------------------------------------------------------------------------

    def check_mode(self, *, cancels: bool, post_only: bool = False) -> None:
        """Refuse what the engine does not take at the moment.

        Raises:
            EngineRestarting: 425.
            ModeRefusal: 503.
        """
        if self.mode is Mode.RESTARTING:
            raise EngineRestarting
        if self.mode is Mode.DISABLED:
            raise ModeRefusal("Trading is currently disabled. Check polymarket.com for updates")
        if self.mode is Mode.CANCEL_ONLY and not cancels:
            raise ModeRefusal(
                "Trading is currently cancel-only. "
                "New orders are not accepted, but cancels are allowed."
            )
        if self.mode is Mode.POST_ONLY and not (cancels or post_only):
            raise ModeRefusal("post-only mode: only post-only orders and cancels are allowed")

    def place(self, request: OrderRequest, key: ApiKey) -> Placement:
        """Take an order in, match it, and rest what remains.

        The checks run in this order: who (owner, maker, signer, signature), once (duplicate),
        what (amounts, tick, size), when (timestamp, expiration), how (post-only), and with what
        (balance, allowance). Nothing changes unless all pass.

        Raises:
            ApiError: the leaf that names the check.
        """
        self.check_mode(cancels=False, post_only=request.post_only)
        order = request.order
        if request.owner != key.key:
            raise WrongOrderOwner(expected=key.key, actual=request.owner)
        market = self.markets.get(order.token_id)
        if market is None:
            raise UnknownToken(order.token_id)
        exchange = self.contracts.exchange_for(order.token_id, neg_risk=market.neg_risk)
        self._welcome(order)
        authorised = authorise(
            order, request.signature, exchange, self.contracts, self.wallets, self.now_s
        )
        self._check_poster(order, key)
        order_id = "0x" + authorised.order_id.hex()
        self.submissions[authorised.order_id] += 1
        if authorised.order_id in self.orders:
            raise DuplicateOrder(order_id)
        terms = terms_of(order, order_id, request.order_type, market)
        self._check_times(request)
        if request.post_only and not request.order_type.rests:
            raise InvalidPostOnlyType(request.order_type.value)
        book = self.books[order.token_id]
        crosses = book.crosses(order.side, terms.price)
        if request.post_only and crosses:
            raise PostOnlyCrosses
        self._check_funds(order, exchange.contract)
        marketable = crosses or not request.order_type.rests
        if marketable and order.side is Side.BUY and terms.cash < self.config.min_marketable_cash:
            raise MarketableOrderTooSmall(
                base_text(terms.cash), base_text(self.config.min_marketable_cash)
            )
        plan = self._plan(order, request.order_type, terms)
        if request.order_type is OrderType.FOK and not plan.complete:
            raise FokNotFilled
        if request.order_type is OrderType.FAK and not plan.fills:
            raise FakNotFilled
        stored = StoredOrder(
            order_id=authorised.order_id,
            order=order,
            market=market,
            exchange=exchange,
            terms=terms,
            order_type=request.order_type,
            expiration_s=request.expiration_s,
            owner=key.key,
            posted_by=key.address,
            signed_by=authorised.signed_by,
            created_s=self.now_s,
        )
        return self._insert(stored, plan)

    def _welcome(self, order: Order) -> None:
        """With an open faucet, register and fund an EOA the first time it trades."""
        if (
            self.config.open_accounts
            and order.signature_type == WalletKind.EOA.value
            and order.maker == order.signer
            and self.wallets.kind_of(order.maker) is None
        ):
            self.open_account(
                order.maker, WalletKind.EOA, order.maker, funds=self.config.open_accounts
            )

    def _check_poster(self, order: Order, key: ApiKey) -> None:
        if order.signature_type == WalletKind.DEPOSIT.value:
            if not self.wallets.signs_for(order.maker, key.address, self.now_s):
                raise WrongOrderSigner(expected="a key of the wallet", actual=key.address)
        elif order.signer != key.address:
            raise WrongOrderSigner(expected=key.address, actual=order.signer)

    def _check_times(self, request: OrderRequest) -> None:
        windows, now_ms = self.config.windows, self.now_ms
        earliest = now_ms - windows.order_past_s * 1000
        latest = now_ms + windows.order_future_s * 1000
        if not earliest <= request.order.timestamp_ms <= latest:
            raise InvalidTimestamp(expected=(earliest, latest), actual=request.order.timestamp_ms)
        if request.order_type is OrderType.GTD:
            least = now_ms // 1000 + windows.gtd_lead_s
            if request.expiration_s < least:
                raise InvalidExpiration(expected=least, actual=request.expiration_s)
        elif request.expiration_s != 0:
            raise InvalidExpiration(expected=0, actual=request.expiration_s)

    def reserved(self, maker: Address, asset: int | None, spender: Address | None = None) -> int:
        """Base units of `asset` that `maker`'s open orders need, on one exchange or on all."""
        return sum(
            amount
            for stored in self._open.values()
            if stored.order.maker == maker and spender in (None, stored.exchange.contract)
            for held, amount in (stored.reserved,)
            if held == asset
        )

    def _check_funds(self, order: Order, spender: Address) -> None:
        asset = None if order.side is Side.BUY else order.token_id
        maker, needed = order.maker, order.maker_amount
        free = self.accounts.balance(maker, asset) - self.reserved(maker, asset)
        if free < needed:
            raise NotEnoughBalance(free, needed)
        allowed = self.accounts.allowance(maker, asset, spender)
        if allowed - self.reserved(maker, asset, spender) < needed:
            raise NotEnoughAllowance(spender, allowed, needed)

    def _plan(self, order: Order, order_type: OrderType, terms: Terms) -> Plan:
        """The match of an order; makers who can no longer pay lose their order first."""
        book = self.books[order.token_id]
        in_cash = order.side is Side.BUY and not order_type.rests
        while True:
            plan = (
                book.plan(order.side, terms.price, cash=terms.cash)
                if in_cash
                else book.plan(order.side, terms.price, shares=terms.shares)
            )
            broke = [
                stored
                for stored in (self.orders[fill.order_id] for fill in plan.fills)
                if not self._solvent(stored)
            ]
            if not broke:
                return plan
            self._close(broke)

    def _solvent(self, stored: StoredOrder) -> bool:
        asset, amount = stored.reserved
        maker, spender = stored.order.maker, stored.exchange.contract
        return (
            self.accounts.balance(maker, asset) >= amount
            and self.accounts.allowance(maker, asset, spender) >= amount
        )

    def _insert(self, stored: StoredOrder, plan: Plan) -> Placement:
        self.orders[stored.order_id] = stored
        self.books[stored.order.token_id].apply(plan)
        trades = tuple(
            self._settle(self.orders[fill.order_id], stored, fill.price, fill.shares, fill.cash)
            for fill in plan.fills
        )
        if stored.order_type.rests and stored.remaining > 0:
            self._rest(stored)
        elif trades:
            stored.status = OrderStatus.MATCHED
        bought, paid = plan.shares, plan.cash
        making, taking = (paid, bought) if stored.order.side is Side.BUY else (bought, paid)
        status = OrderStatus.MATCHED if trades else OrderStatus.LIVE
        self.on_change()
        return Placement(stored.order_id, status, making, taking, trades)

    def _rest(self, stored: StoredOrder) -> None:
        self._open[stored.order_id] = stored
        self.books[stored.order.token_id].add(
            stored.order_id, stored.order.side, stored.terms.price, stored.remaining
        )

    def _settle(
        self, maker: StoredOrder, taker: StoredOrder, price: int, shares: int, cash: int
    ) -> Trade:
        buyer, seller = (taker, maker) if taker.order.side is Side.BUY else (maker, taker)
        self.accounts.trade(
            buyer.order.maker,
            seller.order.maker,
            taker.order.token_id,
            shares,
            cash,
            taker.exchange.contract,
        )
        trade = Trade(
            trade_id=str(uuid.uuid4()),
            transaction_hash="0x" + keccak(secrets.token_bytes(32)).hex(),
            maker=maker,
            taker=taker,
            price=price,
            shares=shares,
            cash=cash,
            matched_s=self.now_s,
        )
        self.trades.append(trade)
        for side in (maker, taker):
            side.matched += shares
            side.trades.append(trade.trade_id)
        if maker.remaining == 0:
            maker.status = OrderStatus.MATCHED
            self._open.pop(maker.order_id, None)
        return trade

    # --- cancels and queries ------------------------------------------------------------------

    def may_see(self, key: ApiKey, stored: StoredOrder) -> bool:
        """Whether an order is `key`'s business: its address posted it or owns the maker."""
        owner = self.wallets.owner_of(stored.order.maker)
        return key.address in (stored.posted_by, owner)

    def open_orders(self, key: ApiKey) -> list[StoredOrder]:
        """The live orders `key` may see, oldest first."""
        return [stored for stored in self._open.values() if self.may_see(key, stored)]

    def cancel(
        self, order_ids: Iterable[bytes], key: ApiKey
    ) -> tuple[list[bytes], dict[bytes, str]]:
        """Cancel by id: the ids cancelled, and why each other one was not."""
        self.check_mode(cancels=True)
        canceled: list[bytes] = []
        refused: dict[bytes, str] = {}
        for order_id in order_ids:
            stored = self.orders.get(order_id)
            if stored is None or not self.may_see(key, stored):
                refused[order_id] = "order can't be found - already canceled or matched"
            elif order_id not in self._open:
                refused[order_id] = f"order already {stored.status.value.lower()}"
            else:
                self._close([stored])
                canceled.append(order_id)
        return canceled, refused

    def _close(self, orders: Iterable[StoredOrder]) -> None:
        for stored in list(orders):
            self.books[stored.order.token_id].remove(stored.order_id)
            self._open.pop(stored.order_id, None)
            stored.status = OrderStatus.CANCELED
        self.on_change()

    # --- house --------------------------------------------------------------------------------

    def house_order(
        self, token: int, side: Side, price: int, shares: int, *, rests: bool = True
    ) -> Placement:
        """Take in an order of the house, which is unsigned: nobody outside can be its maker.

        It matches like anybody's and then rests, or is killed. Who takes is another account than
        who rests, so that the house's trades have two sides. `shares` in base units.

        Raises:
            ValueError: no such price or size in this market.
        """
        market = self.markets[token]
        if not 0 < price < 10_000 or price % market.rule.tick or shares <= 0 or shares % LOT:
            raise ValueError("the house trades at ticks and in lots as well")
        maker = _HOUSE if rests else _STREET
        if self.wallets.kind_of(maker) is None:
            self.open_account(maker, WalletKind.EOA, maker)
        cash = shares * price // 10_000
        making, taking = (cash, shares) if side is Side.BUY else (shares, cash)
        self.accounts.fund(maker, None if side is Side.BUY else token, making)
        number, self._house_orders = self._house_orders, self._house_orders + 1
        order = Order(
            salt=number,
            maker=maker,
            signer=maker,
            token_id=token,
            maker_amount=making,
            taker_amount=taking,
            side=side,
            signature_type=0,
            timestamp_ms=self.now_ms,
            metadata=bytes(32),
            builder=bytes(32),
        )
        stored = StoredOrder(
            order_id=keccak(text=f"strongroom testnet seed {number}"),
            order=order,
            market=market,
            exchange=self.contracts.exchange_for(token, neg_risk=market.neg_risk),
            terms=Terms(price, shares, cash),
            order_type=OrderType.GTC if rests else OrderType.FAK,
            expiration_s=0,
            owner="house",
            posted_by=maker,
            signed_by=maker,
            created_s=self.now_s,
        )
        return self._insert(stored, self.books[token].plan(side, price, shares=shares))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Tell of everything that changes meanwhile as one change, at the end."""
        told, self.on_change = self.on_change, _nobody
        try:
            yield
        finally:
            self.on_change = told
            told()

    def house_cancel(self, order_id: bytes) -> None:
        """Take an order of the house off the book, if it is still there."""
        stored = self._open.get(order_id)
        if stored is not None and stored.owner == "house":
            self._close([stored])
