"""Intents as a client writes them and replies as it reads them; `strongroom_wire.frames` has both
layouts, and the other direction of each."""

from itertools import accumulate, pairwise

from strongroom_wire.encoding import member, u256
from strongroom_wire.errors import Code, Malformed, Rule
from strongroom_wire.frames import INTENT, ORDER, REPLY, Intent, OrderIntent, Reply, packed

__all__ = ["intent_bytes", "order_bytes", "read_reply"]


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


def read_reply(data: bytes) -> Reply:
    """Returns the reply in a decrypted frame.

    Raises:
        Malformed: wrong length, unknown code or rule, padding not zero.
    """
    if len(data) < REPLY.size:
        raise Malformed("reply", f"{REPLY.size} bytes", len(data))
    code, rule, order, count, limit, actual, decision, *sizes = REPLY.unpack_from(data)
    bounds = list(accumulate(sizes, initial=REPLY.size + 32 * count))
    if len(data) != bounds[-1] or data[5:8] != b"\0\0\0":
        raise Malformed("reply", f"{bounds[-1]} bytes, zero padding", len(data))
    hashes = tuple([data[at : at + 32] for at in range(REPLY.size, bounds[0], 32)])
    outcome = (member(Code, code), decision, member(Rule, rule))
    parts = [data[start:end] for start, end in pairwise(bounds)]
    return Reply(*outcome, order, limit, actual, hashes, *parts)
