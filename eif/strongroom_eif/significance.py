"""Why a difference matters: what a section or file does at run time, and what measures it."""

import re
from typing import Final

__all__ = ["of_attribute", "of_file", "of_header", "of_section"]

_SECTIONS: Final = {
    "kernel": "the kernel is the most trusted code of the enclave; it changes PCR0 and PCR1",
    "cmdline": "the command line can turn protections off and choose what starts first; it "
    "changes PCR0 and PCR1",
    "metadata": "metadata is a label that no PCR covers: the file is another, what runs the same",
    "signature": "the signature names who vouches for the image; only its certificate is measured, "
    "in PCR8",
}
_HEADER: Final = {
    "version": "other rules apply to the file; no PCR covers the version",
    "architecture": "the image boots on other processors; no PCR covers it",
    "default_mem": "nothing reads it at boot and no PCR covers it",
    "default_cpus": "nothing reads it at boot and no PCR covers it",
}
_FILES: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"init", "the first program that the kernel starts, with all rights"),
        (r".*\.ko(\.\w+)?", "a kernel module: it runs with the kernel's rights"),
        (r"(.*/)?strongroom_\w+/.*", "the enclave's own code: policy, keys and signatures"),
        (r".*\.pyc", "compiled Python: this is what runs, whatever the source beside it says"),
        (r".*\.(py|pth)", "Python source, run or imported at start"),
        (r".*\.so(\.[\w.]+)?", "native code that is loaded into processes of the enclave"),
        (r".*\.(pem|crt|cer|der)", "a certificate: perhaps one that connections are trusted by"),
        (r".*\.dist-info/.*", "a package's record of itself: not run, but it names what is there"),
        (r"(.*/)?s?bin/.*", "a program"),
        (r"(.*/)?etc/.*", "configuration of what runs"),
    )
)  # fmt: skip
_ATTRIBUTES: Final = {
    "mode": "the mode decides who may read or run it, and as whom",
    "owner": "the owner decides which processes of the enclave may change it",
    "mtime": "a time stamp makes every build another image: the build is not deterministic",
    "target": "a link to somewhere else: another file is used under this name",
    "links": "other names for the same file: a change under one shows under all",
    "device": "another device answers under this name",
    "kind": "something else stands under this name",
    "content": "",
}


def of_section(name: str) -> str:
    """Returns why a difference in a section matters, by its name: `ramdisk[1]`."""
    if name == "ramdisk[0]":
        return "the first ramdisk holds what starts first; it changes PCR0 and PCR1"
    if name.startswith("ramdisk"):
        return "the application is in this ramdisk; it changes PCR0 and PCR2"
    return _SECTIONS[name]


def of_header(field: str) -> str:
    """Returns why a difference in a header field matters."""
    return _HEADER[field]


def of_file(path: str) -> str:
    """Returns what a file does at run time, guessed from its path."""
    name = path.removeprefix("./").removeprefix("rootfs/")
    for pattern, text in _FILES:
        if pattern.fullmatch(name):
            return text
    return "part of the root file system: whatever reads it behaves differently"


def of_attribute(attribute: str) -> str:
    """Returns why an attribute other than the content matters."""
    return _ATTRIBUTES[attribute]
