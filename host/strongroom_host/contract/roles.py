"""Whose keys a bundle has: the enclave only ever writes it, everybody else looks keys up in it."""

from strongroom_wire.bundle import Bundle, Role, RoleKeys
from strongroom_wire.errors import Malformed

__all__ = ["role_keys"]


def role_keys(bundle: Bundle, role: Role) -> RoleKeys:
    """Returns the keys of `role` in a bundle.

    Raises:
        Malformed: this boot has none (not Configured, or no such process).
    """
    for entry in bundle.roles:
        if entry.role is role:
            return entry
    there = [entry.role.name for entry in bundle.roles]
    raise Malformed("bundle", f"keys of {role.name.lower()}", there)
