"""A signed request is worth something only around the time at which it was decided."""

import msgspec
import pytest
from strongroom_wire.errors import Code, Rule

from tests.hostile.driver import Boot


@pytest.mark.parametrize("ahead_s", [120, 86_400, 1 << 60])
def test_an_order_cannot_be_stockpiled_under_headers_of_the_future(
    ready: Boot, ahead_s: int
) -> None:
    """Its HMAC would be good when the permit is over, the kill switch thrown and all cancelled."""
    channel = ready.channel()
    before = channel.signed_so_far()
    intent = ready.buying(5)
    later = msgspec.structs.replace(intent, timestamp=intent.timestamp + ahead_s)
    reply = channel.ask(later)
    assert (reply.code, reply.rule, reply.request) == (Code.DENIED, Rule.TIMESTAMP, b"")
    assert channel.signed_so_far() == before
