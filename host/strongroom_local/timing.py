"""How long the signer's own steps take on this machine, one by one, in this process.

`python -m strongroom_local.timing [ROUNDS]` prints one JSON object: samples in ns by step. Nobody
outside sees into a running enclave; this runs the same code beside it.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from secrets import token_bytes

from strongroom_enclave.signer.amounts import Side, Tick, limit_amounts
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import OrderType, RequestBuilder
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.nonces import NoncePool
from strongroom_enclave.signer.orders import Account, Order, SignatureType
from strongroom_enclave.signer.policy import Approved, PolicyEngine, ProposedOrder
from strongroom_wire.frames import OrderIntent
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.manifest import Market, Policy, Window
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.statements import Budget

__all__ = ["steps"]

_TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
_NOW_MS = 1_790_000_000_000
_POOL = 1000


def steps(rounds: int) -> dict[str, list[int]]:
    """Returns the times of each step in ns; `sign ahead` is with nonces made beforehand."""
    secret = token_bytes(31) + b"\x01"
    pool = NoncePool(secret, _POOL)
    key, ahead = SigningKey(secret), SigningKey(secret, pool)
    account = Account(key.address, SignatureType.EOA, key.address)
    credential = ApiCredential("0" * 36, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "phrase")
    builder = RequestBuilder("clob.polymarket.com", account, credential)
    exchange = Exchange.POLYGON_V2
    intent = OrderIntent(_TOKEN, 0, 0, 1, 0, 570_000, 12_340_000, 0, _NOW_MS, 0)
    amounts = limit_amounts(Side.BUY, 570_000, 12_340_000, Tick.HUNDREDTH)
    head = (7, account.maker, account.signer, _TOKEN, *amounts, Side.BUY, SignatureType.EOA)
    order = Order(*head, _NOW_MS, bytes(32), bytes(32))
    signed = key.sign_order(order, exchange, account)
    digest, tree = signed.order_hash, Frontier()

    def log() -> None:
        opening = token_bytes(32) + bytes(280)
        leaf = Leaf(Kind.SIGNED, bytes(32), tree.size, _NOW_MS, commitment(opening), b"")
        tree.append(leaf_hash(leaf.serialise()))

    refill = pool.refill
    return {
        "policy": _timed(_policy(), rounds),
        "hash": _timed(lambda: exchange.digest(order.struct_hash()), rounds),
        "sign": _timed(lambda: key._sign_digest(digest), rounds),  # noqa: SLF001
        "sign ahead": _timed(lambda: ahead._sign_digest(digest), rounds, refill),  # noqa: SLF001
        "build": _timed(lambda: builder.post([(signed, intent)], _NOW_MS // 1000), rounds),
        "log": _timed(log, rounds),
    }


def _policy() -> Callable[[], object]:
    market = Market(str(_TOKEN), "v2", ("buy", "sell"), Decimal("0.01"), Decimal("0.99"))
    windows = tuple(Window(seconds, Decimal(10**9)) for seconds in (60, 3600, 86400))
    limits = (Decimal(100), windows, 1_000_000, 0, 600, "00" * 32, "00" * 32)
    engine = PolicyEngine(Policy((market,), ("GTC",), *limits))
    engine.permit(Budget("main", 10**18, 10**9), 1 << 48)
    asked = (_TOKEN, Side.BUY, OrderType.GTC, 1, 0, 570_000, 12_340_000, 0, _NOW_MS, 0)
    order = ProposedOrder(*asked, "v2", 7_033_800, 12_340_000, 0)

    def decide() -> object:
        verdict = engine.decide([order], lambda: _NOW_MS)
        if not isinstance(verdict, Approved):
            raise RuntimeError(f"the policy refused: {verdict}")
        return verdict

    return decide


def _timed(
    job: Callable[[], object], rounds: int, before: Callable[[], object] = lambda: None
) -> list[int]:
    """Returns how long each of `rounds` calls of `job` took, each after one of `before`."""
    for _ in range(20):
        before()
        job()
    taken = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            before()
            start = time.perf_counter_ns()
            job()
            taken.append(time.perf_counter_ns() - start)
    finally:
        gc.enable()
    return taken


def main(arguments: Sequence[str]) -> None:
    """Prints the samples."""
    json.dump(steps(int(arguments[0]) if arguments else 2000), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
