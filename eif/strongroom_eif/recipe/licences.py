"""Under which licence each package is, in the words of its own papers.

Debian packages say it in `copyright`, mostly in the form that Debian's policy describes
(copyright-format 1.0); wheels in METADATA. Where neither can be read by a program, `system.toml`
says it, after somebody read the papers.
"""

import re
from email.parser import HeaderParser
from typing import Final

from strongroom_eif.recipe.content_errors import LicenceUnknown

__all__ = ["Licence", "is_expression", "of_debian", "of_wheel"]

_FORMAT: Final = re.compile(r"Format: https?://\S*copyright-format/1\.0/?")
_CLASSIFIER: Final = "License :: "
_SPDX: Final = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")

Licence = tuple[str, ...]
"""One SPDX expression, or several names that are the package's own words."""


def of_debian(origin: str, copyright_text: str) -> Licence:
    """Returns the short names in a Debian copyright file, in its order, each once.

    Raises:
        LicenceUnknown: It is not in the form that a program can read.
    """
    if not _FORMAT.match(copyright_text.lstrip("\ufeff")):
        raise _unknown(origin, "its copyright file is prose")
    names = re.findall(r"(?m)^License:[ \t]*(\S.*?)[ \t]*$", copyright_text)
    if not names:
        raise _unknown(origin, "its copyright file names none")
    return tuple(dict.fromkeys(names))


def of_wheel(origin: str, metadata: str) -> Licence:
    """Returns what a wheel's METADATA says: the SPDX expression, else classifiers, else the text.

    Raises:
        LicenceUnknown: It says nothing.
    """
    fields = HeaderParser().parsestr(metadata)
    if expression := fields.get("License-Expression"):
        return (str(expression),)
    classifiers = [str(value) for value in fields.get_all("Classifier", [])]
    if names := [c.rpartition(" :: ")[2] for c in classifiers if c.startswith(_CLASSIFIER)]:
        return tuple(names)
    if (text := str(fields.get("License") or "").strip()) and "\n" not in text:
        return (text,)
    raise _unknown(origin, "its METADATA does not say")


def is_expression(licence: Licence) -> bool:
    """Returns whether it is one expression in the form of SPDX."""
    return len(licence) == 1 and _SPDX.fullmatch(licence[0]) is not None


def _unknown(origin: str, why: str) -> LicenceUnknown:
    return LicenceUnknown(
        f"the licence of {origin} cannot be told: {why}",
        remedy="read it, and add a [[licence]] to reproducible-build/system.toml",
    )
