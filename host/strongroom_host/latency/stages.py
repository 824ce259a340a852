"""The stages between a frame of market data and the venue's answer, and who can time which.

Live stages are stamped by the trading process itself, in every order. What happens inside the
enclave is not visible from outside it: that is measured apart, on the same machine, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["LIVE", "PARTS", "Stage", "Where"]


class Where(Enum):
    """Where a figure comes from."""

    LIVE = "live"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class _Facts:
    title: str
    what: str
    where: Where


class Stage(Enum):
    """One stage; its place is that in the statistics file."""

    FEED = _Facts("feed, ring", "frame arrived -> tick read", Where.LIVE)
    DECIDE = _Facts("decide", "tick -> decision", Where.LIVE)
    INTENT = _Facts("intent", "gates, and the decision as 168 bytes", Where.LIVE)
    SEAL = _Facts("seal", "AES-256-GCM of the intent", Where.LIVE)
    ENCLAVE = _Facts("enclave", "frame out -> frame back: channel and all inside", Where.LIVE)
    OPEN = _Facts("open", "reply authenticated and read", Where.LIVE)
    JOURNAL = _Facts("journal", "order hash on the disk", Where.LIVE)
    FRAME = _Facts("frame", "request framed, sealed and given to the network", Where.LIVE)
    RELAY = _Facts("relay", "request whole at the relay -> written to the venue", Where.LIVE)
    UPSTREAM = _Facts("TLS and venue", "written to the venue -> its whole answer", Where.LIVE)
    ANSWER = _Facts("answer", "request out -> answer here, the two above included", Where.LIVE)
    SIGNED = _Facts("tick to signed", "frame arrived -> request complete", Where.LIVE)
    OUT = _Facts("tick to sent", "frame arrived -> request with the network", Where.LIVE)
    DECODE = _Facts("feed decode", "one message -> ticks", Where.APART)
    RING = _Facts("ring", "published and read again, in one process", Where.APART)
    POLICY = _Facts("policy", "all rules of one order", Where.APART)
    HASH = _Facts("hash", "EIP-712 digest", Where.APART)
    SIGN = _Facts("sign", "secp256k1, RFC 6979", Where.APART)
    SIGN_AHEAD = _Facts("sign, nonce ahead", "secp256k1 with a nonce of the pool", Where.APART)
    BUILD = _Facts("build", "body, HMAC, head", Where.APART)
    LOG = _Facts("log", "leaf and tree", Where.APART)

    @property
    def title(self) -> str:
        """Its name in a table."""
        return self.value.title

    @property
    def what(self) -> str:
        """From where to where."""
        return self.value.what

    @property
    def where(self) -> Where:
        """Who can time it."""
        return self.value.where


LIVE = tuple(stage for stage in Stage if stage.where is Where.LIVE)
"""What a trading process stamps."""
PARTS = (
    Stage.FEED,
    Stage.DECIDE,
    Stage.INTENT,
    Stage.SEAL,
    Stage.ENCLAVE,
    Stage.OPEN,
    Stage.JOURNAL,
    Stage.FRAME,
)
"""The stages that add up to `Stage.OUT`, in order."""
