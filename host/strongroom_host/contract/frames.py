"""Intents as a client writes them; `strongroom_wire.frames` has the layout, and how it is read."""

from strongroom_wire.encoding import u256
from strongroom_wire.frames import INTENT, ORDER, Intent, OrderIntent, packed

__all__ = ["intent_bytes", "order_bytes"]


def order_bytes(order: OrderIntent) -> bytes:
    """Returns the 80-byte encoding.

    Raises:
        Malformed: a number does not fit its field.
    """
    enums = (order.side, order.order_type, order.tick, order.flags, 0)
    numbers = (order.price, order.size, order.salt, order.timestamp, order.expiration)
    return packed(ORDER, u256(order.token), *enums, *numbers)


def intent_bytes(intent: Intent) -> bytes:
    """Returns the plaintext of the frame.

    Raises:
        Malformed: a number does not fit its field.
    """
    numbers = (intent.kind, len(intent.orders), intent.key, 0, intent.timestamp, intent.deadline)
    orders = [order_bytes(order) for order in intent.orders]
    return b"".join((packed(INTENT, *numbers), *orders, intent.argument))
