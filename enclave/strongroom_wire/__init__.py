"""The public contract between owner, host and enclave: encodings, frames, manifest, bundle, codes.

Everything here is sans-I/O: values in, bytes out, and back. Both sides of the trust boundary
import it, so a check that protects the enclave belongs in `strongroom_enclave`, not here.
"""
