"""What the database login may do: read two tables, and it is proved that there is nothing else.

A gateway is what strangers talk to. Whoever takes it over has its login, so one that could do more
is refused before the first request, and after: each new connection is asked, and each look at
readiness asks again.
"""

from typing import Final

from strongroom_host.gateway.errors import PrivilegesTooWide
from strongroom_host.record_store.connecting import Connection, guarded
from strongroom_host.record_store.errors import DatabaseOutdated
from strongroom_host.record_store.roles import GATEWAY
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn

__all__ = ["DISCLOSED", "require_gateway"]

DISCLOSED: Final = frozenset({HourlyReturn.TABLE, BalanceSnapshot.TABLE})

_POWERS: Final = """
SELECT unnest(array_remove(ARRAY[
  CASE WHEN rolsuper THEN 'is superuser' END, CASE WHEN rolcreaterole THEN 'makes roles' END,
  CASE WHEN rolcreatedb THEN 'makes databases' END, CASE WHEN rolreplication THEN 'replicates' END,
  CASE WHEN rolbypassrls THEN 'passes by row-level security' END], NULL))
FROM pg_roles WHERE rolname IN (session_user, current_user)
"""
# pg_has_role with MEMBER: also what it would have to SET ROLE for.
_ROLES: Final = """
SELECT rolname FROM pg_roles
WHERE rolname <> session_user AND rolname <> %s AND pg_has_role(session_user, oid, 'MEMBER')
"""
_IS_GATEWAY: Final = "SELECT pg_has_role(session_user, %s, 'MEMBER')"

_RELATIONS: Final = """
SELECT n.nspname, c.relname, p.privilege
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
  unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER']) p(privilege)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
  AND (has_table_privilege(session_user, c.oid, p.privilege)
    OR CASE WHEN p.privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
         THEN has_any_column_privilege(session_user, c.oid, p.privilege) ELSE false END)
"""
# What everybody may read of the catalogue is PostgreSQL's own choice; what was given to us is not.
_OTHERS: Final = """
SELECT 'catalogue ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
  aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE n.nspname IN ('pg_catalog', 'information_schema') AND r.rolname IN (session_user, %(role)s)
UNION ALL
SELECT 'sequence ' || c.relname FROM pg_class c WHERE c.relkind = 'S'
  AND (has_sequence_privilege(session_user, c.oid, 'USAGE')
    OR has_sequence_privilege(session_user, c.oid, 'SELECT')
    OR has_sequence_privilege(session_user, c.oid, 'UPDATE'))
UNION ALL
SELECT 'makes things in schema ' || nspname FROM pg_namespace
WHERE has_schema_privilege(session_user, oid, 'CREATE')
UNION ALL
SELECT lower(p.privilege) || ' in the database'
FROM unnest(ARRAY['CREATE', 'TEMPORARY']) p(privilege)
WHERE has_database_privilege(session_user, current_database(), p.privilege)
UNION ALL
SELECT 'function ' || f.proname FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE f.prosecdef AND has_function_privilege(session_user, f.oid, 'EXECUTE')
  AND NOT (n.nspname = 'public' AND f.proname = 'limited_users')
UNION ALL
SELECT 'owns ' || relname FROM pg_class JOIN pg_roles r ON r.oid = relowner
WHERE r.rolname IN (session_user, %(role)s)
"""
_UNGUARDED: Final = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relname = ANY (%s)
  AND NOT (c.relrowsecurity AND c.relforcerowsecurity AND row_security_active(c.oid))
"""


def require_gateway(connection: Connection) -> None:
    """Proves that a login reads `hourly_returns` and `balance_snapshots` under row-level security
    and can do nothing else: no other table, view, sequence or column, no role, function or power.

    Raises:
        PrivilegesTooWide: it can do more, or is no gateway's.
        DatabaseOutdated: it cannot read them.
        DatabaseRefused, DatabaseUnavailable: it could not be found out.
    """
    with guarded(connection):
        if not connection.execute(_IS_GATEWAY, [GATEWAY]).fetchone() == (True,):
            raise _too_wide("is no gateway's", [f"not {GATEWAY}, nor below it"])
        _require_none("has powers", connection.execute(_POWERS).fetchall())
        _require_none("has other roles", connection.execute(_ROLES, [GATEWAY]).fetchall())
        found = {
            (str(schema), str(name), str(what))
            for schema, name, what in connection.execute(_RELATIONS).fetchall()
        }
        needed = {("public", name, "SELECT") for name in DISCLOSED}
        _require_none(
            "reads or writes other tables",
            sorted((f"{what} {schema}.{name}",) for schema, name, what in found - needed),
        )
        _require_none("can do more", connection.execute(_OTHERS, {"role": GATEWAY}).fetchall())
        unguarded = connection.execute(_UNGUARDED, [sorted(DISCLOSED)]).fetchall()
        _require_none("sees rows without a policy", unguarded)
        if needed - found:
            raise DatabaseOutdated(
                "the database has not the tables that a gateway reads",
                expected=", ".join(sorted(DISCLOSED)),
                remedy="`strongroom db migrate`",
            )


def _require_none(finding: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        raise _too_wide(finding, sorted({str(row[0]) for row in rows}))


def _too_wide(finding: str, found: list[str]) -> PrivilegesTooWide:
    return PrivilegesTooWide(
        f"the database login {finding}",
        expected=f"SELECT on {' and '.join(sorted(DISCLOSED))}, and nothing else",
        actual=", ".join(found[:10]),
        remedy="give the gateway gateway.dsn, or a reader's; `strongroom db status` for the rest",
    )
