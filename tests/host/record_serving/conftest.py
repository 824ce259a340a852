"""The server and its databases, as for the record store."""

from tests.host.record_store.conftest import database, postgres

__all__ = ["database", "postgres"]
