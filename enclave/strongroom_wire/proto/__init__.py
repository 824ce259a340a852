"""Protocol buffers of the control plane and their generated stubs (`.tools/proto.py` makes them)."""
