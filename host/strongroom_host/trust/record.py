"""The trust file: which roots, which image, whose enclave and which manifest its holder accepts.

Written by the owner (or a host operator) once and handed to every machine that verifies. It holds
nothing secret; whoever can change it decides what its reader believes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from strongroom_attest.nitro.policy import NitroPolicy, PcrMatcher
from strongroom_attest.nitro.roots import PRODUCTION_ROOTS, Roots
from strongroom_attest.policy import Absent, Exactly, OneOf, Unchecked
from strongroom_attest.result import Mode
from strongroom_wire.manifest import VerifiedManifest

from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_file, write_atomic

__all__ = ["EvidencePolicy", "Image", "Trust", "TrustConflict", "TrustInvalid"]

Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex48 = Annotated[str, Meta(pattern=r"^[0-9a-f]{96}\Z")]
OtherPcr = Annotated[str, Meta(pattern=r"^(3|4|8)\Z")]
_ZERO = "0" * 96


class TrustInvalid(BadInput):
    """A trust file that is malformed, or would trust nothing or too much."""


class TrustConflict(BadInput):
    """Two things that must name the same owners or manifest do not."""

    exit_status = 3


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    """One measured image: SHA-384 values of PCR0 to PCR2 in hex, and what to call it."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    pcr0: Hex48
    pcr1: Hex48
    pcr2: Hex48

    @property
    def triple(self) -> tuple[bytes, bytes, bytes]:
        """The three values, 48 bytes each."""
        return bytes.fromhex(self.pcr0), bytes.fromhex(self.pcr1), bytes.fromhex(self.pcr2)


class Trust(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file. `owner_root` and `manifest_digest` are null until their owner has decided them;
    nothing but a boot without keys can be verified before that. `other_pcrs` pins PCR3 (the
    parent's IAM role), PCR4 (its instance) or PCR8 (the image's signer) as well.

    `past_images` are those of boots that are over: what they left (their part of a log) counts as
    theirs, and no enclave that runs is taken for one of them.

    `unsigned` stands in the place of roots: it takes the evidence of an emulator, which nobody
    signs, and no other. Development only, and in the file only where it is true.
    """

    format: Literal["strongroom-trust/1"]
    mode: Literal["production", "development"]
    roots: Annotated[tuple[Hex32, ...], Meta(max_length=8)]
    images: Annotated[tuple[Image, ...], Meta(min_length=1, max_length=32)]
    owner_root: Hex32 | None
    manifest_digest: Hex32 | None
    other_pcrs: dict[OtherPcr, Hex48]
    unsigned: bool = False
    past_images: Annotated[tuple[Image, ...], Meta(max_length=256)] = ()

    def check(self) -> "Trust":
        """Returns this record after proving that a production one cannot accept anything less.

        Raises:
            TrustInvalid: a production record with a root that is no platform vendor's, with the
                all-zero measurements of a debug enclave, or for evidence that nobody signed; one
                without roots, or with both roots and unsigned evidence.
        """
        _check_unsigned(self.mode, self.unsigned)
        _check_roots(self.roots, self.unsigned)
        vendor = {root.hex() for root in PRODUCTION_ROOTS}
        if self.mode == "production" and (foreign := set(self.roots) - vendor):
            raise TrustInvalid(
                "a production trust file names a root that no platform vendor holds",
                expected=", ".join(sorted(vendor)),
                actual=", ".join(sorted(foreign)),
                remedy="use the vendor's root, or make a development trust file",
            )
        if self.mode == "production" and any(
            _ZERO in (i.pcr0, i.pcr1, i.pcr2) for i in (*self.images, *self.past_images)
        ):
            raise TrustInvalid(
                "a production trust file accepts the zero measurements of a debug enclave",
                remedy="take PCR0 to PCR2 from the release record of the image",
            )
        return self

    @classmethod
    def development(cls, root: str, image: Image) -> "Trust":
        """Returns a development record for evidence under a root, owners and manifest open."""
        return cls("strongroom-trust/1", "development", (root,), (image,), None, None, {}).check()

    @classmethod
    def emulator(cls, *images: Image) -> "Trust":
        """Returns a development record for an emulator's evidence, which nobody signs."""
        return cls(
            "strongroom-trust/1", "development", (), images, None, None, {}, unsigned=True
        ).check()

    @property
    def caution(self) -> str:
        """What evidence under this record does not prove, in a sentence; "" in production."""
        if self.unsigned:
            return (
                "nobody signed this evidence: whoever runs that machine could have made it up, keys"
                " and all"
            )
        if self.mode == "development":
            return "development trust file: this proves nothing about the machine"
        return ""

    @property
    def attest_mode(self) -> Mode:
        """The verifier's mode."""
        return Mode(self.mode)

    @property
    def attest_roots(self) -> Roots:
        """The verifier's trust anchors; a record for unsigned evidence has none.

        Raises:
            InvalidArgument: there are none.
        """
        return Roots.of(*self.roots)

    def nitro_policy(self, commitment: bytes) -> NitroPolicy:
        """Returns what a document must say: image, further PCRs, and this commitment (64 bytes)."""
        pcrs: dict[int, PcrMatcher] = {
            index: OneOf(tuple(image.triple[index] for image in self.images)) for index in range(3)
        }
        for number, value in self.other_pcrs.items():
            pcrs[int(number)] = Exactly(bytes.fromhex(value))
        return NitroPolicy(
            pcrs=pcrs,
            public_key=Absent(),
            user_data=Exactly(commitment),
            nonce=Unchecked("compared with the challenge"),
            mode=self.attest_mode,
            allow_unsigned=self.unsigned,
        )

    def serialise(self) -> bytes:
        """Returns the file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def save(self, path: Path) -> None:
        """Replaces the file in one step."""
        write_atomic(path, self.check().serialise())

    @classmethod
    def parse(cls, data: bytes, source: str = "trust file") -> "Trust":
        """Returns the record in `data`.

        Raises:
            TrustInvalid: not such a record, or one that trusts too much.
        """
        try:
            return msgspec.json.decode(data, type=cls).check()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TrustInvalid(
                f"{source} is not a trust file: {error}",
                remedy="make one with `strongroom enclave trust`",
            ) from error

    @classmethod
    def load(cls, path: Path) -> "Trust":
        """Returns the record in a file.

        Raises:
            TrustInvalid: see `parse`.
            BadInput: the file cannot be read.
        """
        if not path.exists():
            raise TrustInvalid(
                f"there is no trust file {path}: nothing says which enclave is the right one",
                remedy="make one with `strongroom enclave trust --release FILE` (or, for the local"
                " platform, `--development`), or copy the owner's",
            )
        return cls.parse(read_file(path), str(path))

    def pinned_to(self, manifest: VerifiedManifest) -> "Trust":
        """Returns this record with the manifest (and the owners, if none yet) pinned.

        Raises:
            TrustConflict: the manifest belongs to other owners than the pinned ones.
        """
        root = manifest.manifest.owner_root.hex()
        _agree("owner root", self.owner_root, root)
        return msgspec.structs.replace(self, owner_root=root, manifest_digest=manifest.digest.hex())

    def owned_like(self, before: "Trust") -> "Trust":
        """Returns this record with the owners and the manifest that `before` is pinned to: other
        roots or images do not make it another enclave. Its images are past ones from now on, unless
        it was of another mode."""
        known, past = {image.triple for image in self.images}, list(self.past_images)
        if (before.mode, before.unsigned) == (self.mode, self.unsigned):
            past += [*before.images, *before.past_images]
        fresh = {image.triple: image for image in past if image.triple not in known}
        return msgspec.structs.replace(
            self,
            owner_root=before.owner_root,
            manifest_digest=before.manifest_digest,
            past_images=tuple(fresh.values()),
        )

    def looking_back(self) -> "Trust":
        """Returns the record for evidence that was archived: past images count, too."""
        return msgspec.structs.replace(
            self, images=(*self.images, *self.past_images), past_images=()
        )


@dataclass(frozen=True, slots=True)
class EvidencePolicy:
    """A trust record together with the one manifest and owners that are meant, 32 bytes each."""

    trust: Trust
    manifest_digest: bytes
    owner_root: bytes

    @classmethod
    def pinned(cls, trust: Trust) -> "EvidencePolicy":
        """Returns the policy for whatever manifest the record itself pins.

        Raises:
            TrustConflict: it pins none.
        """
        if trust.manifest_digest is None or trust.owner_root is None:
            raise TrustConflict(
                "the trust file names no manifest, so no configured enclave can be the right one",
                expected="manifest_digest and owner_root",
                actual=None,
                remedy="pin one with `strongroom manifest pin FILE.signed.json`",
            )
        return cls(trust, bytes.fromhex(trust.manifest_digest), bytes.fromhex(trust.owner_root))

    @classmethod
    def for_manifest(cls, trust: Trust, manifest: VerifiedManifest) -> "EvidencePolicy":
        """Returns the policy for `manifest`, which must be the pinned one where one is pinned.

        Raises:
            TrustConflict: the record pins other owners or another manifest.
        """
        _agree("owner root", trust.owner_root, manifest.manifest.owner_root.hex())
        _agree("manifest digest", trust.manifest_digest, manifest.digest.hex())
        return cls(trust, manifest.digest, manifest.manifest.owner_root)


def _check_unsigned(mode: str, unsigned: bool) -> None:
    if unsigned and mode != "development":
        raise TrustInvalid(
            "a production trust file accepts evidence that nobody signed",
            expected="evidence signed under a platform vendor's root",
            actual="unsigned: true",
            remedy="use the release's production trust file; an emulator is for development",
        )


def _check_roots(roots: tuple[str, ...], unsigned: bool) -> None:
    if unsigned and roots:
        raise TrustInvalid(
            "a trust file names a root and accepts evidence that nobody signed",
            expected="one of the two",
            actual=", ".join(roots),
            remedy="make one file for the emulator and another for signed evidence",
        )
    if not unsigned and not roots:
        raise TrustInvalid(
            "a trust file names no root: nothing could be verified with it",
            expected="the SHA-256 of at least one root certificate",
            actual="none",
            remedy="make one with `strongroom enclave trust`",
        )


def _agree(what: str, pinned: str | None, found: str) -> None:
    if pinned is not None and pinned != found:
        raise TrustConflict(
            f"the manifest's {what} is not the one in the trust file",
            expected=pinned,
            actual=found,
            remedy="use the manifest that is meant; a later one of the same owners is pinned with"
            " `strongroom manifest pin`; for another enclave, make another trust file",
        )
