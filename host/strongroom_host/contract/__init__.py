"""The halves of the wire contract that the enclave's counterparts need and the image never runs."""
