"""One role's log: what it decided, in an order that nobody can change afterwards."""
