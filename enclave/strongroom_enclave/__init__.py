"""The trusted computing base: the processes that run inside the image.

`init` is PID 1 and the switchboard: every other process has one link, to it. `front` parses what
the host sends and holds no secret but its TLS key; `signer` holds trading keys and policy; `enroll`
lives for one TLS conversation with a venue.
"""

VERSION = "0.1.0"
