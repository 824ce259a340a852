"""What can be wrong with a strategy, its model, and the records of its decisions."""

from strongroom_host.errors import BadInput, EnvironmentFault

__all__ = [
    "DecisionsUnfinished",
    "DecisionsUnreadable",
    "ModelChanged",
    "ModelMissing",
    "ModelUnfit",
    "NotReproduced",
    "RuntimeAbsent",
    "StrategyUnknown",
    "StrategyUnsuited",
]


class StrategyUnknown(BadInput):
    """No strategy has that name."""


class StrategyUnsuited(BadInput):
    """An option of the strategy is missing, unknown, or out of range; or the ring or tape lacks an
    instrument that it needs."""


class ModelMissing(BadInput):
    """The model, or what describes it, is not there or cannot be read."""


class ModelChanged(BadInput):
    """The model file is not the one that its description names by hash."""

    exit_status = 3


class ModelUnfit(BadInput):
    """The model's inputs or outputs have other names, shapes or types than the live code gives."""


class RuntimeAbsent(EnvironmentFault):
    """What should run the model is not installed, or lacks the device."""


class DecisionsUnreadable(BadInput):
    """A record of decisions is missing or damaged, or exists already."""


class DecisionsUnfinished(BadInput):
    """A record of decisions has no last line: more may have come, and been cut off."""

    exit_status = 3


class NotReproduced(BadInput):
    """Run again on the tape, the strategy decided something else, or was told something else."""

    exit_status = 3
