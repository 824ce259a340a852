"""`strongroom audit`: what it writes and prints, exit statuses, what it clears away."""

import json
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.audit.rebuild import BuildStopped, Circumstances, Product
from strongroom_host.cli import audit as module
from strongroom_host.cli.app import app
from typer.testing import CliRunner

from tests.host.audit.world import World

WIRE = "enclave/strongroom_wire/__init__.py"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, monkeypatch)
    monkeypatch.setattr(module, "ProcessBuilder", lambda *_: world.builder)
    return world


def run(world: World, *options: object, expect: int = 0) -> Any:
    keys = world.releases / "keys.json"
    arguments = ["audit", "--source", world.source, "--keys", keys, "--offline", *options]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result


def out(world: World) -> Path:
    return world.source / "build" / "audit"


def test_a_whole_audit_writes_report_statement_image_and_papers(world: World) -> None:
    shown = run(world)
    assert "no check failed" in shown.stdout
    assert "track-record checklist" in shown.stdout
    report = json.loads((out(world) / "report.json").read_bytes())
    assert report["passed"] is True
    assert report["format"] == "strongroom-audit/1"
    image = (out(world) / "strongroom-1.2.3.eif").read_bytes()
    assert len(image) == report["image"]["size"]
    statement = json.loads((out(world) / "provenance.json").read_bytes())
    assert statement["subject"][0]["digest"]["sha256"] == report["image"]["sha256"]
    assert {path.name for path in out(world).iterdir()} == {
        "report.json", "provenance.json", "strongroom-1.2.3.eif", "strongroom-1.2.3.json",
        "strongroom-1.2.3.cdx.json",
    }  # fmt: skip


def test_json_is_the_report_alone(world: World) -> None:
    shown = run(world, "--json")
    assert json.loads(shown.stdout) == json.loads((out(world) / "report.json").read_bytes())


def test_builds_that_differ_stay_for_a_look_and_exit_with_1(world: World) -> None:
    def leak(source: Path, around: Circumstances) -> None:
        (source / WIRE).write_text(f"BUILT = {around.name!r}\n")

    world.builder.twist = leak
    shown = run(world, expect=1)
    assert "audit FAILED" in shown.stdout
    assert "strongroom_wire/__init__.py" in shown.stdout
    assert (out(world) / "work" / "a").is_dir()


@pytest.mark.parametrize("status", [2, 5])
def test_what_keeps_a_build_from_being_made_decides_the_status(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    class Stopping:
        def build(self, source: Path, folder: Path, around: Circumstances) -> Product:
            raise BuildStopped("an input is gone", status=status, remedy="INPUTS=DIR")

    run(world)
    monkeypatch.setattr(module, "ProcessBuilder", lambda *_: Stopping())
    shown = run(world, expect=status)
    assert "INPUTS=DIR" in shown.stdout
    assert json.loads((out(world) / "report.json").read_bytes())["passed"] is False
    # The statement of an earlier audit does not stand beside another's report.
    assert not (out(world) / "provenance.json").exists()


def test_an_image_alone(world: World) -> None:
    product = world.product()
    shown = run(world, "--no-rebuild", "--image", product.image)
    assert "not built" in shown.stdout
    assert not (out(world) / "provenance.json").exists()
    run(world, "--no-rebuild", expect=2)


def test_options_that_make_no_sense(world: World) -> None:
    for options in (
        ["--unsigned", "--root", "00" * 32],
        ["--root", "nonsense"],
        ["--document", world.folder / "missing"],
        ["--enclave", "nowhere"],
        ["--release", world.folder / "missing"],
        ["--work", world.source],
    ):
        run(world, *options, expect=2)
    assert world.builder.built == []


def test_terminal_control_in_what_is_shown_is_harmless(world: World) -> None:
    path = world.source / "reproducible-build" / "releases" / "x.json"
    path.write_text("{}")
    bad = world.folder / "bad.json"
    bad.write_text(json.dumps({"version": "\x1b]0;owned\x07"}))
    shown = run(world, "--release", bad, expect=2)
    assert "\x1b" not in shown.output
