"""Programs and devices that a test machine lacks, behaving as documented."""
