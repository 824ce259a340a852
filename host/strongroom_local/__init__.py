"""The local platform: a software Nitro Secure Module and a file sealer, for development only.

Never part of an image. It protects nothing from the machine it runs on; what it gives is the real
protocol, real documents and real PCR rules, under a root certificate that nobody but its owner
pins. Imports neither `strongroom_enclave` nor `strongroom_host`.
"""
