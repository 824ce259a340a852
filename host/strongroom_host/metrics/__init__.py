"""What a series of disclosed returns adds up to: aggregates, drawdowns, statistics. README.md has
every definition."""
