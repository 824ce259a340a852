"""How a consumer waits for the next tick."""

from enum import Enum

__all__ = ["Wait"]


class Wait(Enum):
    """What a consumer does while there is nothing new, from the fastest to the most frugal."""

    SPIN = "spin"
    """Looks again at once. Takes a whole core; the latency is that of the memory."""
    YIELD = "yield"
    """Looks again after letting other processes run. Takes a core that nobody else wants."""
    BLOCK = "block"
    """Sleeps until the producer wakes it: tens of microseconds later, but no core is taken."""
