"""One TLS conversation with a venue's credential endpoint, then gone. It holds no trading key."""
