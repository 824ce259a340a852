"""What was disclosed, over HTTP, to who holds a key: it reads two tables, and can read no other."""
