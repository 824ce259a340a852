"""The operator's side of an enclave: start it, watch it, and carry its bytes in and out.

Everything here is untrusted. It can stop an enclave, starve it or cut it off; it cannot read what
it carries, and whoever talks to the enclave verifies evidence and not this code.
"""
