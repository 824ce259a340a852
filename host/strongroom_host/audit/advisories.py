"""Known vulnerabilities of the image's Python packages, asked of PyPI, which pip-audit asks too.

One request per package, for the exact version. What cannot be asked is reported as not asked: no
answer is not "no vulnerability".
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

import httpx
import msgspec

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed, warned
from strongroom_host.errors import BadInput

__all__ = [
    "ACCEPTED",
    "Advisory",
    "AdvisoryIndex",
    "IndexUnreachable",
    "PackageIndex",
    "check_advisories",
    "read_accepted",
]

ACCEPTED: Final = Path("reproducible-build") / "advisories.toml"
_MAX_ANSWER: Final = 16 << 20
_SECONDS: Final = 20.0


class IndexUnreachable(Exception):
    """The index gave no usable answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """A published vulnerability.

    Attributes:
        id: PYSEC, GHSA or CVE number.
        aliases: Its other numbers.
        summary: In the index's words.
        fixed_in: Versions without it.
    """

    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed_in: tuple[str, ...]


class AdvisoryIndex(Protocol):
    """Who knows of vulnerabilities."""

    def advisories(self, name: str, version: str) -> tuple[Advisory, ...]:
        """Returns those of one version of a package that were not withdrawn.

        Raises:
            IndexUnreachable: There is no answer.
        """


class _VulnerabilityJson(msgspec.Struct):
    id: str
    aliases: list[str] = []
    summary: str | None = None
    details: str | None = None
    fixed_in: list[str] = []
    withdrawn: str | None = None


class _InfoJson(msgspec.Struct):
    name: str
    version: str


class _AnswerJson(msgspec.Struct):
    info: _InfoJson
    vulnerabilities: list[_VulnerabilityJson]


class PackageIndex:
    """The JSON interface of pypi.org, or of a mirror that has it."""

    def __init__(self, base: str = "https://pypi.org", client: httpx.Client | None = None) -> None:
        self._base = base.rstrip("/")
        self._client = client or httpx.Client(timeout=_SECONDS, follow_redirects=True)

    def advisories(self, name: str, version: str) -> tuple[Advisory, ...]:
        """See `AdvisoryIndex`."""
        url = f"{self._base}/pypi/{quote(name, '')}/{quote(version, '')}/json"
        try:
            with self._client.stream("GET", url) as response:
                response.raise_for_status()
                data = bytearray()
                for piece in response.iter_bytes():
                    data += piece
                    if len(data) > _MAX_ANSWER:
                        raise IndexUnreachable(f"{url}: the answer is too large")
            answer = msgspec.json.decode(data, type=_AnswerJson)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            raise IndexUnreachable(f"{url}: {why}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IndexUnreachable(f"{url}: not an answer of this interface: {error}") from error
        # Some mirrors answer for the newest version whatever was asked.
        if answer.info.version != version:
            raise IndexUnreachable(f"{url}: the answer is about version {answer.info.version}")
        return tuple(
            Advisory(
                found.id,
                tuple(found.aliases),
                (found.summary or found.details or "").strip().partition("\n")[0][:300],
                tuple(found.fixed_in),
            )
            for found in answer.vulnerabilities
            if not found.withdrawn
        )


def read_accepted(path: Path) -> dict[str, str]:
    """Returns the advisories that were read and accepted, with the reason; none without the file.

    Raises:
        BadInput: An entry has no reason, or the file is no such list.
    """
    if not path.is_file():
        return {}
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("accepted", [])
        accepted = {str(row["id"]): str(row["why"]).strip() for row in rows}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is not a list of accepted advisories: {error!r}",
            expected='[[accepted]] with id = "GHSA-..." and why = "..."',
        ) from error
    if empty := [number for number, why in accepted.items() if not why]:
        raise BadInput(f"{path} accepts {empty[0]} without saying why")
    return accepted


def check_advisories(
    packages: Iterable[tuple[str, str]],
    index: AdvisoryIndex | None,
    accepted: Mapping[str, str],
) -> Finding:
    """Returns whether the packages, by name and version, have known vulnerabilities."""
    title = "No Python package of the image has a known vulnerability"
    wanted = list(packages)
    if not wanted:
        return inapplicable("deps.advisories", title, "the image has no Python packages")
    if index is None:
        return warned(
            "deps.advisories",
            title,
            "not looked up: no index was to be asked",
            {"packages": [f"{name} {version}" for name, version in wanted]},
            remedy="run without --offline, or `pip-audit -r enclave/requirements.lock`",
        )
    found: dict[str, list[dict[str, object]]] = {}
    taken: dict[str, str] = {}
    silent: list[str] = []
    for name, version in wanted:
        try:
            for advisory in index.advisories(name, version):
                numbers = (advisory.id, *advisory.aliases)
                if known := next((number for number in numbers if number in accepted), None):
                    taken[f"{name}: {known}"] = accepted[known]
                    continue
                found.setdefault(f"{name} {version}", []).append(
                    {
                        "id": advisory.id,
                        "aliases": list(advisory.aliases),
                        "summary": advisory.summary,
                        "fixed_in": list(advisory.fixed_in),
                    }
                )
        except IndexUnreachable as error:
            silent.append(str(error))
    evidence: dict[str, object] = {
        "asked": len(wanted),
        "answered": len(wanted) - len(silent),
        "found": found,
        "accepted": taken,
        "unanswered": silent,
    }
    if found:
        numbers_found = ", ".join(f"{name}: {rows[0]['id']}" for name, rows in found.items())
        return failed(
            "deps.advisories",
            title,
            numbers_found,
            evidence,
            remedy="raise the versions with `make lock UPGRADE=1`; one that does not concern the"
            f" image goes into {ACCEPTED.as_posix()} with the reason",
        )
    if silent:
        return warned(
            "deps.advisories",
            title,
            f"not reachable for {len(silent)} of {len(wanted)} packages: {silent[0]}",
            evidence,
            remedy="try again with network, or `pip-audit -r enclave/requirements.lock`",
        )
    text = f"{len(wanted)} packages asked about" + (f", {len(taken)} accepted" if taken else "")
    return passed("deps.advisories", title, text, evidence)
