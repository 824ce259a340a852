"""The way in and out of an enclave under QEMU: a vsock device in a process of its own."""

from strongroom_host.vsock.backend import Backend, BackendConfig
from strongroom_host.vsock.errors import BackendRefused, BadMapping, FrontEndFault, GuestFault
from strongroom_host.vsock.table import Limits

__all__ = [
    "Backend",
    "BackendConfig",
    "BackendRefused",
    "BadMapping",
    "FrontEndFault",
    "GuestFault",
    "Limits",
]
