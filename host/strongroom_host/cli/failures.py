"""How a failure reaches a person: one message on stderr, an exit status, never a traceback.

Exit status: 1 failed, 2 the input is at fault, 3 refused because something is not what it should
be (evidence, receipts, signatures), 4 the enclave refused, 5 this machine or the network,
70 a defect of this program. STRONGROOM_DEBUG=1 shows the traceback as well.
"""

import os
import sys
import traceback

from rich.console import Console
from rich.text import Text
from strongroom_attest.errors import AttestationError
from strongroom_eif.recipe.errors import BuildFailed, RecipeError
from strongroom_wire.errors import BadSignature, QuorumMissing, WireError

from strongroom_host.cli.explain import CODES, RULES, figures
from strongroom_host.enclave_client.errors import Denied, EnclaveRefused
from strongroom_host.errors import HostError

__all__ = ["DEFECT", "report"]

DEFECT = 70
_REFUSED = 3


def report(error: BaseException) -> int:
    """Writes what `error` means to stderr and returns the exit status."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    title, lines, status = _describe(error)
    message = Text("error: ", style="bold red")
    message.append(_safe(title), style="bold")
    for label, value in lines:
        message.append(f"\n  {label:<9}", style="dim")
        message.append(_safe(value))
    console.print(message)
    if os.environ.get("STRONGROOM_DEBUG"):
        traceback.print_exception(error, file=sys.stderr)
    return status


def _describe(error: BaseException) -> tuple[str, list[tuple[str, str]], int]:
    match error:
        case Denied():
            words = RULES[error.rule]
            limit, actual = figures(error.rule, error.limit, error.figure)
            lines = [("because", words.wrong), ("expected", words.expected)]
            lines += [("limit", limit), ("asked", actual), ("do", words.remedy)]
            return error.what, lines, error.exit_status
        case EnclaveRefused():
            code = CODES[error.code]
            lines = [("because", code.wrong), ("expected", code.expected), ("do", code.remedy)]
            if not error.authenticated:
                lines.append(("note", "the refusal carries no receipt, as many do not"))
            return f"{error.what} ({int(error.code)})", lines, error.exit_status
        case HostError():
            return error.what, _told(error), error.exit_status
        case RecipeError():
            return f"{error.what} ({error.code})", _told(error), error.exit_status
        case WireError():
            words = CODES[error.code]
            status = _REFUSED if isinstance(error, BadSignature | QuorumMissing) else 2
            return str(error), [("expected", words.expected), ("do", words.remedy)], status
        case AttestationError():
            return f"{error} ({error.code})", [], _REFUSED
        case ModuleNotFoundError():
            return (
                f"the Python package {error.name!r} is missing",
                [("do", "run `make env`, or install what requirements.lock names")],
                5,
            )
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            return f"{name}{error.strerror or error}", [("do", "check path and permissions")], 5
        case _:
            return (
                f"a defect of this program: {type(error).__name__}: {error}",
                [("do", "please report it; STRONGROOM_DEBUG=1 shows where it happened")],
                DEFECT,
            )


def _told(error: HostError | RecipeError) -> list[tuple[str, str]]:
    """What the error itself says beyond its finding."""
    lines = []
    if error.expected is not None:
        lines.append(("expected", str(error.expected)))
    if error.actual is not None:
        lines.append(("found", str(error.actual)))
    if error.remedy:
        lines.append(("do", error.remedy))
    if isinstance(error, BuildFailed) and error.tail:
        lines.append(("output", error.tail))
    return lines


def _safe(text: str) -> str:
    """Text from files and peers must not drive the terminal."""
    shown = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
    return shown if len(shown) <= 2000 else shown[:2000] + "…"
