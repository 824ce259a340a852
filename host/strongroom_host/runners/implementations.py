"""Which implementation of each replaceable part is in use: compiled, or the pure-Python fallback.

`STRONGROOM_PURE=1` chooses the fallbacks everywhere, also in the enclave's processes.
"""

import asyncio
import os
from collections.abc import Callable
from importlib.util import find_spec

__all__ = ["event_loop", "in_use", "pure"]


def pure() -> bool:
    """Returns whether only fallbacks may be used."""
    return os.environ.get("STRONGROOM_PURE") == "1"


def event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Returns what makes event loops, for `asyncio.Runner`; None for asyncio's own."""
    if pure() or not _available("uvloop"):
        return None
    import uvloop

    return uvloop.new_event_loop


def in_use() -> dict[str, str]:
    """Returns part and implementation, as a person would name them."""
    return {
        "event loop": "uvloop" if event_loop() else "asyncio",
        "Keccak-256": "safe-pysha3" if not pure() and _available("sha3") else "pycryptodome",
        "secp256k1": "coincurve",
    }


def _available(module: str) -> bool:
    return find_spec(module) is not None
