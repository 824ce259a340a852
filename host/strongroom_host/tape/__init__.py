"""Recorded markets: 64-byte ticks in a file, as they were in the ring, to be read in place."""
