"""The log outside the enclave: stored, served, proved and verified. Nothing of it is trusted.

`files` keeps a log in a directory and `http` serves it, both in the layout of C2SP tlog-tiles;
`tree` reads one from any storage; `proofs`, `notes` and `verify` say what is true of it.
"""
