"""Resolve the inputs of the image to exact versions and hashes (`make pins`).

Reads reproducible-build/pins/requests.toml, asks Debian's archives through an apt that knows only
them, their signing keys and an empty system, and writes packages.json and files.json beside it. The
same archive state gives the same files. Only a maintainer runs this, on Debian or Ubuntu; a build
needs neither apt nor this tool.

    .tools/pins.py            write the pins and say what changed
    .tools/pins.py --check    write nothing; exit 1 if the archives have something newer
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from strongroom_eif.recipe.errors import PinsInvalid
from strongroom_eif.recipe.pins import FILES, PACKAGES, Pins

ROOT: Final = Path(__file__).resolve().parent.parent
PINS: Final = ROOT / "reproducible-build/pins"
STATE: Final = ROOT / "build/pins-apt"
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
FORMAT: Final = "strongroom-pins/1"

Stanza = dict[str, str]


class Unusable(Exception):
    """This machine or the request lacks something; the message says what to do."""


class ArchiveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An archive to choose from."""

    url: str
    suite: str


class SetRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The packages of a set; with `closure`, also all that they depend on."""

    closure: bool
    packages: list[str]
    includes: list[str] = []


class SourceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One file of a source package, by how its name ends."""

    ends: str


class Requests(msgspec.Struct, forbid_unknown_fields=True):
    """What requests.toml says."""

    archives: list[ArchiveRequest]
    sets: dict[str, SetRequest]
    sources: dict[str, SourceRequest]

    def packages(self, name: str) -> list[str]:
        """Return what a set asks for, with the sets it includes."""
        own = self.sets[name]
        return sorted({*own.packages, *(p for part in own.includes for p in self.packages(part))})


class Apt:
    """An apt of its own: nothing installed, no source but ours, no setting of this machine."""

    def __init__(self, archives: list[ArchiveRequest]) -> None:
        """Fetch the archives' indices; apt checks their signatures and dates."""
        for tool in ("apt-get", "apt-cache", "dpkg", "gpgv"):
            if shutil.which(tool) is None:
                raise Unusable(f"make pins needs {tool}: run it on Debian or Ubuntu (apt, gpgv)")
        if not KEYRING.exists():
            raise Unusable(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        for folder in ("lists/partial", "cache/archives/partial", "etc"):
            (STATE / folder).mkdir(parents=True, exist_ok=True)
        (STATE / "status").write_text("")
        stanzas = [
            f"Types: deb deb-src\nURIs: {archive.url}\nSuites: {archive.suite}\n"
            f"Components: main\nArchitectures: amd64\nSigned-By: {KEYRING}\n"
            for archive in archives
        ]
        (STATE / "etc/archives.sources").write_text("\n".join(stanzas))
        settings = {
            "APT::Architecture": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::Languages": "none",
            "Dir::Cache": STATE / "cache",
            "Dir::Etc": STATE / "etc",
            "Dir::Etc::sourcelist": STATE / "etc/archives.sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::trusted": "/dev/null",
            "Dir::Etc::trustedparts": "/dev/null",
            "Dir::State": STATE,
            "Dir::State::lists": STATE / "lists",
            "Dir::State::status": STATE / "status",
        }
        lines = [f'{key} "{value}";' for key, value in settings.items()]
        lines += ["#clear APT::Architectures;", 'APT::Architectures { "amd64"; };']
        (STATE / "apt.conf").write_text("\n".join(lines) + "\n")
        self.run("apt-get", "-q", "--error-on=any", "update")

    def run(self, *command: str) -> str:
        """Return what an apt command prints."""
        environment = {**os.environ, "APT_CONFIG": str(STATE / "apt.conf"), "LC_ALL": "C"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            raise Unusable(f"{' '.join(command[:4])} failed:\n{result.stdout}{result.stderr}")
        return result.stdout

    def closure(self, packages: list[str]) -> list[str]:
        """Return `name=version` of packages and all that they depend on, for an empty system."""
        chosen = []
        for line in self.run("apt-get", "--simulate", "install", *packages).splitlines():
            if line.startswith("Inst "):
                _, name, version = line.split()[:3]
                chosen.append(f"{name}={version.lstrip('(')}")
        return chosen

    def newest(self, packages: list[str]) -> list[str]:
        """Return `name=version` of packages alone."""
        chosen = []
        for name in packages:
            for line in self.run("apt-cache", "policy", name).splitlines():
                if line.startswith("  Candidate: ") and "(none)" not in line:
                    chosen.append(f"{name}={line.split()[1]}")
                    break
            else:
                raise Unusable(f"the archives have no package {name}")
        return chosen

    def describe(self, chosen: Iterable[str]) -> dict[str, Stanza]:
        """Return each package's index entry, by name."""
        found: dict[str, Stanza] = {}
        for entry in _stanzas(self.run("apt-cache", "show", *sorted(chosen))):
            name, known = entry["Package"], found.get(entry["Package"])
            if known and (known["SHA256"], known["Version"]) != (
                entry["SHA256"],
                entry["Version"],
            ):
                raise Unusable(f"{name} {entry['Version']}: two archives disagree on its content")
            # Two archives may carry the same file; always name the same one.
            if not known or entry["Filename"] < known["Filename"]:
                found[name] = entry
        return found

    def source_file(self, name: str, ends: str) -> dict[str, object]:
        """Return the pin of the file of a source package whose name ends so."""
        version = self.newest_source(name)
        for entry in _stanzas(self.run("apt-cache", "showsrc", "--only-source", name)):
            if entry["Version"] != version:
                continue
            for line in entry["Checksums-Sha256"].split("\n"):
                digest, size, file = line.split() if line.strip() else ("", "", "")
                if file.endswith(ends):
                    return {
                        "name": file,
                        "size": int(size),
                        "sha256": digest,
                        "urls": [f"{entry['Directory']}/{file}"],
                        "origin": f"Debian source package {name} {version}",
                    }
        raise Unusable(f"the source package {name} has no file that ends with {ends}")

    def newest_source(self, name: str) -> str:
        """Return the newest version of a source package, in dpkg's order."""
        newest = ""
        for entry in _stanzas(self.run("apt-cache", "showsrc", "--only-source", name)):
            version = entry["Version"]
            compare = ["dpkg", "--compare-versions", version, "gt", newest]
            if not newest or subprocess.call(compare) == 0:
                newest = version
        return newest

    def index(self, archive: ArchiveRequest) -> dict[str, str]:
        """Return what identifies the signed index that apt has just checked."""
        stem = archive.url.partition("://")[2].replace("/", "_")
        data = (STATE / "lists" / f"{stem}_dists_{archive.suite}_InRelease").read_bytes()
        dates = [line for line in data.decode().splitlines() if line.startswith("Date: ")]
        return {
            "url": archive.url,
            "suite": archive.suite,
            "date": dates[0].removeprefix("Date: "),
            "sha256": hashlib.sha256(data).hexdigest(),
        }


def _stanzas(text: str) -> Iterator[Stanza]:
    for block in text.split("\n\n"):
        fields: Stanza = {}
        last = ""
        for line in block.splitlines():
            if line[:1].isspace() and last:
                fields[last] += f"\n{line.strip()}"
            else:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        if "Package" in fields:
            yield fields


def resolve(requests: Requests, apt: Apt) -> dict[str, dict[str, object]]:
    """Return the content of both files, by name."""
    sets: dict[str, object] = {}
    packages: dict[str, dict[str, object]] = {}
    for name, wanted in sorted(requests.sets.items()):
        asked = requests.packages(name)
        chosen = apt.closure(asked) if wanted.closure else apt.newest(asked)
        described = apt.describe(chosen)
        sets[name] = {"requested": asked, "packages": sorted(described)}
        for package, entry in described.items():
            packages[package] = {
                "version": entry["Version"],
                "architecture": entry["Architecture"],
                "path": entry["Filename"],
                "size": int(entry["Size"]),
                "sha256": entry["SHA256"],
                "source": entry.get("Source", package),
            }
    files = {}
    for source, request in sorted(requests.sources.items()):
        pin = apt.source_file(source, request.ends)
        files[str(pin.pop("name"))] = pin
    return {
        PACKAGES: {
            "format": FORMAT,
            "archives": [apt.index(archive) for archive in requests.archives],
            "sets": sets,
            "packages": dict(sorted(packages.items())),
        },
        FILES: {"format": FORMAT, "files": files},
    }


def changes(before: Pins | None, after: Pins) -> list[str]:
    """Return one line per package or file that is new, gone, or of another version or hash."""

    def flat(pins: Pins | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, members in pins.sets.items() if pins else ():
            found |= {f"{name}: {p.name}": f"{p.version} {p.sha256[:12]}" for p in members}
        found |= {f"file: {f.name}": f.sha256[:12] for f in pins.files.values()} if pins else {}
        return found

    old, new = flat(before), flat(after)
    return [
        f"  {what}: {old.get(what, 'absent')} -> {new.get(what, 'absent')}"
        for what in sorted(old.keys() | new.keys())
        if old.get(what) != new.get(what)
    ]


def main(arguments: list[str]) -> int:
    """Resolve, and write or compare; return the exit status."""
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__)
        return 2
    try:
        text = (PINS / "requests.toml").read_text()
        requests = msgspec.convert(tomllib.loads(text), Requests)
        resolved = resolve(requests, Apt(requests.archives))
    except (Unusable, msgspec.ValidationError) as problem:
        print(f"pins: {problem}", file=sys.stderr)
        return 1
    try:
        before = Pins.load(PINS)
    except PinsInvalid:
        before = None
    # Written elsewhere first: what is committed is replaced only by what the builder can read.
    fresh = STATE / "fresh"
    fresh.mkdir(exist_ok=True)
    for name, content in resolved.items():
        (fresh / name).write_text(json.dumps(content, indent=1) + "\n")
    after = Pins.load(fresh)
    changed = changes(before, after)
    print("\n".join(changed) if changed else "  nothing changed")
    if check:
        return 1 if changed else 0
    for name in resolved:
        shutil.copyfile(fresh / name, PINS / name)
    for name, members in after.sets.items():
        total = sum(package.size for package in members)
        print(f"{name}: {len(members)} packages, {total / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
