"""How anything outside talks to an enclave: evidence first, then calls under receipts.

Nothing here trusts the host that relays the bytes. `EnclaveClient` and `FastChannel` take a
`VerifiedEvidence`, which only `evidence.fetch_evidence` makes.
"""
