"""The signing core: typed orders in, complete authenticated requests out.

Pure: no socket, file, clock or randomness. Salts and timestamps are arguments, and the policy
engine decides before any of this is called.
"""
