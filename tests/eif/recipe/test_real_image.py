"""The image of this checkout, where its parts are cached: it starts, and imports all it will need.

Nothing is fetched and no kernel is built here. Without a cache the tests are skipped, with the
command that fills it; `make test-image` boots the same image.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_eif import Image, files, parse
from strongroom_eif.archive_writer import archive
from strongroom_eif.newc import decoded
from strongroom_eif.ramdisk import members
from strongroom_eif.recipe import assemble, sandbox
from strongroom_eif.recipe.assemble import PINS
from strongroom_eif.recipe.bytecode import compiled, gzipped
from strongroom_eif.recipe.contents import Item
from strongroom_eif.recipe.errors import BuildFailed, InputError, MachineError
from strongroom_eif.recipe.kernel import Kernel
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.results import Results
from strongroom_eif.recipe.root import MOUNT_POINTS, Root
from strongroom_eif.recipe.store import Store, default_cache

from tests.architecture.source import ROOT
from tests.eif.samples import KERNEL

FILL = "nothing cached to look at: run make image"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(default_cache(), mirrors=(), offline=True)


@pytest.fixture(scope="module")
def pins() -> Pins:
    return Pins.load(ROOT / PINS)


@pytest.fixture(scope="module")
def toolchain(store: Store, pins: Pins) -> Root:
    try:
        root = Root.prepare(store, pins, "toolchain")
        log = store.cache / "work/probe.log"
        sandbox.run(root, ["/bin/true"], work=store.cache / "work/probe", read={}, env={}, log=log)
    except (InputError, MachineError) as error:
        pytest.skip(f"{FILL} ({error.what})")
    return root


@pytest.fixture(scope="module")
def image(
    store: Store, pins: Pins, toolchain: Root, tmp_path_factory: pytest.TempPathFactory
) -> Image:
    """The image with another kernel, of which nothing here depends."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "kernel").write_bytes(KERNEL)
    kernel = Kernel(folder / "kernel", folder / "kernel", "6.12", {})
    patch = pytest.MonkeyPatch()
    patch.setattr(assemble, "build_kernel", lambda *_, **__: kernel)
    try:
        # Not build_image, which would put this image into the cache.
        assemble._make(folder, Results(store), pins, ROOT, "0" * 64)
    except (InputError, MachineError) as error:
        pytest.skip(f"{FILL} ({error.what})")
    finally:
        patch.undo()
    return parse((folder / "image.eif").read_bytes())


@pytest.fixture(scope="module")
def unpacked(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The files of the image in a folder, and besides them only where the sandbox mounts."""
    place = tmp_path_factory.mktemp("unpacked") / "root"
    for name in MOUNT_POINTS:
        (place / name).mkdir(parents=True)
    position = 0
    for data in image.ramdisks:
        for member in members(data, position=position):
            _unpack(place / member.path, member.head.mode, b"".join(member.pieces()))
        position += len(data)
    return Root(place, "0" * 64)


def _unpack(path: Path, mode: int, content: bytes) -> None:
    match mode & 0o170000:
        case 0o040000:
            path.mkdir(exist_ok=True)
        case 0o120000:
            path.symlink_to(decoded(content))
        case 0o100000:
            path.write_bytes(content)
            path.chmod(mode & 0o777)


def said(root: Root, folder: Path, code: str) -> str:
    """Returns what the image's Python prints, seeing the image and nothing else."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    command = ["/usr/bin/python3.13", "-I", "-c", code]
    sandbox.run(root, command, work=folder / "work", read={}, env={}, log=log)
    return log.read_text()


CLOSURE = """
import importlib, pkgutil, sys
for name in ("strongroom_wire", "strongroom_enclave"):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, name + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for name, module in sorted(sys.modules.items()):
    where, cached = getattr(module, "__file__", None), getattr(module, "__cached__", None)
    if where and where.startswith("/usr"):
        print(name, where, cached)
"""


def test_our_modules_import_with_what_is_in_the_image_and_from_its_bytecode(
    unpacked: Root, tmp_path: Path
) -> None:
    lines = said(unpacked, tmp_path, CLOSURE).splitlines()
    assert any(line.startswith("strongroom_enclave.signer.") for line in lines)
    for line in lines:
        name, where, cached = line.split()
        if where.endswith(".py") and cached != "None":  # frozen modules are in the program
            assert (unpacked.path / cached[1:]).is_file(), name


PRUNED = """
import importlib, pkgutil, sys, warnings
warnings.simplefilter("error")
import strongroom_enclave.record.connectors as package
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(found.name)
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] == "ccxt":
        print(module.__file__)
"""


def test_of_ccxt_the_image_has_what_the_connectors_import_and_nothing_else(
    unpacked: Root, tmp_path: Path
) -> None:
    imported = said(unpacked, tmp_path, PRUNED).splitlines()
    dist = "usr/local/lib/python3.13/dist-packages"
    there = (unpacked.path / dist / "ccxt").rglob("*.py")
    assert sorted(imported) == sorted(f"/{path.relative_to(unpacked.path)}" for path in there)
    assert (unpacked.path / dist / "ccxt/__init__.py").read_bytes() == b""
    assert f"/{dist}/ccxt/binance.py" in imported


CALLS = """
import base64, sys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from strongroom_enclave.record.connectors import flex, session
from strongroom_enclave.record.connectors.rules import VENUES

pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)
secrets = {"coinbase": pem.decode(), "kraken": base64.b64encode(bytes(64)).decode()}
kinds = {kind.__name__: kind for kind in session._KINDS}
known = set(sys.modules)
for name, venue in sorted(VENUES.items()):
    sent = []
    given = {"apiKey": "key", "secret": secrets.get(name, "secret"), "password": "passphrase"}
    client = kinds[name](given)
    client.fetch = lambda url, *rest: sent.append(url) or {}
    client.throttle = lambda *rest: None
    if name == "ibkr":  # which signs nothing, and reads XML
        answer = flex.rows(b"<answer><ReferenceCode>1</ReferenceCode><FlexStatements/></answer>")
        client.options["parts"] = {}
        client.fetch = lambda url, *rest: sent.append(url) or answer
        client.statement()
        assert ["SendRequest" in sent[0], "GetStatement" in sent[1]] == [True, True], sent
        continue
    calls = [*venue.rules.values(), *venue.balances.values(), *filter(None, [venue.access])]
    for asked in calls:
        parameters = {"account_id": "1", **getattr(asked, "given", {})}
        getattr(client, asked.call)(parameters)
    assert len(sent) == len(calls) > 2, name
    assert all(url.startswith("https://") for url in sent)
    print(name, sorted(n for n in set(sys.modules) - known if n.startswith("ccxt")))
"""


def test_every_call_of_the_connectors_is_signed_by_what_is_there(
    unpacked: Root, tmp_path: Path
) -> None:
    """Imports that wait for a call are found by no import: signing is where ccxt has them."""
    lines = said(unpacked, tmp_path, CALLS).splitlines()
    assert len(lines) >= 7
    assert all(line.endswith(" []") for line in lines), lines


EVERYTHING = """
import importlib, pkgutil
import cbor2, ccxt, certifi, charset_normalizer, coincurve, cryptography, google.protobuf, grpc
import idna, msgspec, requests, urllib3
for package in (cbor2, ccxt, certifi, charset_normalizer, coincurve, cryptography, google.protobuf,
                grpc, idna, msgspec, requests, urllib3):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for found in pkgutil.iter_modules(["/usr/lib/python3.13", "/usr/lib/python3.13/lib-dynload"]):
    importlib.import_module(found.name)
print("all of it")
"""


def test_what_is_in_the_image_imports_what_is_in_the_image(unpacked: Root, tmp_path: Path) -> None:
    assert said(unpacked, tmp_path, EVERYTHING).splitlines()[-1] == "all of it"


USE = """
import ssl, certifi, coincurve
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from strongroom_enclave.signer.keccak import keccak256
ec.generate_private_key(ec.SECP384R1()); ed25519.Ed25519PrivateKey.generate()
assert len(ssl.create_default_context(cafile=certifi.where()).get_ca_certs()) > 50
coincurve.PrivateKey().sign_recoverable(bytes(32), hasher=None)
print(keccak256(b"abc").hex())
"""


def test_keys_hashes_and_roots_work_in_there(unpacked: Root, tmp_path: Path) -> None:
    # Keccak-256 of "abc", as every Ethereum library gives it.
    known = "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    assert said(unpacked, tmp_path, USE).strip() == known


def test_nothing_of_the_toolchain_is_in_there(unpacked: Root, tmp_path: Path) -> None:
    for program in ("/bin/sh", "/usr/bin/sh", "/usr/bin/perl", "/usr/bin/gcc"):
        with pytest.raises(BuildFailed):
            sandbox.run(unpacked, [program], work=tmp_path / "w", read={}, env={},
                        log=tmp_path / "log")  # fmt: skip
    assert os.listdir(unpacked.path / "usr/bin") == ["python3.13"]  # noqa: PTH208


def test_source_of_ours_is_in_the_image_as_it_is_in_the_tree(image: Image) -> None:
    dist = "usr/local/lib/python3.13/dist-packages"
    tree = {
        f"{dist}/{path.relative_to(ROOT / 'enclave')}": path
        for package in ("strongroom_enclave", "strongroom_wire")
        for path in (ROOT / "enclave" / package).rglob("*.py")
    }
    found = {file.path: b"".join(file.pieces) for file in files(image, frozenset(tree))}
    assert found == {name: path.read_bytes() for name, path in tree.items()}


def test_the_image_is_as_small_as_it_was_promised(image: Image) -> None:
    assert sum(len(data) for data in image.ramdisks) <= 64 << 20


def test_bytecode_and_compression_are_the_same_on_every_run(
    image: Image, store: Store, toolchain: Root, tmp_path: Path
) -> None:
    """On our own part of the image, twice, against each other and against what is in it."""
    items = list(_sources(image))
    assert len(items) > 40
    runs: list[tuple[dict[str, str], str]] = []
    for name in ("one", "another place"):
        results = Results(store, fresh=True, work=tmp_path / name)
        made = list(compiled(reversed(items) if runs else items, results, toolchain))
        packed = gzipped(archive(item.node for item in _flat(made)), results, toolchain)
        runs.append(({item.path: item.sha256 for item in made}, hashlib.sha256(packed).hexdigest()))
        shutil.rmtree(tmp_path / name)
    assert runs[0] == runs[1]
    inside = {
        file.path: hashlib.sha256(b"".join(file.pieces)).hexdigest()
        for file in files(image, frozenset(runs[0][0]))
    }
    assert inside == runs[0][0]


def _sources(image: Image) -> Iterator[Item]:
    for member in members(image.ramdisks[1], position=len(image.ramdisks[0])):
        if member.path.endswith(".py"):
            yield Item.file(member.path, b"".join(member.pieces()), "strongroom")


def _flat(items: list[Item]) -> Iterator[Item]:
    for number, item in enumerate(sorted(items, key=lambda item: item.path)):
        yield Item.file(f"{number}", bytes(item.node.content), item.origin)
