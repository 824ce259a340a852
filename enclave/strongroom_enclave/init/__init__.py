"""PID 1: lifecycle, manifest, permits, evidence, and the switchboard between processes."""
