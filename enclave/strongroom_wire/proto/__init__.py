"""Protocol buffers of the control plane and their generated stubs, made by `.tools/proto.py`."""
