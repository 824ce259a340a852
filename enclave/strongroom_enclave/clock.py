"""Authenticated time, carried on between the moments at which the platform authenticates it.

The platform signs the time only when asked (the timestamp of an NSM document), so init anchors it
now and then and CLOCK_MONOTONIC carries it on. The two watch each other: neither the host, nor a
hypervisor that moves one of them, can hurry a window or hold up the expiry of a permit unnoticed.
Times are in ms since the epoch, readings of CLOCK_MONOTONIC in ns; nothing here reads a clock.
"""

from strongroom_wire.errors import Code, WireError

# Between an anchor and where the first one, carried on, says it should be; a second more for each
# full hour since, as no two crystals agree. From one anchor to the next it would let a clock gain
# or lose 40%, and a window be hurried by as much, in steps too small to be noticed.
MAX_DIVERGENCE_MS = 2_000

# Of the last anchor: whoever withholds anchors has only the monotonic clock left to move.
MAX_AGE_MS = 30_000

_NS = 1_000_000


class ClockFault(WireError, code=Code.DENIED):
    """Time contradicted itself, so this boot no longer knows it. Latched: a clock that was moved
    once cannot be believed when it is moved back."""

    expected: int
    actual: int


class ClockStale(ClockFault):
    """There is no anchor, or none young enough. Not latched: the next good one ends it."""


class Clock:
    """Tells the time, or that it cannot. `fault` is the first contradiction, None while sane.

    `floor_ms` is a time known to have passed: the image's build date.
    """

    def __init__(self, floor_ms: int) -> None:
        self.fault: ClockFault | None = None
        self._first: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None
        self._told, self._read_ns = floor_ms, 0

    def anchor(self, authenticated_ms: int, monotonic_ns: int) -> None:
        """Joins an authenticated time to the monotonic reading taken with it, or latches a fault.

        Does not raise, so that a bad anchor ends signing and not the process that still cancels.
        """
        last_ms, last_ns = self._last or (self._told, 0)
        self._first = first_ms, first_ns = self._first or (authenticated_ms, monotonic_ns)
        due = first_ms + (elapsed := (monotonic_ns - first_ns) // _NS)
        near = abs(authenticated_ms - due) <= MAX_DIVERGENCE_MS + elapsed // 3_600_000 * 1_000
        self._require(monotonic_ns >= last_ns, "anchor's monotonic ns", last_ns, monotonic_ns)
        self._require(authenticated_ms >= last_ms, "anchor's ms", last_ms, authenticated_ms)
        self._require(near, "anchor's ms", due, authenticated_ms)
        self._last = authenticated_ms, monotonic_ns
        self._read_ns = max(self._read_ns, monotonic_ns)

    def passed(self, ms: int, monotonic_ns: int) -> None:
        """Takes a time that has passed by now, as others know; latches a fault if it has not."""
        last_ms, last_ns = self._last or (ms, monotonic_ns)
        now = last_ms + (monotonic_ns - last_ns) // _NS
        self._require(now + MAX_DIVERGENCE_MS >= ms, "ms that have passed", ms, now)
        self._told = max(self._told, ms)

    def now_ms(self, monotonic_ns: int) -> int:
        """Returns the time at a reading of CLOCK_MONOTONIC, never earlier than told before.

        Raises:
            ClockFault: an anchor or a reading contradicted an earlier one in this boot.
            ClockStale: there is no anchor yet, or none in the last 30 s.
        """
        last_ms, last_ns = self._last or (self._told, 0)
        age = (monotonic_ns - last_ns) // _NS
        self._require(monotonic_ns >= self._read_ns, "monotonic ns", self._read_ns, monotonic_ns)
        if self.fault:
            raise self.fault.with_traceback(None)
        self._read_ns = monotonic_ns
        ClockStale.unless(self._last and age <= MAX_AGE_MS, "anchor's age in ms", MAX_AGE_MS, age)
        self._told = max(self._told, last_ms + age)
        return self._told

    def _require(self, holds: bool, what: str, expected: int, actual: int) -> None:
        if not holds and not self.fault:
            self.fault = ClockFault(what, expected, actual)
