"""Who is behind a key, a client and a model: names that the owners give, in a file of their own.

    {"format": "strongroom-people/1",
     "owners": [{"key": "<64 hex digits>", "name": "A. Owner", "role": "head of trading"}],
     "clients": [{"client": "bot", "name": "B. Operator", "role": "runs the strategy"}],
     "models": [{"digest": "<64 hex digits>", "name": "momentum 3.1", "role": "places the quotes"}]}

No log holds a person's name. The file is its author's word, and a report that uses it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_file

__all__ = ["NOBODY", "People", "PeopleMalformed", "Person"]

_Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Key = TypeVar("_Key", bytes, str)
_Text = Annotated[str, Meta(min_length=1, max_length=200)]


class PeopleMalformed(BadInput):
    """A file of names is not of this form, or names one key, client or model twice."""


class _Owner(Struct, frozen=True, forbid_unknown_fields=True):
    key: _Hex32
    name: _Text
    role: str = ""


class _Client(Struct, frozen=True, forbid_unknown_fields=True):
    client: _Text
    name: _Text
    role: str = ""


class _Model(Struct, frozen=True, forbid_unknown_fields=True):
    digest: _Hex32
    name: _Text
    role: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["strongroom-people/1"]
    owners: tuple[_Owner, ...] = ()
    clients: tuple[_Client, ...] = ()
    models: tuple[_Model, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """A name, and what its bearer is there for; of a model, what it is and does."""

    name: str
    role: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.role})" if self.role else self.name


@dataclass(frozen=True, slots=True)
class People:
    """Who is who: owners by Ed25519 key, clients by name, models by SHA-256 digest.

    `digest` is the SHA-256 of the file that said so, or empty without one.
    """

    owners: Mapping[bytes, Person] = field(default_factory=dict)
    clients: Mapping[str, Person] = field(default_factory=dict)
    models: Mapping[bytes, Person] = field(default_factory=dict)
    digest: bytes = b""

    @classmethod
    def parse(cls, data: bytes, source: str = "people file") -> People:
        """Returns the names in `data`.

        Raises:
            PeopleMalformed: not such a file.
        """
        try:
            file = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PeopleMalformed(
                f"{source} does not say who is who: {error}",
                expected='{"format": "strongroom-people/1", "owners": [{"key": hex, "name": text,'
                ' "role": text}], "clients": [{"client": name, ...}], "models": [{"digest": hex,'
                " ...}]}",
                remedy="an owner's key is in owner.json, a client's name in the manifest",
            ) from error
        return cls(
            _distinct(source, ((bytes.fromhex(o.key), o.name, o.role) for o in file.owners)),
            _distinct(source, ((c.client, c.name, c.role) for c in file.clients)),
            _distinct(source, ((bytes.fromhex(m.digest), m.name, m.role) for m in file.models)),
            sha256(data).digest(),
        )

    @classmethod
    def load(cls, path: Path) -> People:
        """Returns the names in a file; see `parse`.

        Raises:
            BadInput: it cannot be read.
        """
        return cls.parse(read_file(path), str(path))


NOBODY: Final = People()
"""Nobody is named: keys, clients and models appear as they are in log and manifest."""


def _distinct(source: str, rows: Iterable[tuple[_Key, str, str]]) -> dict[_Key, Person]:
    """Returns the rows by key, or raises `PeopleMalformed` where one key has two."""
    found: dict[_Key, Person] = {}
    for key, name, role in rows:
        if key in found:
            raise PeopleMalformed(
                f"{source} gives two names to one: {found[key]}, {name}", expected="one for each"
            )
        found[key] = Person(name, role)
    return found
