"""The untrusted host side: everything here may lie without endangering a key or a policy."""
