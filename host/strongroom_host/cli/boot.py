"""`strongroom enclave boot`: the operator's daemon around an image, on the platform of choice."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli.daemon import (
    DEFAULT_LISTEN,
    AllowManifestOption,
    AllowOption,
    BusyPollOption,
    JsonLinesOption,
    ListenOption,
    MapOption,
    RecordFolderOption,
    RunOption,
    StateOption,
    WithStdinOption,
    allowed,
    operate,
    parse_maps,
)
from strongroom_host.cli.emulators import QemuOption, find_or_build
from strongroom_host.errors import BadInput
from strongroom_host.runners.boot_image import BootImage, read_boot_image
from strongroom_host.runners.forward import parse_listen
from strongroom_host.runners.local import local_platform
from strongroom_host.runners.nitro import DEFAULT_CPUS, nitro_platform
from strongroom_host.runners.operator import HostPlan
from strongroom_host.runners.qemu import (
    DEFAULT_MEMORY_MIB,
    DEFAULT_TIMEOUT,
    Accelerator,
    qemu_platform,
)
from strongroom_host.runners.run_directory import (
    default_run_directory,
    default_state_directory,
)
from strongroom_host.runners.runner import Platform

__all__ = ["boot"]


class PlatformName(StrEnum):
    """Where an enclave can run."""

    QEMU = "qemu"
    NITRO = "nitro"
    LOCAL = "local"


def boot(
    image: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGE.eif", help="The image; not for the local platform."),
    ] = None,
    platform: Annotated[
        PlatformName,
        typer.Option(
            help="qemu: an emulated machine, evidence unsigned. nitro: an EC2 instance with"
            " enclaves, for real keys. local: no image, as `strongroom host run`."
        ),
    ] = PlatformName.QEMU,
    run: RunOption = None,
    listen: ListenOption = DEFAULT_LISTEN,
    allow: AllowOption = None,
    mapped: MapOption = None,
    record: RecordFolderOption = None,
    manifest: AllowManifestOption = None,
    memory: Annotated[
        int | None,
        typer.Option(
            "--memory",
            metavar="MIB",
            min=64,
            help=f"The enclave's memory (default: {DEFAULT_MEMORY_MIB}). Not for local.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=1,
            help=f"How long to wait for the first answer (default: {DEFAULT_TIMEOUT:g}). Not for"
            " local.",
        ),
    ] = None,
    qemu: QemuOption = None,
    kvm: Annotated[
        bool, typer.Option("--kvm", help="Let the processor run the guest (/dev/kvm). Qemu only.")
    ] = False,
    cpus: Annotated[
        int | None,
        typer.Option(
            "--cpus", min=1, help=f"The enclave's CPUs (default: {DEFAULT_CPUS}). Nitro only."
        ),
    ] = None,
    cid: Annotated[
        int | None,
        typer.Option("--cid", min=4, help="Its vsock address (default: any free). Nitro only."),
    ] = None,
    debug_console: Annotated[
        bool,
        typer.Option(
            "--debug-console",
            help="Debug mode: the console can be read, and nothing is proved. Nitro only.",
        ),
    ] = False,
    state: StateOption = None,
    busy_poll: BusyPollOption = False,
    with_stdin: WithStdinOption = False,
    as_json: JsonLinesOption = False,
) -> None:
    """Boot an image and carry its bytes until Ctrl-C or SIGTERM.

    The image is checked first, and its PCRs are printed: compare them with the release's.

    Never restarts it: a new boot has other keys, and only its owners can permit those to sign.
    """
    where = run or default_run_directory()
    ports, venues = parse_listen(listen), allowed(allow, manifest)
    mapping = parse_maps(mapped, record)
    given: dict[str, object] = {
        "--memory": memory,
        "--timeout": timeout,
        "--qemu": qemu,
        "--kvm": kvm,
        "--cpus": cpus,
        "--cid": cid,
        "--debug-console": debug_console,
        "--state": state,
        "--busy-poll": busy_poll,
    }
    _check_options(platform, {name for name, value in given.items() if value})
    found: Platform
    match platform:
        case PlatformName.LOCAL:
            _check_no_image(image)
            kept = state or default_state_directory()
            found = local_platform(where, kept, busy_poll=busy_poll)
        case PlatformName.QEMU:
            found = qemu_platform(
                _read(image),
                where,
                find_or_build(qemu),
                memory_mib=memory or DEFAULT_MEMORY_MIB,
                accelerator=Accelerator.KVM if kvm else Accelerator.TCG,
                timeout=timeout or DEFAULT_TIMEOUT,
            )
        case PlatformName.NITRO:
            found = nitro_platform(
                _read(image),
                where,
                memory_mib=memory or DEFAULT_MEMORY_MIB,
                cpus=cpus or DEFAULT_CPUS,
                cid=cid,
                debug_console=debug_console,
                timeout=timeout or DEFAULT_TIMEOUT,
            )
    plan = HostPlan(
        platform=found,
        listen=ports,
        allow=venues,
        mapping=mapping,
        until_stdin_ends=with_stdin,
    )
    operate(plan, as_json=as_json)


_OPTIONS = {
    PlatformName.QEMU: {"--memory", "--timeout", "--qemu", "--kvm"},
    PlatformName.NITRO: {"--memory", "--timeout", "--cpus", "--cid", "--debug-console"},
    PlatformName.LOCAL: {"--state", "--busy-poll"},
}
"""Which options mean something on which platform."""


def _check_options(platform: PlatformName, given: set[str]) -> None:
    """Refuses an option that the platform would silently ignore."""
    if pointless := sorted(given - _OPTIONS[platform]):
        raise BadInput(
            f"{', '.join(pointless)} means nothing on the platform {platform.value}",
            expected=", ".join(sorted(_OPTIONS[platform])),
            remedy="leave it out, or choose another --platform",
        )


def _check_no_image(image: Path | None) -> None:
    if image is not None:
        raise BadInput(
            "the local platform boots no image: it runs the packages that are installed here",
            actual=image,
            remedy="leave the image out, or choose --platform qemu or nitro",
        )


def _read(image: Path | None) -> BootImage:
    if image is None:
        raise BadInput(
            "say which image to boot",
            expected="strongroom enclave boot IMAGE.eif",
            remedy="take a release's, or build one with `make image`",
        )
    return read_boot_image(image)
