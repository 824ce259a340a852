"""What a database's catalogue says of its tables: columns, keys and indexes, as plain values."""

from dataclasses import dataclass

from strongroom_host.record_store.connecting import Connection

__all__ = ["Catalogue", "Column", "read_catalogue"]


@dataclass(frozen=True)
class Column:
    """A column: its type with modifiers, whether it may be NULL, and its default's text."""

    type: str
    nullable: bool
    default: str | None


@dataclass(frozen=True)
class Catalogue:
    """Tables' columns in order, and what holds between them, in the server's own words."""

    columns: dict[str, dict[str, Column]]
    keys: frozenset[str]
    indexes: frozenset[str]
    enums: dict[str, list[str]]


_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
  pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
  AND NOT a.attisdropped AND c.relname <> '_prisma_migrations'
ORDER BY c.relname, a.attnum
"""
_KEYS = """
SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f')
  AND conrelid <> coalesce(to_regclass('_prisma_migrations'), 0)
"""
# Partial indexes are beyond Prisma's language.
_INDEXES = """
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND i.indpred IS NULL
  AND c.relname <> '_prisma_migrations'
"""
_ENUMS = """
SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY t.typname
"""


def read_catalogue(connection: Connection) -> Catalogue:
    """Return the catalogue of the schema `public`, without Prisma's own table."""
    columns: dict[str, dict[str, Column]] = {}
    for table, name, kind, nullable, default in connection.execute(_COLUMNS):
        columns.setdefault(table, {})[name] = Column(kind, nullable, default)
    keys = frozenset(text for (text,) in connection.execute(_KEYS))
    indexes = frozenset(text for (text,) in connection.execute(_INDEXES))
    enums: dict[str, list[str]] = dict(connection.execute(_ENUMS).fetchall())
    return Catalogue(columns, keys, indexes, enums)
