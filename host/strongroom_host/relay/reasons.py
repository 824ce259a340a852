"""Every reason for which the relay refuses something, with what it means and what to do about it.

The numbers travel (`messages.Failure`) and never change; the names are those of the counters.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from strongroom_host.errors import HostError

__all__ = ["WORDS", "Reason", "Rejected", "Words"]


class Reason(enum.IntEnum):
    """Why a packet or a request went no further."""

    # No frame at all, or one of another kind.
    TRUNCATED = 1
    UNKNOWN_TYPE = 2
    # v1.
    V1_FORGED = 10
    V1_STALE = 11
    V1_AHEAD = 12
    V1_BEFORE_START = 13
    V1_REPLAYED = 14
    V1_SEEN_FULL = 15
    V1_OFF = 16
    # v2: the way into a session.
    HELLO_FORGED = 20
    START_OUTDATED = 21
    START_FORGED = 22
    START_REPLAYED = 23
    SESSIONS_FULL = 24
    # v2: packets of a session.
    UNKNOWN_SESSION = 30
    FORGED = 31
    REPLAYED = 32
    TOO_OLD = 33
    MALFORMED = 34
    # What an authentic sender asked for.
    EXPIRED = 40
    DEADLINE_TOO_FAR = 41
    FRAGMENTS_CONTRADICT = 42
    FRAGMENTS_FULL = 43
    REQUEST_TOO_LONG = 44
    NOT_A_REQUEST = 45
    WRONG_HOST = 46
    NOT_ALLOWED = 47
    QUEUE_FULL = 48
    MESSAGES_FULL = 49
    DRAINING = 50
    NOT_A_CANCEL = 51
    DEPOSITS_FULL = 52
    MESSAGE_REUSED = 53
    # What became of it upstream.
    NO_CONNECTION = 60
    UPSTREAM_BROKE = 61
    UPSTREAM_SILENT = 62
    UPSTREAM_NOT_HTTP = 63
    ANSWER_TOO_LONG = 64
    ANSWER_GONE = 65

    @property
    def label(self) -> str:
        """The counter's name, such as `v1_stale`."""
        return self.name.lower()


class Words(NamedTuple):
    """For a person: what happened, and what to do."""

    meaning: str
    remedy: str


_R = Reason
_SAME_PSK = "give both sides the same RELAY_PSK_HEX (`strongroom relay psk --check` names it)"
_NOISE = "nothing, if it stays rare: the Internet sends noise to every open port"
_RECONCILE = "reconcile by the order's hash; never send it again"

WORDS: Final[dict[Reason, Words]] = {
    _R.TRUNCATED: Words("shorter than any frame, or cut off on its way", _NOISE),
    _R.UNKNOWN_TYPE: Words(
        "a v2 frame of a type that this relay does not take",
        "run the same release on both sides; a v1 sender leaves out the sequence numbers from"
        " 0x53520200 to 0x535202ff",
    ),
    _R.V1_FORGED: Words("a v1 frame whose HMAC is not by the PSK", _SAME_PSK),
    _R.V1_STALE: Words(
        "an authentic v1 frame that is older than 5 s",
        "set the sender's clock by NTP; the log says by how much it is off. Or use v2, which needs"
        " no common clock",
    ),
    _R.V1_AHEAD: Words(
        "an authentic v1 frame stamped more than 5 s ahead",
        "set the clocks of both sides by NTP; the log says by how much they differ",
    ),
    _R.V1_BEFORE_START: Words(
        "a v1 frame from before the relay's start, or so close to it that an earlier relay may have"
        " forwarded it",
        "send anew 10 s after the relay's start; v2 needs no such pause",
    ),
    _R.V1_REPLAYED: Words(
        "the very same v1 frame once more",
        "nothing: it was forwarded the first time. A sender that means it again stamps it anew",
    ),
    _R.V1_SEEN_FULL: Words(
        "more authentic v1 frames than can be remembered for their window",
        "send less, raise --v1-memory, or use v2",
    ),
    _R.V1_OFF: Words("a v1 frame, where v1 is off", "start the relay without --no-v1, or use v2"),
    _R.HELLO_FORGED: Words("a v2 greeting whose HMAC is not by the PSK", _SAME_PSK),
    _R.START_OUTDATED: Words(
        "the answer to a challenge that is too old, of another boot, or for another address",
        "nothing: the client greets again. If it never gets in, something delays packets by more"
        " than 10 s or changes their source address",
    ),
    _R.START_FORGED: Words("the answer to a challenge, but not with the PSK", _SAME_PSK),
    _R.START_REPLAYED: Words(
        "the answer to a challenge that was answered already",
        "nothing, if it stays rare: the network doubled a packet",
    ),
    _R.SESSIONS_FULL: Words(
        "as many sessions as --sessions allows, none of them silent for 15 s",
        "stop clients that are not needed, or raise --sessions",
    ),
    _R.UNKNOWN_SESSION: Words(
        "a packet of a session that this boot of the relay does not have",
        "nothing: after a restart of the relay clients greet again by themselves",
    ),
    _R.FORGED: Words("a packet that its session's key does not open", _NOISE),
    _R.REPLAYED: Words(
        "a packet that was here before",
        "nothing, if it stays rare: the network doubled it. Often: somebody replays",
    ),
    _R.TOO_OLD: Words(
        "a packet that 1,024 later ones have overtaken",
        "nothing, if it stays rare. Often: a route reorders badly, or somebody replays",
    ),
    _R.MALFORMED: Words(
        "an authentic packet whose content makes no sense", "run the same release on both sides"
    ),
    _R.EXPIRED: Words(
        "it came after its deadline, and was not forwarded",
        "send it later anew if it is still wanted; allow more time if this happens often",
    ),
    _R.DEADLINE_TOO_FAR: Words(
        "its deadline is farther ahead than the relay remembers messages", "give it less time"
    ),
    _R.FRAGMENTS_CONTRADICT: Words(
        "fragments of one message contradict each other", "run the same release on both sides"
    ),
    _R.FRAGMENTS_FULL: Words(
        "too many messages of this session wait for missing fragments",
        "send fewer large requests at a time",
    ),
    _R.REQUEST_TOO_LONG: Words("a request above the relay's limit", "send smaller batches"),
    _R.NOT_A_REQUEST: Words(
        "not exactly one plain HTTP/1.1 request", "send the enclave's bytes as they are"
    ),
    _R.WRONG_HOST: Words(
        "the request names another host than the relay's upstream",
        "run a relay for each venue; its --upstream is what the Host header has to say",
    ),
    _R.NOT_ALLOWED: Words(
        "method and path are none that the relay forwards",
        "send it to the venue directly, if it has to be sent",
    ),
    _R.QUEUE_FULL: Words(
        "too many requests wait for a connection", "raise --connections, or send less"
    ),
    _R.MESSAGES_FULL: Words(
        "as many messages as a session may have within their lifetimes",
        "send less, or give each less time",
    ),
    _R.DRAINING: Words("the relay is shutting down", "use the fallback, or wait for its return"),
    _R.NOT_A_CANCEL: Words(
        "only requests that cancel may be left with the relay",
        "deposit DELETE /cancel-all or another cancel",
    ),
    _R.DEPOSITS_FULL: Words("too many deposits", "withdraw those that are not needed"),
    _R.MESSAGE_REUSED: Words(
        "a message id that stood for other content before", "use a new id for every message"
    ),
    _R.NO_CONNECTION: Words(
        "no connection to the venue stood before its deadline; nothing was sent",
        "see the log for why connecting fails: network, certificate, pins",
    ),
    _R.UPSTREAM_BROKE: Words("the connection broke after something was sent", _RECONCILE),
    _R.UPSTREAM_SILENT: Words("no whole answer came in time", _RECONCILE),
    _R.UPSTREAM_NOT_HTTP: Words("the answer is not HTTP, or has no end", _RECONCILE),
    _R.ANSWER_TOO_LONG: Words("the answer is longer than the relay's limit", _RECONCILE),
    _R.ANSWER_GONE: Words(
        "the answer came, and was given up for newer ones before it was fetched", _RECONCILE
    ),
}


class Rejected(HostError):
    """The relay goes no further with this; `reason` says why, `actual` what it saw."""

    def __init__(self, reason: Reason, actual: object = None) -> None:
        words = WORDS[reason]
        super().__init__(words.meaning, actual=actual, remedy=words.remedy)
        self.reason = reason
