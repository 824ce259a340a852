"""An EC2 instance for tests: the fake nitro-cli, an image, and a runner that uses both."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from strongroom_host.runners.boot_image import BootImage, read_boot_image
from strongroom_host.runners.nitro import NitroRunner

from tests.eif.samples import baseline
from tests.fakes.nitro_cli import Fake

__all__ = ["Instance", "instance"]


@dataclass(frozen=True)
class Instance:
    """A folder with everything in it."""

    folder: Path
    fake: Fake
    image: BootImage

    @property
    def program(self) -> str:
        """Its nitro-cli."""
        return str(self.fake.program)

    def runner(self, *, debug_console: bool = False, cid: int | None = None) -> NitroRunner:
        """A boot of the image on it."""
        return NitroRunner(
            self.image,
            self.folder / "run",
            cid=cid,
            nitro_cli=self.program,
            debug_console=debug_console,
            keeper=self.fake.keeper,
        )


@contextmanager
def instance(folder: Path) -> Iterator[Instance]:
    """An instance in `folder`, on which nothing runs afterwards."""
    path = folder / "image.eif"
    path.write_bytes(baseline().data())
    fake = Fake(folder / "aws")
    try:
        yield Instance(folder, fake, read_boot_image(path))
    finally:
        fake.end()
