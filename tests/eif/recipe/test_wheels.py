"""Wheels: exactly those of the lock, fetched by hash, each path and digest checked."""

import base64
import hashlib
import io
import json
import stat
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from strongroom_eif.recipe import wheel_archive
from strongroom_eif.recipe import wheels as module
from strongroom_eif.recipe.content_errors import (
    LicenceUnknown,
    LockMalformed,
    WheelMalformed,
    WheelMissing,
    WheelNotLocked,
)
from strongroom_eif.recipe.contents import DIST_PACKAGES
from strongroom_eif.recipe.errors import InputMissing
from strongroom_eif.recipe.rules import LeaveOut, Pruner, Rules
from strongroom_eif.recipe.store import Store
from strongroom_eif.recipe.wheel_archive import Unpacked, unpack
from strongroom_eif.recipe.wheels import (
    Wheel,
    locked,
    read_lock,
    read_pins,
    wheel_file,
    write_pins,
)

from tests.architecture.source import ROOT

A, B = "aa" * 32, "bb" * 32
INFO = "sample-1.0.dist-info"
METADATA = b"Metadata-Version: 2.4\nName: sample\nLicense-Expression: MIT\n"
NO_RULES = Rules((), (), {}, (), {})


def wheel_of(data: bytes) -> Wheel:
    digest = hashlib.sha256(data).hexdigest()
    return Wheel("sample", "1.0", "sample-1.0-py3-none-any.whl", len(data), digest)


def packed(
    files: dict[str, bytes],
    record: dict[str, str] | None = None,
    extra: list[tuple[zipfile.ZipInfo, bytes]] | None = None,
) -> bytes:
    """Returns a wheel; `record` replaces lines of its RECORD, an empty text drops one."""
    lines = {}
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines[name] = f"{name},sha256={digest},{len(data)}"
    lines[f"{INFO}/RECORD"] = f"{INFO}/RECORD,,"
    lines |= record or {}
    text = "\n".join(line for line in lines.values() if line) + "\n"
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # of names that occur twice, which is the point
        for name, data in {**files, f"{INFO}/RECORD": text.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        for info, data in extra or []:
            archive.writestr(info, data)
    return stream.getvalue()


FILES = {"sample/__init__.py": b"x = 1\n", f"{INFO}/METADATA": METADATA}


def unpacked(data: bytes, tmp_path: Path, rules: Rules = NO_RULES) -> Unpacked:
    path = tmp_path / "sample.whl"
    path.write_bytes(data)
    return unpack(path, wheel_of(data), Pruner(rules))


def test_files_go_to_dist_packages_and_nobody_may_write_or_run_them(tmp_path: Path) -> None:
    found = unpacked(packed(FILES), tmp_path)
    by_path = {item.path: item for item in found.items}
    item = by_path[f"{DIST_PACKAGES}/sample/__init__.py"]
    assert (item.node.content, item.node.mode) == (b"x = 1\n", stat.S_IFREG | 0o644)
    assert item.origin == "wheel:sample"
    assert found.licence == ("MIT",)


def test_rules_keep_files_out_by_their_path_in_the_wheel(tmp_path: Path) -> None:
    rules = Rules((LeaveOut(("wheel:*",), ("*.dist-info/**",), "x"),), (), {}, (), {})
    found = unpacked(packed(FILES), tmp_path, rules)
    assert [item.path for item in found.items] == [f"{DIST_PACKAGES}/sample/__init__.py"]
    assert found.licence == ("MIT",)


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


INIT = "sample/__init__.py"
MALFORMED = {
    "climbs": packed({**FILES, "../evil.py": b""}),
    "absolute": packed({**FILES, "/evil.py": b""}),
    "second spelling": packed({**FILES, "sample/./a.py": b""}),
    "inside climbing": packed({**FILES, "sample/../../evil.py": b""}),
    "backslash": packed({**FILES, "sample\\a.py": b""}),
    "control characters": packed({**FILES, "sample/\x1b.py": b""}),
    "link": packed(FILES, extra=[(link("sample/l"), b"/etc/passwd")]),
    "data folder": packed({**FILES, "sample-1.0.data/scripts/run": b""}),
    "twice": packed(FILES, extra=[(zipfile.ZipInfo("sample/__init__.py"), b"evil")]),
    "not in RECORD": packed({**FILES, "a.py": b""}, {"a.py": ""}),
    "other digest": packed(FILES, {INIT: f"{INIT},sha256={'A' * 43},6"}),
    "weaker digest": packed(FILES, {INIT: f"{INIT},md5=abc,6"}),
    "no digest": packed(FILES, {INIT: f"{INIT},,"}),
    "not there": packed(FILES, {"b.py": f"b.py,sha256={'A' * 43},6"}),
    "no RECORD": b"PK\x05\x06" + bytes(18),
    "two RECORDs": packed({**FILES, "other-1.0.dist-info/RECORD": b""}),
    "no zip": b"this is no zip file",
    "cut off": packed(FILES)[:-30],
}  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_each_malformed_wheel_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(WheelMalformed) as caught:
        unpacked(data, tmp_path)
    assert caught.value.what.isprintable()


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("check_member", "climbs"),
        ("check_member", "link"),
        ("check_member", "data folder"),
        ("check_not_twice", "twice"),
        ("check_record", "other digest"),
        ("check_record", "not in RECORD"),
        ("check_record", "not there"),
    ],
)
def test_each_rule_is_one_of_its_own(
    rule: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_archive, rule, lambda *_: None)
    if name in ("twice", "link"):
        monkeypatch.setattr(wheel_archive, "check_record", lambda *_: None)
    assert unpacked(MALFORMED[name], tmp_path).items


def test_a_bomb_is_refused_before_it_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_archive, "MAX_FILE_BYTES", 100)
    with pytest.raises(WheelMalformed, match="too large"):
        unpacked(packed({**FILES, "sample/big.py": bytes(101)}), tmp_path)


def test_a_wheel_without_a_licence_needs_one_in_the_rules(tmp_path: Path) -> None:
    silent = packed({**FILES, f"{INFO}/METADATA": b"Name: sample\n"})
    with pytest.raises(LicenceUnknown):
        unpacked(silent, tmp_path)
    rules = Rules((), (), {}, (), {"wheel:sample": "ISC"})
    assert unpacked(silent, tmp_path, rules).licence == ("ISC",)


# --- Lock and pins -------------------------------------------------------------------------------


def lock(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(text)
    return path


def test_a_lock_is_read(tmp_path: Path) -> None:
    text = (
        f"# made by make lock\ncbor2==6.2.1 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"
        f"cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\\n    --hash=sha256:{A}\n"
    )
    assert read_lock(lock(tmp_path, text)) == {
        ("cbor2", "6.2.1"): frozenset({A, B}),
        ("cffi", "2.1.1"): frozenset({A}),
    }


@pytest.mark.parametrize(
    "text",
    [
        "cbor2==6.2.1\n",
        f"cbor2>=6 --hash=sha256:{A}\n",
        f"cbor2 --hash=sha256:{A}\n",
        f"cbor2==6.2.1 --hash=sha512:{A}\n",
        f"cbor2==6.2.1 --hash=sha256:{A[:-1]}\n",
        f"--index-url https://packages.example/simple\ncbor2==1 --hash=sha256:{A}\n",
        f"-e . --hash=sha256:{A}\n",
        f"cbor2 @ https://packages.example/x.whl --hash=sha256:{A}\n",
        f"cbor2==1 --hash=sha256:{A}\ncbor2==2 --hash=sha256:{A}\n",
    ],
)
def test_a_lock_that_leaves_something_open_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(LockMalformed):
        read_lock(lock(tmp_path, text))


def test_a_lock_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LockMalformed, match="cannot be read"):
        read_lock(tmp_path / "none.lock")


PINNED = (
    Wheel("cbor2", "6.2.1", "cbor2-6.2.1-cp313-cp313-manylinux_2_28_x86_64.whl", 5, A),
    Wheel("cffi", "2.1.1", "cffi-2.1.1-cp313-cp313-linux_x86_64.whl", 7, B),
)
LOCK = {("cbor2", "6.2.1"): frozenset({A}), ("cffi", "2.1.1"): frozenset({A, B})}


def test_pins_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "wheels.json"
    path.write_text(write_pins(reversed(PINNED)))
    assert read_pins(path) == PINNED
    assert locked(PINNED, LOCK) == PINNED


@pytest.mark.parametrize(
    "change",
    [
        {"format": "strongroom-wheels/2"},
        {"surprise": 1},
        {"wheels": [{"name": "a"}]},
        {"wheels": [{**json.loads(write_pins(PINNED))["wheels"][0], "filename": "../a.whl"}]},
        {"wheels": [{**json.loads(write_pins(PINNED))["wheels"][0], "sha256": "00"}]},
        {"wheels": [{**json.loads(write_pins(PINNED))["wheels"][0], "size": 0}]},
    ],
)
def test_pins_of_another_form_are_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "wheels.json"
    path.write_text(json.dumps(json.loads(write_pins(PINNED)) | change))
    with pytest.raises(LockMalformed):
        read_pins(path)


@pytest.mark.parametrize(
    ("wheels", "allowed"),
    [
        (PINNED[:1], LOCK),
        ((*PINNED, PINNED[0]), LOCK),
        (PINNED, {**LOCK, ("new", "1"): frozenset({A})}),
        (PINNED, {("cbor2", "6.2.1"): frozenset({A})}),
        (PINNED, {**LOCK, ("cffi", "2.1.1"): frozenset({A})}),
        (PINNED, {("cbor2", "6.2.2"): frozenset({A}), ("cffi", "2.1.1"): frozenset({B})}),
    ],
)
def test_pins_and_lock_must_agree_exactly(
    wheels: tuple[Wheel, ...], allowed: dict[tuple[str, str], frozenset[str]]
) -> None:
    with pytest.raises(WheelNotLocked) as caught:
        locked(wheels, allowed)
    assert "make pins" in caught.value.remedy


def test_the_repository_pins_what_its_lock_allows_for_the_image() -> None:
    chosen = read_pins(ROOT / "reproducible-build/pins/wheels.json")
    assert locked(chosen, read_lock(ROOT / "enclave/requirements.lock"))
    for wheel in chosen:
        *_, python, abi, platform = wheel.filename.removesuffix(".whl").split("-")
        assert platform == "any" or platform.endswith("_x86_64"), wheel.filename
        assert (python, abi) == ("py3", "none") or abi in ("cp313", "abi3"), wheel.filename


# --- Fetching ------------------------------------------------------------------------------------


def store(tmp_path: Path, **options: object) -> Store:
    return Store(tmp_path / "cache", mirrors=(), **options)  # type: ignore[arg-type]


def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("pip was started")

    monkeypatch.setattr(module, "_pip", refuse)


def test_a_wheel_comes_from_the_inputs_and_then_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_pip(monkeypatch)
    data = packed(FILES)
    folder = tmp_path / "inputs"
    folder.mkdir()
    (folder / wheel_of(data).filename).write_bytes(data)
    assert wheel_file(store(tmp_path, inputs=[folder]), wheel_of(data)).read_bytes() == data
    assert wheel_file(store(tmp_path, offline=True), wheel_of(data)).read_bytes() == data


def test_offline_pip_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pip(monkeypatch)
    with pytest.raises(InputMissing):
        wheel_file(store(tmp_path, offline=True), wheel_of(packed(FILES)))


def test_what_pip_brings_counts_only_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = packed(FILES)
    brought = data

    def pip(target: Path, *arguments: str) -> None:
        wanted = Path(arguments[-1]).read_text()
        assert wanted == f"sample==1.0 --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"
        target.mkdir()
        (target / "anything.whl").write_bytes(brought)

    monkeypatch.setattr(module, "_pip", pip)
    assert wheel_file(store(tmp_path), wheel_of(data)).read_bytes() == data
    brought = packed({**FILES, "evil.py": b""})
    with pytest.raises(Exception, match="not the pinned file"):
        wheel_file(Store(tmp_path / "other", mirrors=()), wheel_of(data))


def test_pip_is_told_what_the_image_runs_and_its_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\necho "ERROR: no such wheel" >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(WheelMissing, match="no such wheel") as caught:
        wheel_file(store(tmp_path), wheel_of(packed(FILES)))
    assert "INPUTS" in caught.value.remedy
    arguments = told.read_text().splitlines()
    for wanted in (
        "--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version=3.13",
        "--abi=cp313", "--abi=abi3", "--platform=manylinux_2_28_x86_64",
    ):  # fmt: skip
        assert wanted in arguments
    assert not any("index-url" in argument for argument in arguments)
