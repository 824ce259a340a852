"""What the leakage measurement finds, against figures measured elsewhere."""
