"""What the testnet refuses, in the words and status codes of the real CLOB.

Every refusal of the API is an `ApiError`: its `status` and text go onto the wire as
``{"error": text}``. Leaves exist for each check a client's safety rests on, so that tests name the
check and not a sentence. `expected` and `actual` stay in the process: the real server does not
explain itself either.
"""

from __future__ import annotations

from typing import ClassVar

from strongroom_host.errors import BadInput, HostError

__all__ = [
    "AmountsTooPrecise",
    "ApiError",
    "ChainCallRefused",
    "ConfigError",
    "DuplicateOrder",
    "EngineRestarting",
    "FakNotFilled",
    "FokNotFilled",
    "HeartbeatMismatch",
    "InvalidExpiration",
    "InvalidOrderId",
    "InvalidOrderPayload",
    "InvalidPostOnlyType",
    "InvalidSignature",
    "InvalidTimestamp",
    "KeyRefused",
    "L1Rejected",
    "MakerNotAllowed",
    "MarketableOrderTooSmall",
    "ModeRefusal",
    "NotEnoughAllowance",
    "NotEnoughBalance",
    "NotFound",
    "OrderVersionMismatch",
    "PostOnlyCrosses",
    "PriceOffTick",
    "PriceOutOfBounds",
    "RateLimited",
    "SizeTooSmall",
    "TooManyOrders",
    "Unauthorized",
    "UnknownToken",
    "WrongOrderOwner",
    "WrongOrderSigner",
]


class ConfigError(BadInput):
    """The configuration given to the testnet makes no sense."""


class ApiError(HostError):
    """A refusal that the client sees as ``{"error": what}`` with `status`."""

    status: ClassVar[int] = 400


class L1Rejected(ApiError):
    """The ClobAuth headers are malformed, stale, or not signed by the address they name."""

    status: ClassVar[int] = 401

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("Invalid L1 Request headers", expected=expected, actual=actual)


class Unauthorized(ApiError):
    """The API-key headers are malformed, stale, or do not authenticate this very request."""

    status: ClassVar[int] = 401

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("Unauthorized/Invalid api key", expected=expected, actual=actual)


class KeyRefused(ApiError):
    """An API key could not be created (it exists) or derived (it does not)."""


class NotFound(ApiError):
    """The thing asked for does not exist."""

    status: ClassVar[int] = 404


class UnknownToken(NotFound):
    """No market trades that token."""

    def __init__(self, token: object) -> None:
        super().__init__("No orderbook exists for the requested token id", actual=token)


class EngineRestarting(ApiError):
    """425: the matching engine restarts; nothing was taken in."""

    status: ClassVar[int] = 425

    def __init__(self) -> None:
        super().__init__("matching engine is restarting")


class ModeRefusal(ApiError):
    """503: trading is disabled, or only cancels are taken."""

    status: ClassVar[int] = 503


class RateLimited(ApiError):
    """429: the signer's token bucket is empty; nothing was taken in."""

    status: ClassVar[int] = 429

    def __init__(self) -> None:
        super().__init__("Too Many Requests")


class InvalidOrderPayload(ApiError):
    """The body is not the JSON of an order request."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("Invalid order payload", expected=expected, actual=actual)


class InvalidOrderId(ApiError):
    """Not a 0x-prefixed 32-byte order hash."""

    def __init__(self, actual: object = None) -> None:
        super().__init__("Invalid orderID", actual=actual)


class TooManyOrders(ApiError):
    """A batch is longer than the server takes."""

    def __init__(self, count: int, most: int) -> None:
        super().__init__(
            f"Too many orders in payload: {count}, max allowed: {most}",
            expected=most,
            actual=count,
        )


class WrongOrderOwner(ApiError):
    """`owner` is not the API key that authenticated the request."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__(
            "the order owner has to be the owner of the API KEY", expected=expected, actual=actual
        )


class WrongOrderSigner(ApiError):
    """The order's signer does not belong to the API key's address."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__(
            "the order signer address has to be the address of the API KEY",
            expected=expected,
            actual=actual,
        )


class MakerNotAllowed(ApiError):
    """The maker is no registered account of the signature type it claims."""

    def __init__(self, actual: object = None) -> None:
        super().__init__(
            "maker address not allowed, please use the deposit wallet flow", actual=actual
        )


class OrderVersionMismatch(ApiError):
    """The order is of another exchange version than the one that trades its token."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("order_version_mismatch", expected=expected, actual=actual)


class InvalidSignature(ApiError):
    """The signature does not prove that the maker's key signed this order for this exchange."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("invalid signature", expected=expected, actual=actual)


class InvalidTimestamp(ApiError):
    """The signed millisecond timestamp lies outside the accepted window."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("invalid timestamp", expected=expected, actual=actual)


class InvalidExpiration(ApiError):
    """The expiration is in the past, too near, or set on an order type that has none."""

    def __init__(self, *, expected: object = None, actual: object = None) -> None:
        super().__init__("invalid expiration", expected=expected, actual=actual)


class DuplicateOrder(ApiError):
    """The same order hash was taken in before."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} is invalid. Duplicated.", actual=order_id)


class PriceOffTick(ApiError):
    """makerAmount and takerAmount imply a price between two ticks."""

    def __init__(self, order_id: str, price: str, tick: str) -> None:
        super().__init__(
            f"order {order_id} is invalid. Price ({price}) breaks minimum tick size rule: {tick}",
            expected=tick,
            actual=price,
        )


class PriceOutOfBounds(ApiError):
    """The price is below one tick or above one minus a tick."""

    def __init__(self, price: str, low: str, high: str) -> None:
        super().__init__(
            f"invalid price ({price}), min: {low} - max: {high}",
            expected=(low, high),
            actual=price,
        )


class SizeTooSmall(ApiError):
    """Fewer shares than the market's minimum."""

    def __init__(self, order_id: str, size: str, least: str) -> None:
        super().__init__(
            f"order {order_id} is invalid. Size ({size}) lower than the minimum: {least}",
            expected=least,
            actual=size,
        )


class MarketableOrderTooSmall(ApiError):
    """A BUY that would match at once is worth less than the minimum notional."""

    def __init__(self, cash: str, least: str) -> None:
        super().__init__(
            f"invalid amount for a marketable BUY order (${cash}), min size: ${least}",
            expected=least,
            actual=cash,
        )


class AmountsTooPrecise(ApiError):
    """An amount has more decimals than the market's tick size allows."""

    def __init__(self, kind: str, maker_places: int, taker_places: int) -> None:
        super().__init__(
            f"invalid amounts, the {kind} orders maker amount supports a max accuracy of "
            f"{maker_places} decimals, taker amount a max of {taker_places} decimals",
            expected=(maker_places, taker_places),
        )


class InvalidPostOnlyType(ApiError):
    """postOnly on an order type that never rests."""

    def __init__(self, order_type: str) -> None:
        super().__init__(
            "invalid post-only order: only GTC and GTD order types are allowed",
            expected="GTC or GTD",
            actual=order_type,
        )


class PostOnlyCrosses(ApiError):
    """A post-only order would match at once."""

    def __init__(self) -> None:
        super().__init__("invalid post-only order: order crosses book")


class NotEnoughBalance(ApiError):
    """The maker's balance, less what its open orders reserve, does not cover the order."""

    def __init__(self, balance: int, needed: int) -> None:
        super().__init__(
            "not enough balance / allowance: the balance is not enough -> "
            f"balance: {balance}, order amount: {needed}",
            expected=needed,
            actual=balance,
        )


class NotEnoughAllowance(ApiError):
    """The maker has not allowed this exchange contract to move enough."""

    def __init__(self, spender: str, allowance: int, needed: int) -> None:
        super().__init__(
            "not enough balance / allowance: the allowance is not enough -> "
            f"spender: {spender}, allowance: {allowance}, order amount: {needed}",
            expected=needed,
            actual=allowance,
        )


class FokNotFilled(ApiError):
    """A fill-or-kill order met too little liquidity; nothing was traded."""

    def __init__(self) -> None:
        super().__init__("order couldn't be fully filled. FOK orders are fully filled or killed.")


class FakNotFilled(ApiError):
    """A fill-and-kill order met no liquidity at all."""

    def __init__(self) -> None:
        super().__init__(
            "no orders found to match with FAK order. "
            "FAK orders are partially filled or killed if no match is found."
        )


class HeartbeatMismatch(ApiError):
    """A heartbeat named another id than the last one handed out."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__("Invalid Heartbeat ID", expected=expected, actual=actual)


class ChainCallRefused(ApiError):
    """The stand-in for the chain would have reverted this wallet call."""
