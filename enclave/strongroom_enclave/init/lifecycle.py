"""The lifecycle as one table: what each phase answers, and where that leads.

A request that a phase does not list is refused with WRONG_PHASE. A refusal (our own typed error)
leads to `refused`; any other failure, and the death of a process, always leads to Halted. The
diagram in the folder's README is generated from this table.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from strongroom_enclave.messages import Kind

__all__ = ["ROUTES", "Phase", "Route"]


class Phase(IntEnum):
    """Numbers are those of `StatusReply.Phase` in the control plane."""

    BOOTED = 1
    """No keys exist; evidence carries none."""
    CONFIGURED = 2
    """The manifest is in PCR16, the processes have keys, evidence carries them."""
    READY = 3
    """A start permit lets this boot sign."""
    HALTED = 4
    """Something failed after the point of no return. Only a new boot helps."""


class Route(NamedTuple):
    """Handler (a method of `Init`), and the phase after success and after a refusal."""

    handler: str
    ok: Phase
    refused: Phase


_B, _C, _R, _H = Phase

ROUTES: Final[dict[tuple[Phase, Kind], Route]] = {
    (_B, Kind.STATUS): Route("status", _B, _B),
    (_B, Kind.EVIDENCE): Route("evidence", _B, _B),
    (_B, Kind.LOAD_MANIFEST): Route("load_manifest", _C, _B),
    (_C, Kind.STATUS): Route("status", _C, _C),
    (_C, Kind.EVIDENCE): Route("evidence", _C, _C),
    (_C, Kind.SUBMIT_PERMIT): Route("permit", _R, _C),
    (_C, Kind.SUBMIT_ORDER): Route("forward", _C, _C),
    (_C, Kind.OPEN_CHANNEL): Route("forward", _C, _C),
    (_C, Kind.EXCHANGE_FRAME): Route("forward", _C, _C),
    (_R, Kind.STATUS): Route("status", _R, _R),
    (_R, Kind.EVIDENCE): Route("evidence", _R, _R),
    (_R, Kind.SUBMIT_PERMIT): Route("permit", _R, _R),
    (_R, Kind.SUBMIT_ORDER): Route("forward", _R, _R),
    (_R, Kind.OPEN_CHANNEL): Route("forward", _R, _R),
    (_R, Kind.EXCHANGE_FRAME): Route("forward", _R, _R),
    (_H, Kind.STATUS): Route("status", _H, _H),
}
