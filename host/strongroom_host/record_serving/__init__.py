"""The host's side of the track record while it runs: port, log, calls, as one service."""
