"""Connectors against the local venues: real TLS, through the house's own proxy."""
