"""One line of the doctor: what was looked at, how it stands, and what to do about it."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Level", "Result", "fail", "ok", "warn"]


class Level(Enum):
    """How much it matters."""

    OK = "ok"
    WARN = "warn"
    """It runs, with less than it could have."""
    FAIL = "fail"
    """It will not run."""


@dataclass(frozen=True, slots=True)
class Result:
    """A finding; `remedy` is empty where nothing needs to be done."""

    name: str
    level: Level
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Result:
    """Returns a finding that needs nothing."""
    return Result(name, Level.OK, detail)


def warn(name: str, detail: str, remedy: str) -> Result:
    """Returns a finding that one can live with."""
    return Result(name, Level.WARN, detail, remedy)


def fail(name: str, detail: str, remedy: str) -> Result:
    """Returns a finding that keeps the enclave from running."""
    return Result(name, Level.FAIL, detail, remedy)
