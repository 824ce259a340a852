"""The audit as a whole on a small checkout: what passes, and one spoilt thing for each finding."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from strongroom_eif import parse
from strongroom_eif.recipe.record import parse_record
from strongroom_host.audit.audit import published
from strongroom_host.audit.figures import MODULES
from strongroom_host.audit.findings import Finding, Report, Result
from strongroom_host.audit.lines import BUDGET_ENCLAVE
from strongroom_host.audit.promises import PROMISES
from strongroom_host.audit.rebuild import SECOND, BuildStopped, Circumstances, Product
from strongroom_host.errors import BadInput

from tests.eif.recipe.trees import elf
from tests.eif.samples import Raw, cpio_entry
from tests.host.audit.world import Index, World, finding, results
from tests.host.trust.releases import entry, revoked, ring, sign

WIRE = "enclave/strongroom_wire/__init__.py"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


NOT_PASSED = {
    # The small checkout is no git checkout.
    "source.known": "warning",
    "deps.debian": "warning",
    "release.signed": "not-applicable",
    "release.identical": "not-applicable",
    "live.document": "not-applicable",
    # The small checkout has no gateway.
    "gateway.doors": "not-applicable",
    "gateway.grants": "not-applicable",
    "gateway.logins": "not-applicable",
    # Nor a record.
    **{f"bench.{module}": "not-applicable" for module in MODULES},
    **{promise.id: "not-applicable" for promise in PROMISES},
}


def test_an_honest_checkout_passes(world: World) -> None:
    outcome = world.run()
    found = results(outcome)
    rows = {name: result for name, result in found.items() if name.startswith("row.")}
    rest = {name: result for name, result in found.items() if not name.startswith("row.")}
    assert {name: result for name, result in rest.items() if result != "pass"} == NOT_PASSED
    assert rows.pop("row.S2-9") == "pass"
    assert set(rows.values()) == {"not-applicable"}
    assert outcome.report.exit_status == 0
    assert world.builder.built == ["first", "second"]
    assert outcome.identical


def test_every_finding_that_did_not_pass_says_what_to_do(world: World) -> None:
    for found in world.run().report.findings:
        assert found.title
        assert found.detail
        if found.result in (Result.FAIL, Result.WARNING):
            assert found.remedy, found.id


# --- Two builds ----------------------------------------------------------------------------------


def test_a_build_that_heeds_its_circumstances_is_caught_and_the_file_named(world: World) -> None:
    def leak(source: Path, around: Circumstances) -> None:
        (source / WIRE).write_text(f"BUILT = {around.name!r}\n")

    world.builder.twist = leak
    outcome = world.run()
    found = finding(outcome, "rebuild.identical")
    assert found.result is Result.FAIL
    assert "ramdisk[1]" in found.detail
    assert "strongroom_wire/__init__.py" in found.detail
    assert "enclave's own code" in found.detail
    assert "PCR0, PCR2" in found.detail
    assert results(outcome)["row.S2-9"] == "fail"
    assert outcome.report.exit_status == 1
    assert not outcome.identical


def test_papers_that_differ_are_caught(world: World) -> None:
    def stamp(product: Product, around: Circumstances) -> None:
        text = json.loads(product.record.read_bytes())
        text["kernel"]["version"] = around.name
        product.record.write_text(json.dumps(text))

    world.builder.after = stamp
    found = finding(world.run(), "rebuild.papers")
    assert found.result is Result.FAIL
    assert "$.kernel.version" in found.detail


@pytest.mark.parametrize(("status", "exits"), [(1, 1), (2, 2), (5, 5)])
def test_a_build_that_stops_is_reported_with_everything_else(
    world: World, status: int, exits: int
) -> None:
    class Stopping:
        def build(self, source: Path, folder: Path, around: Circumstances) -> Product:
            raise BuildStopped("no space", status=status, code="disk-full", remedy="free some")

    outcome = world.run(Stopping())
    found = finding(outcome, "rebuild.done")
    assert (found.result, found.detail, found.remedy) == (Result.FAIL, "no space", "free some")
    assert results(outcome)["tcb.lines"] == "pass"
    assert results(outcome)["row.S2-9"] == "fail"
    assert outcome.report.exit_status == exits
    assert outcome.provenance is None


def test_the_work_folder_of_somebody_else_is_not_emptied(world: World) -> None:
    work = world.folder / "audited"
    work.mkdir()
    (work / "thesis.tex").touch()
    with pytest.raises(BadInput, match="not empty"):
        world.run()
    assert (work / "thesis.tex").exists()
    (work / "thesis.tex").unlink()
    world.run()
    assert world.run().report.exit_status == 0  # its own may be


# --- The source ----------------------------------------------------------------------------------


def spoil_lines(world: World) -> None:
    (world.source / "enclave/strongroom_enclave/long.py").write_text(
        "x = 1\n" * (BUDGET_ENCLAVE + 1)
    )


def spoil_contract(world: World) -> None:
    (world.source / WIRE).write_text("import strongroom_enclave\n")


def spoil_lock(world: World) -> None:
    lock = world.source / "enclave/requirements.lock"
    lock.write_text(lock.read_text().replace("sha256:", "sha256:" + "a" * 64 + " --hash=sha256:")
                    [: lock.read_text().index("sha256:") + 71])  # fmt: skip


def spoil_pins(world: World) -> None:
    path = world.releases / "0.0.1.json"
    path.write_text(json.dumps({"pcr0": "00" * 48}))


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("tcb.lines", spoil_lines),
        ("tcb.contracts", spoil_contract),
        ("pins.wheels", spoil_lock),
        ("pins.genuine", spoil_pins),
    ],
)
def test_each_check_of_the_source(world: World, check: str, spoil: Callable[[World], None]) -> None:
    product = world.product()
    spoil(world)
    outcome = world.run(rebuild=False, image=product.image)
    assert finding(outcome, check).result is Result.FAIL
    assert results(outcome)["row.S2-9"] == "fail"
    assert outcome.report.exit_status == 1


# --- The image -----------------------------------------------------------------------------------


def test_an_image_alone_proves_less_and_says_so(world: World) -> None:
    product = world.product()
    outcome = world.run(rebuild=False, image=product.image)
    assert results(outcome)["rebuild.identical"] == "warning"
    # Bytecode is what runs, and nothing but a build says that it is of this source.
    assert results(outcome)["image.source"] == "warning"
    assert results(outcome)["row.S2-9"] == "warning"
    assert outcome.provenance is None
    assert world.builder.built == []


def test_an_image_of_another_source_is_caught_without_the_recipe(world: World) -> None:
    product = world.product()
    (world.source / WIRE).write_text("x = 2\n")
    found = finding(world.run(rebuild=False, image=product.image), "image.source")
    assert found.result is Result.FAIL
    assert "strongroom_wire/__init__.py" in found.detail


def test_a_module_more_in_the_image_is_caught(world: World) -> None:
    extra = world.source / "enclave/strongroom_wire/extra.py"
    extra.write_text("x = 1\n")
    product = world.product()
    extra.unlink()
    found = finding(world.run(rebuild=False, image=product.image), "image.source")
    assert found.result is Result.FAIL
    assert "extra.py" in found.detail


def with_file(product: Product, path: str, mode: int, content: bytes = b"x") -> Product:
    """Puts a file more into the second ramdisk of an image."""
    image = parse(product.image.read_bytes())
    plain = gzip.decompress(image.ramdisks[1])
    trailer = plain.rindex(b"070701")
    more = plain[:trailer] + cpio_entry(path.encode(), mode, content, ino=9_999)
    sections = [(int(section.type), bytes(section.data)) for section in image.sections]
    sections[-1] = (3, gzip.compress(more + plain[trailer:], mtime=0))
    product.image.write_bytes(Raw(tuple(sections)).data())
    return product


LIB = "usr/local/lib/python3.13/dist-packages"


@pytest.mark.parametrize(
    ("check", "path", "mode"),
    [
        ("image.tools", "usr/bin/busybox", 0o100755),
        ("image.foreign", f"{LIB}/strongroom_local", 0o040755),
        ("image.programs", "usr/bin/surprise", 0o100755),
        ("image.set-id", "usr/bin/surprise", 0o104755),
        ("image.writable", "usr/bin/notes", 0o100666),
        ("image.devices", "mem", 0o020600),
        ("image.links", "nowhere", 0o120777),
        ("sbom.complete", "usr/bin/notes", 0o100644),
        ("record.names", "usr/bin/notes", 0o100644),
    ],
)
def test_each_rule_on_files(world: World, check: str, path: str, mode: int) -> None:
    product = with_file(world.product(), path, mode)
    found = finding(world.run(rebuild=False, image=product.image), check)
    assert found.result is Result.FAIL
    if check != "record.names":
        assert path in found.detail


def test_a_library_that_is_needed_and_missing(world: World) -> None:
    product = with_file(world.product(), "usr/lib/thing.so", 0o100644, elf("libabsent.so.1"))
    found = finding(world.run(rebuild=False, image=product.image), "image.libraries")
    assert found.result is Result.FAIL
    assert "libabsent.so.1" in found.detail


def test_what_is_no_image_fails_and_does_not_stop_the_audit(world: World) -> None:
    product = world.product()
    product.image.write_bytes(b"\0" * 5_000)
    outcome = world.run(rebuild=False, image=product.image)
    assert finding(outcome, "image.format").result is Result.FAIL
    assert outcome.report.exit_status == 1


def test_an_image_without_papers(world: World) -> None:
    product = world.product()
    product.record.unlink()
    outcome = world.run(rebuild=False, image=product.image)
    assert finding(outcome, "record.there").result is Result.FAIL
    assert "deps.licences" not in results(outcome)


# --- The release ---------------------------------------------------------------------------------


def test_a_signed_release_of_this_source_is_found_by_itself(world: World) -> None:
    world.publish()
    outcome = world.run()
    assert results(outcome)["release.signed"] == "pass"
    assert results(outcome)["release.identical"] == "pass"
    assert finding(outcome, "release.signed").evidence["signers"] == ["key 1 (release)"]


def test_a_release_of_another_source_is_caught_and_the_file_named(world: World) -> None:
    file = world.publish()
    (world.source / WIRE).write_text("x = 2\n")
    outcome = world.run(release=file)
    found = finding(outcome, "release.identical")
    assert found.result is Result.FAIL
    assert "strongroom_wire/__init__.py" in found.detail
    assert "[release-pcr]" in found.detail
    assert results(outcome)["release.signed"] == "pass"


def test_a_bare_record_is_compared_and_fails_for_want_of_a_signature(world: World) -> None:
    world.publish("1.2.3.json", world.product().record.read_bytes())
    outcome = world.run()
    assert results(outcome)["release.signed"] == "fail"
    assert results(outcome)["release.identical"] == "pass"
    assert outcome.report.exit_status == 1


def test_the_signed_form_goes_before_the_bare_one(world: World) -> None:
    bare = world.publish("1.2.3.json", world.product().record.read_bytes())
    assert published(world.source, "1.2.3") == bare
    signed = world.publish()
    assert published(world.source, "1.2.3") == signed
    assert published(world.source, "9.9.9") is None


@pytest.mark.parametrize("what", ["revoked", "unknown", "tampered"])
def test_a_release_that_is_refused_is_compared_with_nothing(world: World, what: str) -> None:
    record = world.product().record.read_bytes()
    data = sign(record)
    if what == "revoked":
        ring(revoked(entry())).save(world.releases / "keys.json")
    elif what == "unknown":
        data = sign(record, 2)
    else:
        other = json.loads(sign(record.replace(b'"version": "1.2.3"', b'"version": "1.2.4"')))
        data = json.dumps(json.loads(data) | {"payload": other["payload"]}).encode()
    world.publish(data=data)
    outcome = world.run()
    assert results(outcome)["release.signed"] == "fail"
    assert results(outcome)["release.identical"] == "not-applicable"
    assert outcome.report.exit_status == 1


def test_files_that_cannot_be_read_are_said_before_anything_is_built(world: World) -> None:
    missing = world.folder / "missing"
    (world.folder / "junk").write_text("junk")
    wrong: tuple[dict[str, Path], ...] = (
        {"release": missing},
        {"release": world.folder / "junk"},
        {"image": missing},
        {"source": world.folder},
    )
    for changes in wrong:
        with pytest.raises(BadInput):
            world.run(None, **changes)
    assert world.builder.built == []


def test_an_image_that_was_given_is_compared_and_the_file_named(world: World) -> None:
    product = world.product()
    same = world.run(image=product.image)
    assert results(same)["reference.identical"] == "pass"
    (world.source / WIRE).write_text("x = 2\n")
    found = finding(world.run(image=product.image), "reference.identical")
    assert found.result is Result.FAIL
    assert "strongroom_wire/__init__.py" in found.detail


# --- Dependencies --------------------------------------------------------------------------------


def test_the_index_is_asked_for_the_wheels_of_the_image(world: World) -> None:
    index = Index()
    outcome = world.run(index=index)
    assert index.asked == [("sample", "1.0")]
    assert results(outcome)["deps.advisories"] == "pass"
    packages = finding(outcome, "deps.licences").evidence["packages"]
    assert isinstance(packages, list)
    assert {"sample", "libc6", "python3.13-minimal"} <= {row["name"] for row in packages}
    assert all(row["licence"] for row in packages)


def test_nobody_asked_is_never_a_pass(world: World) -> None:
    assert results(world.run(index=None))["deps.advisories"] == "warning"
    assert results(world.run(index=Index({"sample": "no route"})))["deps.advisories"] == "warning"


# --- Provenance ----------------------------------------------------------------------------------


def test_the_statement_names_the_image_and_every_input(world: World) -> None:
    outcome = world.run()
    assert outcome.product is not None
    record = parse_record(outcome.product.record.read_bytes())
    made = json.loads(json.dumps(outcome.provenance))
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    digest = sha256(outcome.product.image.read_bytes()).hexdigest()
    assert made["subject"][0] == {"name": "strongroom-1.2.3.eif", "digest": {"sha256": digest}}
    definition = made["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["sourceTree"] == record.source.tree
    assert definition["internalParameters"]["identicalBuilds"] == 2
    inputs = definition["resolvedDependencies"]
    digests = {item["digest"]["sha256"] for item in inputs}
    expected = {package.sha256 for package in [*record.packages, *record.toolchain]}
    expected |= {wheel.sha256 for wheel in record.wheels} | set(record.inputs.values())
    assert expected <= digests
    assert all(item["name"] or item["uri"] for item in inputs)
    assert made["predicate"]["runDetails"]["builder"]["id"]
    byproduct = made["predicate"]["runDetails"]["byproducts"][0]
    assert byproduct["digest"]["sha256"] == sha256(outcome.product.record.read_bytes()).hexdigest()


def test_the_statement_does_not_claim_two_builds_where_they_differ(world: World) -> None:
    def leak(source: Path, around: Circumstances) -> None:
        (source / WIRE).write_text(f"BUILT = {around.name!r}\n")

    world.builder.twist = leak
    made = json.loads(json.dumps(world.run().provenance))
    parameters = made["predicate"]["buildDefinition"]["internalParameters"]
    assert parameters["identicalBuilds"] == 1


# --- Reports -------------------------------------------------------------------------------------


def report(*found: Result, fault: int = 0) -> Report:
    findings = tuple(
        Finding(f"x.{number}", "t", result, "d") for number, result in enumerate(found)
    )
    return Report("1", "a", "b", findings, fault)


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (report(Result.PASS), 0),
        (report(Result.PASS, Result.WARNING, Result.NOT_APPLICABLE), 0),
        (report(Result.PASS, Result.FAIL), 1),
        (report(Result.PASS, Result.FAIL, fault=5), 5),
        (report(Result.PASS, Result.FAIL, fault=2), 2),
        # Nothing shown is nothing passed.
        (report(), 1),
        (report(Result.NOT_APPLICABLE, Result.WARNING), 1),
    ],
)
def test_exit_status(made: Report, status: int) -> None:
    assert made.exit_status == status
    assert made.to_json()["passed"] is (status == 0)


def test_the_report_says_how_the_builds_differed(world: World) -> None:
    circumstances = finding(world.run(), "rebuild.identical").evidence["circumstances"]
    assert isinstance(circumstances, dict)
    first, second = circumstances["first"], circumstances["second"]
    assert all(first[name] != second[name] for name in first)
    assert second["umask"] == "077"
    assert replace(SECOND, name="x").to_json() == second
