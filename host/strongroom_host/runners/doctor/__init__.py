"""What `strongroom host doctor` looks at before an operator needs it."""

from strongroom_host.runners.doctor.checks import Level, Result, examine

__all__ = ["Level", "Result", "examine"]
