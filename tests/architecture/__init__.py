"""What must hold of the source tree itself: borders, budgets, bans and freshness."""
