"""Init alone: a machine in memory, and processes that are the test's own ends of their links."""
