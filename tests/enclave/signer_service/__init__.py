"""The signer's process without its process: desk, keyring, sealing, and the loop around them."""
