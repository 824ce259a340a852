"""What the host must not lose: the journal of signed orders, and placing by its rules."""

from strongroom_host.store.desk import (
    AbsenceRule,
    NoOrders,
    OwnQueries,
    Reconciliation,
    Venue,
    place,
    reconcile,
    reconciling,
    record_outcome,
)
from strongroom_host.store.journal import (
    AlreadyJournalled,
    Journal,
    JournalBroken,
    JournalBusy,
    JournalEntry,
    SequenceReused,
    Transition,
    UnknownOrder,
)
from strongroom_host.store.states import OrderState, WrongTransition

__all__ = [
    "AbsenceRule",
    "AlreadyJournalled",
    "Journal",
    "JournalBroken",
    "JournalBusy",
    "JournalEntry",
    "NoOrders",
    "OrderState",
    "OwnQueries",
    "Reconciliation",
    "SequenceReused",
    "Transition",
    "UnknownOrder",
    "Venue",
    "WrongTransition",
    "place",
    "reconcile",
    "reconciling",
    "record_outcome",
]
