"""Enclave image files (EIF): builds, reads, measures, signs, verifies and compares them.

Bytes in, values and bytes out: nothing in this package reads a clock, a file, a socket or the
environment. Section data may be views of a mapped file.
"""

from strongroom_eif.archive_errors import ArchiveError
from strongroom_eif.archive_writer import Node, archive, compress
from strongroom_eif.builder import Parts, build
from strongroom_eif.comparison import Comparison, PcrChange, diff
from strongroom_eif.description import Description, describe
from strongroom_eif.difference import Difference
from strongroom_eif.errors import CallerError, EifError, ImageError, SignatureError
from strongroom_eif.extract import ExtractedFile, files, parts
from strongroom_eif.format_errors import FormatError
from strongroom_eif.header import Architecture, SectionType
from strongroom_eif.image import Image, Section
from strongroom_eif.inflate import Limits
from strongroom_eif.measurements import (
    SINGLE_RAMDISK_PCR2,
    Measurements,
    SectionDigest,
    measure,
    pcr3,
    pcr4,
    pcr8,
)
from strongroom_eif.metadata import BuildMetadata, Metadata, parse_metadata
from strongroom_eif.newc import Entry
from strongroom_eif.paths import FOREIGN, OWN, FilePolicy
from strongroom_eif.ramdisk import entries
from strongroom_eif.reader import parse
from strongroom_eif.signature import Algorithm, Signature, parse_signature, verify_signature
from strongroom_eif.signing import EcdsaKey, KeyInMemory, resign, sign, unsign
from strongroom_eif.verification import Notice, RamdiskSummary, VerifiedImage, verify
from strongroom_eif.writer import ByteSink, serialise, write

__all__ = [
    "FOREIGN",
    "OWN",
    "SINGLE_RAMDISK_PCR2",
    "Algorithm",
    "Architecture",
    "ArchiveError",
    "BuildMetadata",
    "ByteSink",
    "CallerError",
    "Comparison",
    "Description",
    "Difference",
    "EcdsaKey",
    "EifError",
    "Entry",
    "ExtractedFile",
    "FilePolicy",
    "FormatError",
    "Image",
    "ImageError",
    "KeyInMemory",
    "Limits",
    "Measurements",
    "Metadata",
    "Node",
    "Notice",
    "Parts",
    "PcrChange",
    "RamdiskSummary",
    "Section",
    "SectionDigest",
    "SectionType",
    "Signature",
    "SignatureError",
    "VerifiedImage",
    "archive",
    "build",
    "compress",
    "describe",
    "diff",
    "entries",
    "files",
    "measure",
    "parse",
    "parse_metadata",
    "parse_signature",
    "parts",
    "pcr3",
    "pcr4",
    "pcr8",
    "resign",
    "serialise",
    "sign",
    "unsign",
    "verify",
    "verify_signature",
    "write",
]
