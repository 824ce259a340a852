"""What can go wrong while starting, watching and stopping an enclave on this machine."""

from strongroom_host.errors import BadInput, EnvironmentFault

__all__ = [
    "EnclaveDidNotStart",
    "EnclaveEnded",
    "EnclaveHalted",
    "ListenFailed",
    "RunDirectoryInUse",
    "RunDirectoryRefused",
]


class RunDirectoryRefused(BadInput):
    """The run directory cannot be one: too long a path, somebody else's, or full of other files."""


class RunDirectoryInUse(EnvironmentFault):
    """Another boot lives in the run directory."""


class ListenFailed(EnvironmentFault):
    """A TCP port cannot be listened on."""


class EnclaveDidNotStart(EnvironmentFault):
    """The enclave ended, or said nothing, before it was ready."""


class EnclaveEnded(EnvironmentFault):
    """The enclave's processes are gone, and nobody here asked for that."""


class EnclaveHalted(EnclaveEnded):
    """The boot is over by its own decision: it answers nothing but that."""
