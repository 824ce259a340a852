"""The recorded answers of the official Polymarket packages, as parameters and as our types."""

import json
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from strongroom_enclave.signer.amounts import Amounts, Side, Tick, limit_amounts, market_amounts
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.orders import Account, Order, SignatureType

from tests.vectors.index import VECTORS, absence

__all__ = [
    "Case", "account_of", "amounts_of", "exchange_of", "key_of", "micro", "order_of", "recorded",
    "section", "unhex",
]  # fmt: skip

Case = Any
"""One JSON object of vectors.json; its shape differs by section."""


@cache
def _all() -> Any:
    return json.loads((VECTORS / "polymarket" / "vectors.json").read_bytes())


def section(name: str) -> Any:
    """Return a section of vectors.json."""
    return _all()[name]


def recorded(name: str) -> list[Any]:
    """Return pytest parameters (id, case) of a section; one skipped parameter without vectors."""
    if reason := absence():
        return [pytest.param("absent", None, marks=pytest.mark.skip(reason=reason), id="absent")]
    cases = section(name)
    pairs = list(cases.items()) if isinstance(cases, dict) else list(enumerate(cases))
    named = [
        (case.get("name", key) if isinstance(case, dict) else key, case) for key, case in pairs
    ]
    return [pytest.param(str(key), case, id=str(key)) for key, case in named]


def unhex(text: str) -> bytes:
    """Return the bytes of 0x-prefixed hex."""
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def micro(number: str | float | int) -> int:
    """Return a decimal number in millionths; the shortest spelling of a float is what was meant."""
    scaled = Decimal(str(number)).scaleb(6)
    assert scaled == int(scaled), number
    return int(scaled)


def key_of(address: str) -> SigningKey:
    """Return the recorded key with this address."""
    found = [key for key in section("keys").values() if key["address"] == address]
    return SigningKey(unhex(found[0]["privateKey"]))


def exchange_of(case: Case) -> Exchange:
    """Return our exchange for a V2 or V3 case, found by chain and contract address."""
    contract = unhex(case["verifyingContract"])
    wanted = (case["chainId"], contract, "v" + case["exchangeVersion"])
    matching = [e for e in Exchange if (e.chain_id, e.address, e.label[:2]) == wanted]
    assert len(matching) == 1
    return matching[0]


def order_of(message: Case) -> Order:
    """Return our order for a recorded V2/V3 message."""
    return Order(
        salt=int(message["salt"]),
        maker=unhex(message["maker"]),
        signer=unhex(message["signer"]),
        token_id=int(message["tokenId"]),
        maker_amount=int(message["makerAmount"]),
        taker_amount=int(message["takerAmount"]),
        side=Side(message["side"]),
        signature_type=SignatureType(message["signatureType"]),
        timestamp=int(message["timestamp"]),
        metadata=unhex(message["metadata"]),
        builder=unhex(message["builder"]),
    )


def account_of(key: SigningKey, order: Order, *, session: bool = False) -> Account:
    """Return the account whose order this is."""
    return Account(key.address, order.signature_type, order.maker, session)


def amounts_of(inputs: Case) -> Amounts:
    """Return our amounts for recorded human inputs: price, size, side, tick, market or limit."""
    compute = market_amounts if inputs.get("market") else limit_amounts
    price, size = micro(inputs["price"]), micro(inputs["size"])
    return compute(Side[inputs["side"]], price, size, Tick(micro(inputs["tick"])))
