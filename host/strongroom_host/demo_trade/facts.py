"""What really happened, from everybody's own books: venue, journal, log, record of decisions."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from strongroom_wire.errors import Rule
from strongroom_wire.leaves import Leaf

from strongroom_host.demo.folders import Folders
from strongroom_host.demo.processes import VenueReady
from strongroom_host.demo.story import require
from strongroom_host.demo.venue_admin import VenueAdmin
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.store.handed_out import handed_out
from strongroom_host.store.journalled import journalled
from strongroom_host.strategy.decisions import (
    AnswerRecord,
    DecisionRecord,
    EventRecord,
    read_decisions,
)

__all__ = ["Facts", "establish", "kept_leaves"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Counts that agree with each other.

    Attributes:
        decisions: What the strategy decided.
        orders: Journalled orders, each of which the venue got exactly once.
        filled: Orders of those that the venue says were traded, in whole or part.
        shares: Shares traded, millionths, as the strategy was told.
        leaves: Answers of the enclave that are in its log, under a head it signed.
        denials: How often each rule denied.
        open: Orders that rest at the venue now.
    """

    decisions: int
    orders: int
    filled: int
    shares: int
    leaves: int
    denials: dict[str, int]
    open: int


def establish(folders: Folders, venue: VenueReady) -> Facts:
    """Returns what happened, after proving that venue, journal, log and record agree.

    Raises:
        DemoFailed: they do not.
    """
    journals = sorted((folders.bot / "journal").glob("*.db"))
    orders = journalled(journals)
    with closing(VenueAdmin(venue)) as admin:
        arrived = admin.orders()
    twice = [key.hex() for key in orders if key in arrived and arrived[key].submissions != 1]
    require(not twice, "an order reached the venue twice", expected="once each", actual=twice)
    strange = [key.hex() for key in arrived if key not in orders]
    require(not strange, "the venue has orders that no journal knows", actual=strange)
    leaves = kept_leaves(folders, journals)
    decisions = denied = filled = shares = 0
    denials: Counter[str] = Counter()
    traded: set[str] = set()
    for record in read_decisions(folders.bot / "decisions.jsonl"):
        match record:
            case DecisionRecord():
                decisions += 1
            case AnswerRecord(rule=rule) if rule:
                denials[Rule[rule].name] += 1
                denied += 1
            case EventRecord(filled=amount, order_hash=order_hash) if amount:
                shares += amount
                traded.add(order_hash)
    filled = len(traded)
    unknown = [item for item in traded if bytes.fromhex(item) not in orders]
    require(not unknown, "a fill belongs to no journalled order", actual=unknown)
    resting = sum(record.status == "LIVE" for key, record in arrived.items() if key in orders)
    return Facts(decisions, len(orders), filled, shares, leaves, dict(denials), resting)


def kept_leaves(folders: Folders, journals: list[Path]) -> int:
    """Returns how many answers of the journals are in the kept log under a signed head.

    Raises:
        DemoFailed: one is not, or is there with other content.
    """
    stored = StoredLog(folders.log)
    signed = 0 if stored.signed is None else head_of(stored.signed).size
    count = 0
    for path in journals:
        for entry in handed_out(path):
            index = Leaf.parse(entry.leaf).index
            require(index < signed, "an order's leaf is under no signed head", actual=index)
            require(stored.leaf(index) == entry.leaf, "the log has another leaf", actual=index)
            count += 1
    return count
