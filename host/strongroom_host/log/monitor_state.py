"""What a monitor knows between two looks, and after it was killed: one file, replaced in one step.

It holds the newest head that was proven, the newest of each source, heads that are attested and not
proven yet, and alarms. An alarm is written before anybody is told, and stays untold until somebody
was: killed in between, the monitor tells it after its next start.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from strongroom_wire.bundle import LogHead

from strongroom_host.errors import BadInput
from strongroom_host.log.errors import LogDamaged
from strongroom_host.private_files import read_file, write_atomic

__all__ = ["Alarm", "AlarmState", "MonitorState", "SeenHead", "SourceState", "StateFile"]

_MAX_FILE: Final = 16 << 20
_FORMAT: Final = "strongroom-monitor/1"
_Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Number = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Alarm(enum.Enum):
    """What a monitor calls somebody for."""

    FORKED = "forked"
    """Two heads are vouched for, and neither history contains the other: kept with both notes."""
    SHORTER = "shorter"
    """A source shows fewer leaves than it did before."""
    DISORDERED = "disordered"
    """The new leaves contradict themselves, although the log vouches for them."""
    UNPROVEN = "unproven"
    """A source does not show that its head belongs to the history that was seen before."""
    UNSIGNED = "unsigned"
    """No key of the log signed what a source gives out as its head."""
    STUCK = "stuck"
    """There are leaves for which a source has no head, or it has had no new head for too long."""
    UNWITNESSED = "unwitnessed"
    """Too few of the manifest's witnesses have cosigned a head."""
    UNREACHABLE = "unreachable"
    """A source gives no head, or not what it takes to check it."""


class SeenHead(Struct, frozen=True):
    """A head that was vouched for: by whom it was shown, when first (ms since the epoch), and the
    signed note, empty where it was attested in a boot's evidence instead."""

    size: _Number
    root: _Hex32
    source: str
    at_ms: _Number
    note: bytes = b""

    @property
    def head(self) -> LogHead:
        """Size and root."""
        return LogHead(self.size, bytes.fromhex(self.root))

    @classmethod
    def of(cls, head: LogHead, source: str, at_ms: int, note: bytes = b"") -> SeenHead:
        """What is remembered of a head."""
        return cls(head.size, head.root.hex(), source, at_ms, note)


class SourceState(Struct):
    """The newest head of one source, and since when there has been none larger."""

    newest: SeenHead | None = None
    grown_ms: _Number = 0


class AlarmState(Struct):
    """One thing that is wrong, from when it was first seen; `raised` once it has lasted too long,
    `told` once somebody was called. `lasting` ones end only when a person acknowledges them."""

    kind: Alarm
    source: str
    what: str
    since_ms: _Number
    raised: bool = False
    told: bool = False
    lasting: bool = False
    notes: tuple[bytes, ...] = ()


class MonitorState(Struct):
    """Everything of one log. `uncovered` is the smallest head that was seen and that no quorum of
    witnesses covers yet; `pending` are attested and signed heads that no source has shown the
    leaves of yet."""

    log: str
    format: Literal["strongroom-monitor/1"] = _FORMAT
    newest: SeenHead | None = None
    witnessed: _Number = 0
    uncovered: SeenHead | None = None
    pending: list[SeenHead] = []
    sources: dict[str, SourceState] = {}
    alarms: list[AlarmState] = []

    def acknowledge(self) -> None:
        """Forgets all heads and alarms: a person looked, and what is shown next is the start."""
        self.newest = self.uncovered = None
        self.witnessed = 0
        self.pending.clear()
        self.sources.clear()
        self.alarms.clear()


class StateFile:
    """The state of one log's monitor in a file; in memory only where `path` is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: MonitorState | None = None

    def load(self, log: str) -> MonitorState:
        """The state that was saved, or a fresh one where there is no file.

        Raises:
            LogDamaged: it cannot be read, or is another log's. A monitor that forgets is blind to
                a fork, so it does not begin anew by itself.
        """
        if self._path is None:
            return self._kept or MonitorState(log)
        if not self._path.exists():
            return MonitorState(log)
        remedy = "name the right file with --state; if it is lost, move it away and begin anew"
        try:
            data = read_file(self._path, limit=_MAX_FILE)
            state = msgspec.json.decode(data, type=MonitorState)
        except (BadInput, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogDamaged(
                f"cannot read the monitor's state {self._path}", actual=error, remedy=remedy
            ) from error
        if state.log != log:
            raise LogDamaged(
                f"{self._path} is the state of another log's monitor",
                expected=log,
                actual=state.log,
                remedy=remedy,
            )
        return state

    def save(self, state: MonitorState) -> None:
        """Replaces the file in one step.

        Raises:
            BadInput: it cannot be written; the old one still is there.
        """
        self._kept = state
        if self._path is not None:
            data = msgspec.json.format(msgspec.json.encode(state), indent=1)
            write_atomic(self._path, data + b"\n", mode=0o600)
