"""The gateway's source checks: this tree passes, and each change that matters is noticed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from strongroom_host.audit.findings import Finding, Result
from strongroom_host.audit.gateway_checks import (
    GATEWAY,
    MIGRATIONS,
    check_doors,
    check_grants,
    check_logins,
)

from tests.architecture.source import ROOT

CHECKS = [check_grants, check_logins, check_doors]
GUARDS = MIGRATIONS / "20261121090100_guards" / "migration.sql"
SPOILED: list[tuple[Callable[[Path], Finding], Path, str, str]] = [
    (check_grants, GUARDS, "", 'GRANT SELECT ON "trades" TO "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'GRANT SELECT ("venue") ON "users" TO "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'GRANT INSERT ON "hourly_returns" TO "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'GRANT ALL ON SCHEMA "public" TO "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'GRANT SELECT ON "trades" TO PUBLIC;'),
    (check_grants, GUARDS, "", 'GRANT "strongroom_enclave" TO "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'grant select on "trades" to "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'ALTER TABLE "trades" OWNER TO "strongroom_gateway";'),
    (check_grants, GUARDS, "", 'ALTER TABLE "hourly_returns" DISABLE ROW LEVEL SECURITY;'),
    (check_grants, GUARDS, 'GRANT SELECT ON "hourly_returns", "balance_snapshots"',
     'GRANT SELECT ON "hourly_returns"'),
    (check_grants, GUARDS, 'ALTER TABLE "balance_snapshots" ENABLE', "-- "),
    (check_logins, GATEWAY / "reading.py", "require_gateway(connection)\n        except",
     "pass\n        except"),
    (check_logins, GATEWAY / "routes.py", "",
     "from strongroom_host.record_store.publishing import publish"),
    (check_logins, GATEWAY / "routes.py", "",
     "from strongroom_host.record_store.store import put_rows"),
    (check_logins, GATEWAY / "routes.py", "", "import psycopg"),
    (check_logins, GATEWAY / "app.py", "", "def peek():\n    return connect('')"),
    (check_doors, GATEWAY / "routes.py", "Depends(gate.needs(Scope.BALANCES))", "Depends(free)"),
    (check_doors, GATEWAY / "routes.py", "Depends(gate.needs(Scope.EVIDENCE))", "Depends(free)"),
    (check_doors, GATEWAY / "routes.py", "", "@router.get('/free')\ndef free():\n    pass"),
    (check_doors, GATEWAY / "app.py", "", "@app.post('/free')\ndef free():\n    pass"),
    (check_doors, GATEWAY / "access.py", "self._limits.take(", "free("),
    (check_doors, GATEWAY / "access.py", "raise ScopeMissing(", "print("),
    (check_doors, GATEWAY / "guarding.py", "self._addresses.take(", "free("),
    (check_doors, GATEWAY / "app.py", "self.app.add_middleware(\n            Guard", "free(Guard"),
]  # fmt: skip


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for folder in (GATEWAY, MIGRATIONS):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


@pytest.mark.parametrize("check", CHECKS)
def test_this_tree_passes(check: Callable[[Path], Finding]) -> None:
    found = check(ROOT)
    assert found.result is Result.PASS, (found.detail, found.evidence)


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_not_built_is_not_applicable(
    tmp_path: Path, check: Callable[[Path], Finding]
) -> None:
    assert check(tmp_path).result is Result.NOT_APPLICABLE


@pytest.mark.parametrize(("check", "path", "old", "new"), SPOILED)
def test_each_change_that_matters_is_noticed(
    copied: Path, check: Callable[[Path], Finding], path: Path, old: str, new: str
) -> None:
    text = (copied / path).read_text()
    assert old in text
    (copied / path).write_text(text.replace(old, new) if old else f"{text}\n{new}\n")
    assert check(copied).result is Result.FAIL


def test_without_migrations_nothing_is_granted_and_that_fails(copied: Path) -> None:
    shutil.rmtree(copied / MIGRATIONS)
    assert check_grants(copied).result is Result.FAIL
