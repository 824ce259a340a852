"""The track record: events in, hourly returns out; README.md defines every number and rounding."""
