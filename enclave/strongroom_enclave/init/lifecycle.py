"""The lifecycle as one table: which phases answer a request, and where success leads.

In any other phase a request is refused with WRONG_PHASE. A refusal (our own typed error) leaves the
phase as it was; any other failure, and the death of a process, always leads to Halted. The diagram
in the folder's README is generated from this table.
"""

from enum import IntEnum
from typing import NamedTuple

from strongroom_enclave.messages import Kind

# Numbered as `Phase` of the control plane. BOOTED: no keys exist; evidence carries
# none. CONFIGURED: the manifest is in PCR16, the processes have keys, evidence carries them. READY:
# a start permit lets this boot sign. HALTED: something failed after the point of no return, and
# only a new boot helps.
Phase = IntEnum("Phase", "BOOTED CONFIGURED READY HALTED")


class Route(NamedTuple):
    """Handler (a method of `Init`), the phases that have it, and the one after success, if new."""

    handler: str
    phases: tuple[Phase, ...]
    success: Phase | None = None


_B, _C, _R, _H = Phase

ROUTES: dict[int, Route] = {
    Kind.STATUS: Route("status", (_B, _C, _R, _H)),
    Kind.EVIDENCE: Route("evidence", (_B, _C, _R)),
    Kind.LOAD_MANIFEST: Route("load_manifest", (_B,), _C),
    Kind.SUBMIT_PERMIT: Route("permit", (_C, _R), _R),
    Kind.SUBMIT_ORDER: Route("order", (_C, _R)),
}
