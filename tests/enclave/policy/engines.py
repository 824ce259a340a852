"""Ready-made engines for tests of whatever asks one: neither ever approves."""

from collections.abc import Callable, Sequence

from strongroom_enclave.signer.policy import Decision, Denied, PolicyEngine, ProposedOrder
from strongroom_wire.errors import Rule

__all__ = ["DenyingEngine", "FailingEngine"]


class DenyingEngine(PolicyEngine):
    """Denies everything under the rule it was made with, with limit 1 and actual 2."""

    rule = Rule.ORDER_NOTIONAL

    def decide(self, orders: Sequence[ProposedOrder], clock_now: Callable[[], int]) -> Decision:
        """Returns the denial of the first order."""
        return Denied(self.rule, 0, 1, 2)


class FailingEngine(PolicyEngine):
    """Cannot decide anything."""

    def decide(self, orders: Sequence[ProposedOrder], clock_now: Callable[[], int]) -> Decision:
        """Raises, as whatever is broken does."""
        raise RuntimeError("made to fail")
