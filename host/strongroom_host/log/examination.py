"""What an examination of a log is about, and what it found."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom_wire.bundle import Role

from strongroom_host.errors import HostError
from strongroom_host.log.attested import ProvedBoot
from strongroom_host.log.notes import SignedHead, VerifierKey
from strongroom_host.log.records import FoundPermit
from strongroom_host.log.verify import Finding, KnownHead, Report
from strongroom_host.log.witnessed import Quorum, Witnessed
from strongroom_host.trust.record import Trust

__all__ = ["Examination", "ExaminedBoot", "Meant", "SignedNote"]


@dataclass(frozen=True, slots=True)
class Meant:
    """Whose log the reader means, and what he takes for a proof.

    Attributes:
        trust: Roots and images; None to take no evidence, which leaves `keys`.
        owner_root: The owners, 32 bytes; empty without `trust`.
        keys: Further keys whose signature counts, from evidence that was verified elsewhere.
        origin: The log's name, where the reader knows the account.
        notes: Checkpoints from elsewhere, each with a name, that the log has to contain as well.
        heads: Heads that the reader knows of, such as those he remembers; likewise.
        leaves: Leaves that clients were handed with their answers; likewise.
        role: Which log of the account.
    """

    trust: Trust | None = None
    owner_root: bytes = b""
    keys: tuple[VerifierKey, ...] = ()
    origin: str = ""
    notes: tuple[tuple[str, bytes], ...] = ()
    heads: tuple[KnownHead, ...] = ()
    leaves: tuple[bytes, ...] = ()
    role: Role = Role.SIGNER


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A checkpoint that a key of the log signed: where it comes from, and which boot's key that is
    (None for one of `Meant.keys`)."""

    source: str
    data: bytes
    signed: SignedHead
    boot_id: bytes | None


@dataclass(frozen=True, slots=True)
class ExaminedBoot:
    """One boot: its leaves `start` up to and without `end` (0 and 0 where none of them was looked
    at), what its evidence proves or why it does not, and its permits as far as they were opened.
    `own` is how many leaves of the log the newest head has that it signed itself, or its evidence
    names."""

    boot_id: bytes
    start: int
    end: int
    version: str
    proved: ProvedBoot | None
    failure: HostError | None
    permits: tuple[FoundPermit, ...]
    own: int = 0


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in leaves `start` up to and without `end` of a log, and of what is around."""

    origin: str
    start: int
    end: int
    report: Report
    findings: tuple[Finding, ...]
    boots: tuple[ExaminedBoot, ...]
    notes: tuple[SignedNote, ...]
    witnessed: Witnessed
    quorum: Quorum
    given_up: tuple[str, ...]
    """Heads that the log does not contain and the owners gave up in a permit, in sentences."""
    caution: str

    @property
    def ok(self) -> bool:
        """Nothing was found, and somebody vouches for leaves among these."""
        return not self.findings and (self.report.proven > self.start or self.end == self.start)

    def not_excluded(self) -> tuple[str, ...]:
        """What this examination does not exclude, in sentences for its reader."""
        found = list(self.report.not_excluded())
        leaves = self.end - self.start
        if self.report.records < leaves:
            found.append(
                f"What {leaves - self.report.records} of {leaves} leaves commit to was not opened:"
                " what was decided there, under which permit, is not checked."
            )
        if self.quorum.needed > 0 and self.quorum.outvoted < 0:
            found.append(
                f"{self.quorum.needed} of {len(self.quorum.witnesses)} witnesses suffice, so two"
                " histories can each have enough of them without any of them lying."
            )
        for boot in self.boots:
            first, last = max(boot.own, boot.start), min(boot.end, self.report.proven)
            if boot.proved is not None and boot.proved.role is Role.SIGNER and first < last:
                found.append(
                    f"No head that is kept of boot {boot.boot_id.hex()[:16]} has leaves {first} to"
                    f" {last - 1}: that it wrote them rests on the permit of the boot after it."
                )
        if self.caution:
            found.append(f"{self.caution[0].upper()}{self.caution[1:]}.")
        return tuple(found)
