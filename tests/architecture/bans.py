"""What code in a trust domain may not contain: modules, names, statements, literals.

The rules are data. A rule names the packages it holds for, what it bans, where it makes an
exception, and why; `violations` reads modules against all of them.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.architecture.source import Finding, Module

__all__ = ["RULES", "Rule", "violations"]

_IMAGE = ("strongroom_wire", "strongroom_enclave")
_PLATFORM = "strongroom_enclave.platform"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Rule:
    """One ban: `modules` may not be imported, `names` not be mentioned, `nodes` not occur.

    A dotted entry of `names` (`datetime.now`) bans that attribute of anything so called; a plain
    one (`eval`) bans the bare name, so an alias does not get around it.
    """

    name: str
    why: str
    within: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    modules: frozenset[str] = field(default_factory=frozenset)
    names: frozenset[str] = field(default_factory=frozenset)
    nodes: tuple[type[ast.AST], ...] = ()
    floats: bool = False

    def applies_to(self, module: Module) -> bool:
        """Return whether the module is in the rule's scope and not an exception."""
        return module.in_package(*self.within) and not module.in_package(*self.allowed)

    def find(self, module: Module) -> Iterator[Finding]:
        """Yield each place in the module that breaks the rule."""
        for line, what in self._occurrences(module):
            yield Finding(module.path, line, f"{what} [{self.name}: {self.why}]")

    def _occurrences(self, module: Module) -> Iterator[tuple[int, str]]:
        for found in module.imports:
            if self._bans_import(found.module, found.name):
                yield found.line, f"imports {found.module}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name) and node.id in self.names:
                yield node.lineno, f"uses {node.id}"
            elif isinstance(node, ast.Attribute) and _dotted(node) in self.names:
                yield node.lineno, f"uses {_dotted(node)}"
            elif self.nodes and isinstance(node, self.nodes):
                yield getattr(node, "lineno", 0), f"has {type(node).__name__.lower()}"
            elif self.floats and isinstance(node, ast.Constant) and type(node.value) is float:
                yield node.lineno, f"has the float {node.value}"

    def _bans_import(self, module: str, name: str) -> bool:
        parts = module.split(".")
        ancestors = {".".join(parts[: end + 1]) for end in range(len(parts))}
        # `from os import path` and `from datetime import datetime` name modules or their members.
        return bool((ancestors | {f"{module}.{name}"}) & self.modules)


def _dotted(node: ast.Attribute) -> str:
    """Return the last two parts of an attribute access: `datetime.now` for `dt.datetime.now`."""
    owner = node.value
    before = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    return f"{before}.{node.attr}"


RULES = (
    Rule(
        name="dynamic code",
        why="what runs must be what was measured and read",
        within=_IMAGE,
        modules=_words("builtins code codeop imp importlib marshal pickle runpy shelve zipimport"),
        names=_words("__builtins__ __import__ __loader__ compile eval exec"),
    ),
    Rule(
        name="processes",
        why="only the supervisor starts processes",
        within=_IMAGE,
        allowed=(f"{_PLATFORM}.spawn",),
        modules=_words("pty subprocess"),
        names=_words(
            "os.system os.popen os.fork os.forkpty os.execv os.execve os.execvp os.execvpe "
            "os.execl os.posix_spawn os.posix_spawnp os.spawnv os.spawnve"
        ),
    ),
    Rule(
        name="pickle by the back door",
        why="whoever owns the other end of a connection that unpickles runs code here",
        within=_IMAGE,
        modules=_words("concurrent.futures.process multiprocessing"),
    ),
    Rule(
        name="operating system",
        why="only platform modules touch it; everything else asks the platform's port",
        within=_IMAGE,
        # Ends TLS on a connection that it is handed: it names the type, and opens none.
        allowed=(_PLATFORM, "strongroom_enclave.tls"),
        modules=_words(
            "ctypes fcntl mmap os posix pwd resource shutil signal socket socketserver tempfile"
        ),
    ),
    Rule(
        name="TLS",
        why="one module ends TLS to a venue and one speaks HTTP over it; the front's ends in gRPC",
        within=_IMAGE,
        allowed=("strongroom_enclave.http", "strongroom_enclave.tls", _PLATFORM),
        modules=_words("ssl http urllib httpx h11 requests"),
    ),
    Rule(
        name="assert",
        why="python -O removes it, so it is no check",
        within=(*_IMAGE, "strongroom_attest", "strongroom_eif"),
        nodes=(ast.Assert,),
    ),
    Rule(
        name="output",
        why="only numeric codes leave the image; text could carry a secret",
        within=_IMAGE,
        allowed=(f"{_PLATFORM}.console",),
        modules=_words("logging pprint traceback warnings"),
        names=_words("breakpoint input print sys.stderr sys.stdout"),
    ),
    Rule(
        name="predictable randomness",
        why="keys, nonces and salts need the operating system's generator",
        within=(*_IMAGE, "strongroom_attest", "strongroom_eif", "strongroom_local"),
        modules=frozenset({"random"}),
    ),
    Rule(
        name="sans-I/O",
        why="contract and verifier take bytes and values; clock, network and files stay outside",
        within=("strongroom_wire", "strongroom_attest", "strongroom_eif"),
        # Fetches, builds and writes; the format's modules never import it (pyproject.toml).
        allowed=("strongroom_eif.recipe",),
        modules=_words(
            "asyncio fcntl http io os pathlib random secrets select shutil socket ssl subprocess "
            "tempfile time urllib"
        ),
        names=_words("date.today datetime.now datetime.today datetime.utcnow open"),
    ),
    Rule(
        name="float money",
        why="amounts are integers or Decimal; a float loses lots",
        within=("strongroom_wire", "strongroom_enclave.signer", "strongroom_enclave.record"),
        names=frozenset({"float"}),
        floats=True,
    ),
)


def violations(modules: Iterable[Module], rules: Iterable[Rule] = RULES) -> list[Finding]:
    """Return every place in the modules that breaks a rule, sorted."""
    rules = tuple(rules)
    return sorted(
        finding
        for module in modules
        for rule in rules
        if rule.applies_to(module)
        for finding in rule.find(module)
    )
