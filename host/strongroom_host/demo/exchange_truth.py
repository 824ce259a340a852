"""What the exchanges know of an account: trades that happened, which nobody else may see.

For the narrator, who has to know what to look for. No real exchange answers like this.
"""

import ssl
from typing import Final

import httpx
import msgspec

from strongroom_host.demo.processes import ExchangesReady
from strongroom_host.demo.story import DemoFailed
from strongroom_host.venues.app import ADMIN_HEADER, ADMIN_HOST

__all__ = ["Truth", "telling", "truth_of"]

_LEAST_DIGITS: Final = 7
"""Shorter numbers are found anywhere by chance."""


class _Row(msgspec.Struct, frozen=True):
    type: str
    id: str
    amount: str
    price: str = ""


class Truth(msgspec.Struct, frozen=True):
    """How much happened, and `marks`: texts that whoever can read a trade would see. Fees are not
    among them: those of an hour with one trade are that trade's, and the exact tier shows them."""

    trades: int
    flows: int
    marks: frozenset[str]


def truth_of(ready: ExchangesReady, exchange: str) -> Truth:
    """Returns what really happened in the account at an exchange.

    Raises:
        DemoFailed: the exchanges refused to tell.
    """
    context = ssl.create_default_context(cafile=str(ready.ca))
    with httpx.Client(verify=context, timeout=10.0, trust_env=False) as client:
        answer = client.get(
            f"https://{ready.host}:{ready.port}/truth/{exchange}/main",
            headers={"Host": ADMIN_HOST, ADMIN_HEADER: ready.admin_token},
            extensions={"sni_hostname": ADMIN_HOST},
        )
    if answer.status_code != 200:
        raise DemoFailed("the exchanges do not tell", expected=200, actual=answer.status_code)
    rows = msgspec.json.decode(answer.content, type=list[_Row])
    trades = [row for row in rows if row.type == "trade"]
    texts = {text for row in trades for text in (row.id, row.amount, row.price)}
    return Truth(len(trades), len(rows) - len(trades), frozenset(filter(telling, texts)))


def telling(text: str) -> bool:
    """Returns whether a text is long enough to be found only where it was written down."""
    return sum(letter.isalnum() for letter in text.strip("0.")) >= _LEAST_DIGITS
