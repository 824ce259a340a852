"""What the tests of the image need: the image, QEMU, a compiler; and what the run has shown.

They run when STRONGROOM_IMAGE names an image, which `make test-image` sees to. Without it each is
skipped and says so: an image takes minutes to build and seconds to boot, so plain `make test` has
no part in that.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strongroom_eif import parse
from strongroom_host.cli.emulators import find_or_build

from tests.image.guest import compiled_probe
from tests.image.machine import Machine
from tests.image.probes import Probes

IMAGE = os.environ.get("STRONGROOM_IMAGE", "")
_ABSENT = "no image named by STRONGROOM_IMAGE: `make test-image` builds one and runs these"
FINDING = "image_finding"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder unless an image is named."""
    here = Path(__file__).parent
    for item in items:
        if not IMAGE and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=_ABSENT))


@pytest.fixture(scope="session")
def image() -> Path:
    """The image under test."""
    path = Path(IMAGE).resolve()
    assert path.is_file(), f"STRONGROOM_IMAGE names {path}, which is no file"
    return path


@pytest.fixture(scope="session")
def machine() -> Machine:
    """QEMU's Nitro machine, found or built as `strongroom enclave boot` does."""
    return Machine(find_or_build(None).words)


@pytest.fixture(scope="session")
def probes(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Probes:
    """Maker of small images, with the kernel of the image under test."""
    program = compiled_probe(tmp_path_factory.mktemp("guest"))
    return Probes(parse(image.read_bytes()).kernel, program)


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Report something that the run has shown, or measured: `found("boot", "12 s")`.

    What several tests have shown is one line, with all that they say of it.
    """

    def report(what: str, how: str = "") -> None:
        request.node.user_properties.append((FINDING, [what, how]))

    return report


class Findings:
    """Collects what passed tests report, for the last lines of the run."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a passed test's findings."""
        if report.when == "call" and report.passed:
            for name, value in report.user_properties:
                if name == FINDING and isinstance(value, list):
                    self.lines.append((value[0], value[1]))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print them."""
        if not self.lines:
            return
        terminalreporter.section("what the image has shown")
        shown: dict[str, list[str]] = {}
        for what, how in self.lines:
            shown.setdefault(what, []).append(how)
        for what, hows in shown.items():
            terminalreporter.write_line(f"  {what}" + (f": {'; '.join(hows)}" if any(hows) else ""))


def pytest_configure(config: pytest.Config) -> None:
    """Collect findings where the summary is written; xdist's workers write none."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Findings(), "image-findings")
