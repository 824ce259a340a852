"""The local platform: a software Nitro Secure Module and a file sealer, for development only.

Never part of an image. It protects nothing from the machine it runs on; what it gives is the real
protocol, real documents and real PCR rules, under a root certificate that nobody but its owner
pins. Only what runs inside the enclave's processes (`transport`, the entry point) imports
`strongroom_enclave`; the module itself shares no code with what it serves.
"""
