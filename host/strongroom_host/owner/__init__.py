"""The owner's side: keys, manifests, permits and provisioning, on the owner's own machine.

Nothing here is needed by a host or a bot, and nothing here trusts either: everything secret that
leaves is sealed to a verified enclave, and everything else is signed.
"""
