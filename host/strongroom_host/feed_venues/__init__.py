"""Local venues for the feeds, wire-compatible, with bad days on demand. Untrusted by design."""
