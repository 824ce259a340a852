"""The kernel's configuration fragment, and the proof that a kernel was built with all of it.

Kconfig never refuses: an option whose dependency is missing, whose name changed, or that another
one forces, silently becomes something else. So a hardening option can be lost by an upgrade, and
nobody sees it. Here what comes out is compared with what was asked for.
"""

import re
from collections.abc import Mapping
from typing import Final

from strongroom_eif.recipe.errors import KernelOptionLost, PinsInvalid

__all__ = ["check_options", "options"]

_SET: Final = re.compile(r'(CONFIG_[A-Z0-9_a-z]+)=(y|-?[0-9]+|0x[0-9a-f]+|"[^"\\]*")')
_UNSET: Final = re.compile(r"# (CONFIG_[A-Z0-9_a-z]+) is not set")
_OFF: Final = "not set"


def options(fragment: str) -> dict[str, str]:
    """Returns what a fragment asks for, by symbol: a value as written, or `not set`.

    Raises:
        PinsInvalid: A line is neither an assignment of Kconfig's nor a comment, or a symbol occurs
            twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(fragment.splitlines(), 1):
        if assigned := _SET.fullmatch(line):
            name, value = assigned.groups()
        elif unset := _UNSET.fullmatch(line):
            name, value = unset[1], _OFF
        elif not line or re.match(r"#($| (?!CONFIG_))", line):
            continue
        else:
            raise PinsInvalid(
                f"line {number} of the kernel's configuration is not understood",
                expected="CONFIG_NAME=y, a number or a string; or: # CONFIG_NAME is not set",
                actual=ascii(line[:80]),
            )
        check_once(name, found)
        found[name] = value
    return found


def check_options(wanted: Mapping[str, str], config: str) -> None:
    """Proves that a complete configuration (`.config`) has every option as it was asked for.

    Raises:
        KernelOptionLost: At least one is another; all of them are named.
    """
    found = {}
    for line in config.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = value
    lost = [
        f"{name} is {found.get(name, _OFF)} instead of {value}"
        for name, value in wanted.items()
        if found.get(name, _OFF) != value
    ]
    if lost:
        raise KernelOptionLost(
            f"{len(lost)} options of the kernel's configuration were not taken over",
            expected="every option of reproducible-build/kernel/config",
            actual="; ".join(lost),
            remedy="look the symbol up in the kernel's Kconfig files: its name or what it depends "
            "on has changed",
        )


def check_once(name: str, found: Mapping[str, str]) -> None:
    """Refuses a symbol that is assigned twice: Kconfig would take the last."""
    if name in found:
        raise PinsInvalid(f"the kernel's configuration sets {name} twice")
