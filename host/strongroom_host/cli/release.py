"""`strongroom release`: keys that sign releases, signing a record, and verifying one.

The record itself comes from `strongroom image build`. What is signed is its exact bytes, so a
record and its signed form say the same to the last byte.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from strongroom_host.cli.attest_input import read_time
from strongroom_host.cli.eif_report import release_json
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.cli.session import ask_passphrase
from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_file, read_private, write_atomic, write_private
from strongroom_host.trust.dsse import MAX_ENVELOPE, Envelope, key_id
from strongroom_host.trust.release import (
    RELEASE_TYPE,
    load_release,
    pcr_values,
    read_record,
)
from strongroom_host.trust.release_errors import ReleaseMalformed
from strongroom_host.trust.release_keys import KeyEntry, KeyRing, Role

__all__ = ["app"]

app = typer.Typer(help="Sign releases of the image, and verify them.", no_args_is_help=True)

_MAX_YEARS: Final = 5

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        envvar="STRONGROOM_PASSPHRASE_FILE",
        metavar="FILE",
        help="Read the release key's passphrase from here instead of asking.",
    ),
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        help="Pinned release keys (default: those of this source tree).",
    ),
]


@app.command("key")
def key(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the private key.")],
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="A key that confirms releases by rebuilding them."),
    ] = False,
    years: Annotated[
        int, typer.Option(min=1, max=_MAX_YEARS, help="How long it is to be in force.")
    ] = 2,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", metavar="FILE", help="Add the public half to these pinned keys."),
    ] = None,
    passphrase_file: PassphraseOption = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Leave the key in clear on this disk.")
    ] = False,
) -> None:
    """Make a release key: private half in FILE (mode 0600), public half to be pinned."""
    lock: KeySerializationEncryption = NoEncryption()
    if not no_passphrase:
        lock = BestAvailableEncryption(ask_passphrase(passphrase_file, new=True))
    # Everything that may be refused comes before there is a key.
    ring = KeyRing.load(keys) if keys is not None else None
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    role: Role = "rebuild" if rebuild else "release"
    entry = KeyEntry.of(public, name, role, today, today + timedelta(days=365 * years))
    grown = ring.with_key(entry) if ring is not None else None
    write_private(out, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    if grown is not None and keys is not None:
        grown.save(keys)
    if no_passphrase:
        warn("the release key has no passphrase: whoever reads this disk can release")
    say(f"key id  {entry.id}")
    say(f"public  {entry.public}")
    say(f"valid   {entry.not_before:%Y-%m-%d} to {entry.not_after:%Y-%m-%d}, role {role}")
    say(f"Never commit {out}. Pinned is only what stands in releases/keys.json of the source.")


@app.command("sign")
def sign(
    record: Annotated[
        Path,
        typer.Argument(metavar="RECORD", help="A release record, or its signed form to add to."),
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The release key.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Default: VERSION.dsse.json beside the record."),
    ] = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Sign a record's exact bytes. Only sign what you built, or rebuilt, yourself."""
    data = read_file(record, limit=MAX_ENVELOPE)
    envelope = _envelope(data, record)
    found = read_record(envelope.payload, str(record))
    private = _read_key(key, passphrase_file)
    signed = envelope.signed_by(private)
    path = out or record.with_name(f"{found.version}.dsse.json")
    write_atomic(path, signed.serialise())
    say(f"{path}: version {found.version}, {len(signed.signatures)} signature(s)")
    say(f"signed as {key_id(private.public_key().public_bytes_raw())}")
    say(f"PCR0      {pcr_values(found)[0].hex()}")


@app.command("verify")
def verify(
    release: Annotated[Path, typer.Argument(metavar="FILE", help="A signed release.")],
    keys: KeysOption = None,
    at: Annotated[
        str | None,
        typer.Option(help="Judge the keys at this time (ISO 8601; default: now)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Verify who signed a release. Which image it is: `strongroom eif verify --release`."""
    moment = datetime.now(UTC) if at is None else read_time(at)
    found = load_release(release, moment, keys=keys)
    if json:
        print_json(release_json(found))
        return
    names = ", ".join(f"{entry.name} ({entry.role})" for entry in found.signers)
    say(f"version {found.record.version}, signed by {names}")
    say(f"image   {found.record.eif.size} bytes, SHA-256 {found.record.eif.sha256}")
    for index, value in enumerate(pcr_values(found.record)):
        say(f"PCR{index}    {value.hex()}")
    for reason in found.ignored:
        warn(f"a signature does not count: {reason}")


def _envelope(data: bytes, source: Path) -> Envelope:
    try:
        envelope = Envelope.parse(data, str(source))
    except ReleaseMalformed:
        read_record(data, str(source))
        return Envelope(RELEASE_TYPE, data)
    if envelope.payload_type != RELEASE_TYPE:
        raise BadInput(
            f"{source} is signed as something else than a release",
            expected=RELEASE_TYPE,
            actual=envelope.payload_type,
        )
    return envelope


def _read_key(path: Path, passphrase_file: Path | None) -> Ed25519PrivateKey:
    pem = read_private(path)
    password = ask_passphrase(passphrase_file) if b"ENCRYPTED" in pem else None
    try:
        private = load_pem_private_key(pem, password)
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{path} cannot be opened as a private key",
            expected="Ed25519 in PEM, and its passphrase",
            remedy="check the file and the passphrase",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise BadInput(
            f"{path} holds a key of another kind", expected="Ed25519", actual=type(private).__name__
        )
    return private
