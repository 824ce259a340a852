"""A whole checkout in small: made-up packages, a wheel, our packages, and tools that are stand-ins.

Only the kernel, the toolchain's root and its two programs are replaced; everything else is the
recipe. So a test builds an image in milliseconds.
"""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from strongroom_eif.recipe import assemble, sandbox
from strongroom_eif.recipe.kernel import Kernel
from strongroom_eif.recipe.pins import Package, Pins
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.store import Store
from strongroom_eif.recipe.wheels import Wheel, write_pins

from tests.eif.recipe.checkout import pins_of
from tests.eif.recipe.debs import deb, directory, file, link
from tests.eif.recipe.test_wheels import FILES, packed, wheel_of
from tests.eif.recipe.trees import elf
from tests.eif.samples import kernel

__all__ = ["Checkout"]

LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "./usr/lib/x86_64-linux-gnu"
DEP5 = b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: %s\n"

RULES = """
format = "strongroom-system/1"
[[leave-out]]
from = ["debian:*"]
paths = ["usr/bin/sh"]
why = "a shell"
[[leave-out]]
from = ["wheel:*"]
paths = ["*.dist-info/METADATA", "*.dist-info/RECORD"]
why = "papers"
[[directory]]
path = "tmp"
why = "a tmpfs"
[[link]]
path = "lib64"
target = "usr/lib64"
why = "the loader"
[[empty]]
path = "usr/local/lib/python3.13/dist-packages/sample/empty.py"
why = "stands for a module that would import what is not there"
[[program]]
path = "usr/bin/python3.13"
executable = true
why = "the interpreter"
[[program]]
path = "usr/lib/x86_64-linux-gnu/ld.so.2"
executable = true
why = "the loader"
[[program]]
path = "usr/local/lib/python3.13/dist-packages/strongroom_enclave/init/__main__.py"
executable = true
why = "init"
[[licence]]
origin = "debian:python3.13-minimal"
expression = "PSF-2.0"
why = "prose"
"""

SOURCE = {
    "enclave/strongroom_enclave/__init__.py": 'VERSION = "1.2.3"\n',
    "enclave/strongroom_enclave/init/__init__.py": "",
    "enclave/strongroom_enclave/init/__main__.py": "#!/usr/bin/python3.13 -I\nprint(1)\n",
    "enclave/strongroom_wire/__init__.py": "",
    "eif/strongroom_eif/recipe/assemble.py": "# stands for the recipe\n",
    "reproducible-build/kernel/config": "CONFIG_A=y\n",
    "reproducible-build/system.toml": RULES,
}


def _debs() -> dict[str, bytes]:
    libc = deb(
        directory("./usr/lib64"),
        file(f"{LIBRARIES}/libc.so.6", elf(), 0o755),
        file(f"{LIBRARIES}/ld.so.2", elf(), 0o755),
        link("./usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld.so.2"),
        file("./usr/share/doc/libc6/copyright", DEP5 % b"LGPL-2.1+"),
    )
    python = deb(
        file("./usr/bin/python3.13", elf("libc.so.6", interpreter=LOADER, pie=True), 0o4755),
        file("./usr/bin/sh", elf("libc.so.6", interpreter=LOADER), 0o755),
        file("./usr/lib/python3.13/os.py", b"x = 1\n"),
    )
    return {"libc6": libc, "python3.13-minimal": python, "linux-source-6.12": b"source"}


class Checkout:
    """A checkout, a cache and the stand-ins for one test.

    Attributes:
        source: The checkout's root.
        kernels: How often a kernel was asked for.
        runs: What ran in the sandbox.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.source = folder, folder / "checkout"
        self.kernels, self.runs = 0, [""][:0]
        for name, text in SOURCE.items():
            self.put(name, text)
        inputs = folder / "inputs"
        inputs.mkdir()
        packages = {}
        for name, data in _debs().items():
            (inputs / hashlib.sha256(data).hexdigest()).write_bytes(data)
            packages[name] = self._pinned(name, data)
        self.wheel = packed(FILES)
        (inputs / wheel_of(self.wheel).filename).write_bytes(self.wheel)
        system = (packages["libc6"], packages["python3.13-minimal"])
        pins = self.source / "reproducible-build/pins"
        pins.mkdir()
        self.pins = pins_of(
            pins,
            {
                "system": system,
                "toolchain": system,
                "kernel": (packages["linux-source-6.12"],),
            },
        )
        self.lock(wheel_of(self.wheel))
        self.store = Store(folder / "cache", [inputs], mirrors=(), offline=True)
        monkeypatch.setattr(Root, "prepare", lambda *_: Root(folder, "0" * 64))
        monkeypatch.setattr(assemble, "build_kernel", self._kernel)
        monkeypatch.setattr(assemble, "check_architecture", lambda: None)
        monkeypatch.setattr(assemble, "check_recipe", lambda _: None)
        monkeypatch.setattr(sandbox, "run", self._run)

    def put(self, name: str, text: str) -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def lock(self, wheel: Wheel) -> None:
        """Writes lock and pins for one wheel."""
        self.put(
            "enclave/requirements.lock",
            f"{wheel.name}=={wheel.version} \\\n    --hash=sha256:{wheel.sha256}\n",
        )
        self.put("reproducible-build/pins/wheels.json", write_pins([wheel]))

    def build(self, output: str = "out", **options: object) -> assemble.Built:
        return assemble.build_image(
            self.store,
            self.pins,
            self.source,
            output=self.folder / output,
            **options,  # type: ignore[arg-type]
        )

    @staticmethod
    def _pinned(name: str, data: bytes) -> Package:
        return Package(
            name, "1.0", "amd64", f"pool/main/{name[0]}/{name}.deb", len(data),
            hashlib.sha256(data).hexdigest(), name,
        )  # fmt: skip

    def _kernel(self, store: Store, pins: Pins, config: Path, **_: object) -> Kernel:
        self.kernels += 1
        image = self.folder / "bzImage"
        image.write_bytes(kernel(config.read_bytes()))
        return Kernel(image, config, "6.12.1", {"source": "linux"})

    def _run(
        self, root: Root, argv: Sequence[str], *, work: Path, read: Mapping[str, Path],
        env: Mapping[str, str], log: Path,
    ) -> None:  # fmt: skip
        self.runs.append(argv[0])
        if argv[0] == "/bin/sh":
            plain = (work / "plain").read_bytes()
            (work / "packed").write_bytes(gzip.compress(plain, mtime=0))
            return
        listed = (work / "list").read_text().split("\0")[:-1]
        for number, path in enumerate(listed):
            source = (work / "in" / str(number)).read_bytes()
            (work / "out" / str(number)).write_bytes(b"pyc of " + path.encode() + b" " + source)
