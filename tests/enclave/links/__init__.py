"""Links between processes, the fast channel's streams, the tunnel through the host's proxy."""
