"""What the record keeps with the host: rows, keys, states, and the port they go through."""
