"""What nitro-cli's failures mean for whoever operates the machine.

nitro-cli says what went wrong as `[ E27 ] ...` on stderr, followed by codes of whatever failed
because of it: the first one counts. With BACKTRACE=1 it adds the steps that led there, and the last
of those is often the only place where the kernel's reason is told.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Complaint", "advise"]

_CODE: Final = re.compile(r"\[ (E\d{2}) \] ?([^\n]*)")
_FILE: Final = re.compile(r"File: '([^'\n]*)'")
_STEPS: Final = re.compile(r"Subactions:\n((?:    [^\n]*\n?)+)")
_MINIMUM: Final = re.compile(r"minimum memory should be (\d+) MB")
_USAGE: Final = re.compile(r"^error: ([^\n]*)", re.MULTILINE)
_LONGEST: Final = 300

_ALLOCATOR: Final = (
    "then `sudo systemctl restart nitro-enclaves-allocator`; `nitro-cli describe-enclaves` shows"
    " whether an enclave of an earlier boot still holds some"
)
_GROUP: Final = (
    "add the user to the group ne (`sudo usermod -aG ne USER`) and log in again; under systemd the"
    " unit needs SupplementaryGroups=ne"
)
_NO_DRIVER: Final = (
    "launch the instance with EnclaveOptions.Enabled=true (it cannot be changed while it runs), and"
    " see that the driver is there: `sudo modprobe nitro_enclaves`"
)
_CERTIFICATE: Final = (
    "look at `strongroom eif describe IMAGE`: a signing certificate that has expired needs a new"
    " signature (`strongroom eif sign`), and a clock that is wrong needs `timedatectl`"
)

_BY_CODE: Final = {
    "E01": "this nitro-cli takes other options than 1.2 to 1.5: compare `nitro-cli --version`",
    "E02": "this nitro-cli takes other options than 1.2 to 1.5: compare `nitro-cli --version`",
    "E03": "correct --memory, --cpus or --cid",
    "E05": "the machine has no room for another process: look at `dmesg` and at the user's limits",
    "E06": "the machine has no room for another process: look at `dmesg` and at the user's limits",
    "E07": f"/run/nitro_enclaves cannot be read: `sudo systemd-tmpfiles --create`, and {_GROUP}",
    "E08": "the enclave is gone; boot it again",
    "E11": "nothing answers for this enclave: it is gone, or belongs to another user",
    "E18": "/var/log/nitro_enclaves belongs to somebody else: `sudo chown -R root:ne` it",
    "E20": "name each CPU once",
    "E21": "the CPU is not in the pool: correct cpu_pool in /etc/nitro_enclaves/allocator.yaml,"
    f" {_ALLOCATOR}",
    "E22": f"raise cpu_count in /etc/nitro_enclaves/allocator.yaml, or lower --cpus; {_ALLOCATOR}",
    "E23": "/sys/module/nitro_enclaves/parameters/ne_cpus is unreadable: `sudo systemctl restart"
    " nitro-enclaves-allocator`",
    "E24": "/sys/module/nitro_enclaves/parameters/ne_cpus is unreadable: `sudo systemctl restart"
    " nitro-enclaves-allocator`",
    "E26": "give it more with --memory: nitro-cli asks for four times the image's size",
    "E27": "raise memory_mib in /etc/nitro_enclaves/allocator.yaml, or lower --memory;"
    f" {_ALLOCATOR}",
    "E28": "read `dmesg`: the driver refused to create the machine",
    "E34": "the image is larger than the memory it is loaded into: give it more with --memory",
    "E35": "huge pages ran out while the image was loaded, or the file changed meanwhile: check the"
    " file (`strongroom eif verify IMAGE`), restart nitro-enclaves-allocator",
    "E36": "the machine was started and sent no heartbeat in time. In this order: more --memory;"
    f" {_CERTIFICATE}; an image for this processor; and `strongroom enclave boot --platform qemu`,"
    " which shows the console",
    "E37": "read /var/log/nitro_enclaves/nitro_enclaves.log and `dmesg`",
    "E38": "an enclave's nitro-cli process does not answer: `nitro-cli describe-enclaves`, then"
    " terminate that enclave",
    "E39": "an enclave's nitro-cli process ended or belongs to another user:"
    " /var/log/nitro_enclaves/nitro_enclaves.log has its last words",
    "E40": "the enclave's id is unknown on this machine",
    "E42": "huge pages ran out: raise memory_mib in /etc/nitro_enclaves/allocator.yaml,"
    f" {_ALLOCATOR}",
    "E44": "a console exists only in debug mode (--debug-console), whose evidence no production"
    " policy accepts",
    "E56": "/var/log/nitro_enclaves cannot be written: `sudo chown -R root:ne` it",
    "E58": "another enclave has this name: `nitro-cli describe-enclaves`",
    "E59": _CERTIFICATE,
}

_BY_REASON: Final = (
    ("No CPUs are available", _BY_CODE["E22"]),
    ("no CPUs are available", _BY_CODE["E22"]),
    ("vCPU is already used", _BY_CODE["E22"]),
    ("not available in the CPU pool", _BY_CODE["E21"]),
    ("full CPU cores", "give it whole cores: --cpus 2 where a core has two threads"),
    ("lower than the minimum", "give it more with --memory"),
    ("different NUMA nodes", "CPUs and memory have to lie on one NUMA node: restart"
     " nitro-enclaves-allocator, which takes both from the same"),
    ("huge page", _BY_CODE["E42"]),
    ("well-known CID", "choose another --cid, from 4 on, or leave it out"),
    ("error has occurred: 13", _GROUP),
    ("error has occurred: 98", "another enclave has this CID: choose another --cid, or leave it"
     " out"),
)  # fmt: skip
"""Reasons of the driver, which hide behind the general ioctl failure E29; the first counts."""

_BY_FILE: Final = (
    ("/dev/nitro_enclaves", _NO_DRIVER),
    ("/sys/module/nitro_enclaves", _NO_DRIVER),
    ("/var/log/nitro_enclaves", _BY_CODE["E56"]),
    ("/run/nitro_enclaves", _BY_CODE["E07"]),
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What nitro-cli complained about.

    Attributes:
        code: `E27`; empty where it gave none.
        said: Its sentence, and the reason behind it, cut to a bearable length.
        remedy: What to do.
    """

    code: str
    said: str
    remedy: str


def advise(stderr: str) -> Complaint:
    """Returns what the first code on nitro-cli's stderr means."""
    found = _CODE.search(stderr)
    if found is None:
        usage = _USAGE.search(stderr)
        said = usage[1] if usage else (stderr.strip().splitlines() or [""])[-1]
        remedy = _BY_CODE["E01"] if usage else "run it by hand to see more"
        return Complaint("", _clean(said), remedy)
    code, sentence = found[1], found[2]
    following = _CODE.search(stderr, found.end())
    own = stderr[found.start() : following.start() if following else None]
    steps = _STEPS.search(own)
    reason = steps[1].rstrip().splitlines()[-1].strip() if steps else ""
    said = f"{sentence.partition('. Such error')[0]}{f' ({reason})' if reason else ''}"
    return Complaint(code, _clean(said), _remedy(code, own, reason))


def _remedy(code: str, own: str, reason: str) -> str:
    if code == "E19" and (file := _FILE.search(own)):
        return _about_file(file[1], reason)
    if code == "E26" and (least := _MINIMUM.search(own)):
        return f"give it at least --memory {least[1]}: four times the image's size"
    if code == "E29":
        for mark, remedy in _BY_REASON:
            if mark in reason:
                return remedy
    if code in _BY_CODE:
        return _BY_CODE[code]
    return f"`nitro-cli explain --error-code {code}` says more; so does `dmesg`"


def _about_file(path: str, reason: str) -> str:
    if "PermissionDenied" in reason or "Permission denied" in reason:
        return _GROUP if path.startswith("/dev/") else f"{path} may not be opened: {_GROUP}"
    for prefix, remedy in _BY_FILE:
        if path.startswith(prefix):
            return remedy
    return f"see that {path} exists and that nitro-cli's user may read it"


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])
