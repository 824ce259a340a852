"""Local venues: servers that answer as exchanges do, over a market whose truth is known."""
