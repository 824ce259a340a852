"""Balances and allowances of every maker, in base units.

Money never appears or vanishes except through `fund`: a trade moves the same integer out of one
account and into another. Assets are the collateral (None) and tokens (their id).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from strongroom_host.testnet.contracts import Address

__all__ = ["MAX_ALLOWANCE", "Accounts", "Asset"]

Asset = int | None
"""A token id, or None for the collateral."""

MAX_ALLOWANCE: Final = (1 << 256) - 1


class Accounts:
    """Who holds what, and which exchange contract may move it."""

    def __init__(self) -> None:
        self._balances: dict[tuple[Address, Asset], int] = defaultdict(int)
        self._allowances: dict[tuple[Address, Asset, Address], int] = defaultdict(int)

    def fund(self, holder: Address, asset: Asset, amount: int) -> None:
        """Mint `amount` base units to `holder`.

        Raises:
            ValueError: a negative amount.
        """
        if amount < 0:
            raise ValueError("funding cannot be negative")
        self._balances[holder, asset] += amount

    def allow(self, holder: Address, asset: Asset, spender: Address, amount: int) -> None:
        """Set what `spender` may move of `holder`'s `asset`."""
        self._allowances[holder, asset, spender] = amount

    def balance(self, holder: Address, asset: Asset) -> int:
        """Base units held."""
        return self._balances.get((holder, asset), 0)

    def allowance(self, holder: Address, asset: Asset, spender: Address) -> int:
        """Base units that `spender` may move."""
        return self._allowances.get((holder, asset, spender), 0)

    def total(self, asset: Asset) -> int:
        """Base units in existence."""
        return sum(amount for (_, held), amount in self._balances.items() if held == asset)

    def trade(
        self, buyer: Address, seller: Address, token: int, shares: int, cash: int, spender: Address
    ) -> None:
        """Swap `shares` of `token` for `cash` through the exchange `spender`.

        Raises:
            ValueError: either side lacks balance or allowance; nothing moved.
        """
        for holder, asset, amount in ((buyer, None, cash), (seller, token, shares)):
            if self.balance(holder, asset) < amount:
                raise ValueError(f"{holder} lacks balance")
            if self.allowance(holder, asset, spender) < amount:
                raise ValueError(f"{holder} lacks allowance")
        for giver, taker, asset, amount in (
            (buyer, seller, None, cash),
            (seller, buyer, token, shares),
        ):
            self._balances[giver, asset] -= amount
            self._balances[taker, asset] += amount
            # An infinite allowance is not used up (the ERC-20 custom, and operator approval).
            if self._allowances[giver, asset, spender] != MAX_ALLOWANCE:
                self._allowances[giver, asset, spender] -= amount
