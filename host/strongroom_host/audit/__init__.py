"""What an auditor's one command does: rebuild, compare, count, look up, and report it all."""
