"""Checks of the gateway's source: what its login is given, which logins it takes, who gets in.

Statements about text, read without running or importing any of it. That the code does what it says
is for its tests; these notice when a grant, a route or a connection appears that nobody asked for.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed

__all__ = ["check_doors", "check_grants", "check_logins"]

GATEWAY: Final = Path("host/strongroom_host/gateway")
MIGRATIONS: Final = Path("prisma/migrations")
_ROLE: Final = "strongroom_gateway"
_TABLES: Final = frozenset({"hourly_returns", "balance_snapshots"})
_GIVEN: Final = frozenset({("SELECT", table) for table in _TABLES} | {("EXECUTE", "limited_users")})
_OPEN: Final = frozenset({"/", "/log/{path:path}", "/completeness"})
"""Routes that need no key: the log is public, and so is what completeness means."""
_STORE: Final = "strongroom_host.record_store"
_TAKEN: Final = frozenset({"connecting", "errors", "publishing.see_users", "roles", "rows"})
_FORCED: Final = r'ALTER TABLE "(\w+)" ENABLE [^,]*, FORCE ROW LEVEL SECURITY'
_ABSENT: Final = "not applicable yet: the gateway is not built"


def check_grants(source: Path) -> Finding:
    """Returns whether the migrations give the gateway's role SELECT on the two tables of what is
    disclosed, under forced row-level security, and nothing else, nor everybody anything."""
    check, title = "gateway.grants", "The migrations let the gateway's role read two tables only"
    if not (source / GATEWAY).is_dir():
        return inapplicable(check, title, _ABSENT)
    given, odd, forced = set[tuple[str, str]](), list[str](), set[str]()
    for text in _statements(source / MIGRATIONS):
        forced |= set(re.findall(_FORCED, text))
        granted = re.fullmatch(r'GRANT (.+?) ON (?:FUNCTION )?(.+?) TO "(\w+)"', text)
        if re.search(r"\bTO PUBLIC\b", text, re.IGNORECASE) or (
            re.search(r"\b(NO FORCE|DISABLE) ROW LEVEL SECURITY\b", text, re.IGNORECASE)
        ):
            odd.append(text[:200])
        elif granted and granted[3] == _ROLE:
            what = [each.strip() for each in granted[1].split(",")]
            objects = re.findall(r'"(\w+)"', granted[2])
            given |= {(privilege, name) for privilege in what for name in objects}
        elif granted or text.startswith('CREATE POLICY "readers"'):
            continue
        elif _ROLE in text or re.search(r"\bGRANT\b", text, re.IGNORECASE):
            odd.append(text[:200])
    evidence = {"given": sorted(f"{what} {name}" for what, name in given), "odd": odd,
                "forced": sorted(forced)}  # fmt: skip
    if given != _GIVEN or odd or not forced >= _TABLES:
        return failed(
            check,
            title,
            "the grants are not these two, or rows are shown without a policy",
            evidence,
            remedy="a gateway reads hourly_returns and balance_snapshots: take the rest back",
        )
    return passed(check, title, "SELECT on two tables, under forced policies", evidence)


def check_logins(source: Path) -> Finding:
    """Returns whether the gateway opens connections in one place, which proves the login's
    privileges, and takes nothing of the store but what reads."""
    check = "gateway.logins"
    title = "Each login that the gateway uses is proved to read two tables and do nothing else"
    if not (source / GATEWAY).is_dir():
        return inapplicable(check, title, _ABSENT)
    openings, taken = list[str](), set[str]()
    for path in sorted((source / GATEWAY).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        taken |= _taken(tree)
        for function in _functions(tree):
            calls = _calls(function)
            if {"connect", "psycopg.connect"} & set(calls):
                proved = calls.count("require_gateway") == 1
                openings.append(f"{path.name}:{function.name}" + ("" if proved else " unproved"))
    more = sorted(name for name in taken if not _allowed(name))
    evidence = {"openings": openings, "of the store": sorted(taken)}
    if openings != ["reading.py:_opened"] or more:
        return failed(
            check,
            title,
            "a connection is opened elsewhere or unproved, or the gateway takes what writes",
            evidence | {"more": more},
            remedy="open connections in Reader alone, and import only what reads",
        )
    return passed(check, title, "one place opens connections, and proves each", evidence)


def check_doors(source: Path) -> Finding:
    """Returns whether every route needs a key, but those that are public, and a key is looked up,
    limited and held to its scope at the one place that lets requests in."""
    check, title = "gateway.doors", "Every route but the public ones needs a key, and has limits"
    if not (source / GATEWAY).is_dir():
        return inapplicable(check, title, _ABSENT)
    doors, missing = list[str](), list[str]()
    for path in sorted((source / GATEWAY).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        aliases = _aliases(tree)
        for function, route in _routes(tree):
            shown = " ".join(_annotation(argument, aliases) for argument in function.args.args)
            if ".needs(" in shown:
                doors.append(route)
            elif route not in _OPEN and not route.startswith("/health/"):
                missing.append(route)
    for name, inside, needed in (
        ("access.py", "admit", ("_keys.open", "_keys.still", "_limits.take", "ScopeMissing")),
        ("guarding.py", "__call__", ("_addresses.take",)),
        ("app.py", "__init__", ("app.add_middleware",)),
    ):
        calls = [call for function in _functions(_tree(source / GATEWAY / name))
                 if function.name == inside for call in _calls(function)]  # fmt: skip
        missing += [f"{name}:{inside} {call}" for call in needed if call not in calls]
    evidence = {"behind a key": doors, "public": sorted(_OPEN)}
    if missing or not doors:
        return failed(
            check,
            title,
            f"{', '.join(missing[:5]) or 'no route is there'}",
            evidence | {"missing": missing},
            remedy="give the route a scope with Gate.needs, or name it as public here",
        )
    return passed(check, title, f"{len(doors)} routes behind a key, {len(_OPEN)} public", evidence)


def _statements(folder: Path) -> Iterator[str]:
    """SQL by statement; no migration has a semicolon within one (record_store/README.md)."""
    for path in sorted(folder.glob("*/migration.sql")):
        text = re.sub(r"--[^\n]*", " ", path.read_text(encoding="utf-8"))
        yield from filter(None, (" ".join(each.split()) for each in text.split(";")))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _calls(tree: ast.AST) -> list[str]:
    """What is called, `self.` left out."""
    called = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [name.removeprefix("self.") for name in called]


def _taken(tree: ast.AST) -> set[str]:
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_STORE):
            module = (node.module or "").removeprefix(_STORE).removeprefix(".")
            found |= {f"{module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names if each.name.startswith((_STORE, "psycopg"))}
    return found


def _allowed(name: str) -> bool:
    return name in _TAKEN or name.partition(".")[0] in _TAKEN


def _routes(tree: ast.AST) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    for function in _functions(tree):
        for mark in function.decorator_list:
            if isinstance(mark, ast.Call) and re.fullmatch(
                r"(router|self\.app|app)\.(get|post|put|patch|delete|route|api_route)",
                ast.unparse(mark.func),
            ):
                yield function, ast.unparse(mark.args[0]).strip("f'\"")


def _aliases(tree: ast.AST) -> dict[str, str]:
    return {
        target.id: ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _annotation(argument: ast.arg, aliases: dict[str, str]) -> str:
    text = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return aliases.get(text, text)
