"""The event loop that feeds run on: uvloop where it is, asyncio's own where it is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["loop_factory"]


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop; STRONGROOM_PURE=1 asks for asyncio's own."""
    if not os.environ.get("STRONGROOM_PURE"):
        try:
            import uvloop
        except ImportError:
            pass
        else:
            made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
            return made
    return asyncio.new_event_loop
