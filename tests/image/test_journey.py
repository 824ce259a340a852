"""The image as its owner meets it: booted, verified, given keys, traded with, stopped.

One boot in QEMU, and the steps in the order in which a person takes them; each rests on those
before it. Every word goes through the commands, and through vsock into a real kernel.
"""

import json
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from strongroom_attest.nitro import authenticate_unsigned

from tests.e2e.commands import run
from tests.image.desk import Boot, Desk, Venue, processes

Found = Callable[..., None]
REFUSED, DENIED, ENVIRONMENT = 3, 4, 5
LIMITS = "--order-notional 25 --window 3600=250"
ACCOUNT = "--name spot --venue binance --currency USDT"
ORDER = "order place --client bot --side buy --type FAK"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def venue(folder: Path) -> Iterator[Venue]:
    with Venue.run(folder) as venue:
        yield venue


@pytest.fixture(scope="module")
def boot(image: Path, folder: Path, short: Path, venue: Venue) -> Iterator[Boot]:
    with Boot.of((str(image), "--platform", "qemu"), folder, short / "run", venue.address) as boot:
        yield boot


@pytest.fixture(scope="module")
def desk(boot: Boot, folder: Path) -> Desk:
    return Desk(folder, boot.address)


@pytest.fixture(scope="module")
def record(image: Path) -> Path:
    """The release record that was built with the image."""
    return image.with_suffix(".json")


@pytest.fixture(scope="module")
def described(image: Path) -> dict[str, Any]:
    """What `strongroom eif describe` says of the image."""
    facts = json.loads(run("eif", "describe", str(image), "--json").stdout)
    assert isinstance(facts, dict)
    return facts


def test_it_boots(boot: Boot, described: dict[str, Any], found: Found) -> None:
    assert boot.ready["platform"] == "qemu"
    assert boot.ready["root"] is None
    assert boot.ready["pcr0"] == described["pcrs"]["0"]
    assert boot.memory() <= 512
    found("booted in QEMU to the first answer", f"{boot.seconds:.1f} s")
    found("in as much memory as", f"{boot.memory()} MiB")


def test_the_record_says_what_the_file_is(
    record: Path, described: dict[str, Any], found: Found
) -> None:
    said = json.loads(record.read_bytes())
    assert said["pcrs"] == {index: described["pcrs"][index] for index in "012"}
    assert said["eif"]["sha256"] == described["sha256"]
    assert said["eif"]["size"] == described["size"]
    assert described["faults"] == []
    found("the image", f"{described['size'] / (1 << 20):.1f} MiB, as its release record says")


def test_its_evidence_is_what_the_record_says(desk: Desk, record: Path, found: Found) -> None:
    desk.do("owner init --owner owner --no-passphrase")
    desk.do("owner client bot --out bot")
    said = desk.owner("enclave trust --unsigned-release --unsigned --release", str(record))
    assert "nobody signed" in said
    assert "Verified evidence" in desk.owner("enclave evidence --booted")
    found("evidence verified against the release record, before there was any key")


def test_a_production_trust_file_refuses_it(desk: Desk, record: Path, found: Found) -> None:
    words = "enclave trust --unsigned-release --out production.json --release"
    desk.owner(words, str(record))
    assert json.loads((desk.folder / "production.json").read_bytes())["mode"] == "production"
    said = desk.owner("enclave evidence --booted --trust production.json", status=REFUSED)
    assert "unsigned" in said.lower() or "nobody signed" in said
    found("a production trust file refuses the same evidence")


@pytest.mark.parametrize("pcr", ["pcr0", "pcr1", "pcr2"])
def test_one_bit_of_a_pcr_decides(pcr: str, desk: Desk, found: Found) -> None:
    trust = json.loads((desk.folder / "owner" / "trust.json").read_bytes())
    value = trust["images"][0][pcr]
    trust["images"][0][pcr] = value[:-1] + f"{int(value[-1], 16) ^ 1:x}"
    (desk.folder / f"{pcr}.json").write_text(json.dumps(trust))
    said = desk.owner(f"enclave evidence --booted --trust {pcr}.json", status=REFUSED)
    assert "PCR" in said or "pcrs" in said
    found("another bit in what is expected is refused", pcr.upper())


def test_a_manifest_is_measured_and_locked(
    desk: Desk, venue: Venue, described: dict[str, Any], found: Found
) -> None:
    key = (
        f"--wallet eoa --chain 80002 --venue clob.testnet --development-root {venue.ca}"
        f" --market {venue.token}:v2:buy,sell:0.40-0.80 {LIMITS}"
    )
    desk.do(
        "manifest new --owner owner --account desk --mode development --source generate"
        f" --client bot/card.json=order,cancel,query,health {key}"
    )
    desk.do(f"manifest add-key manifest.json --key brought --source import {key}")
    desk.do(f"manifest add-account manifest.json {ACCOUNT}")
    desk.do("manifest sign manifest.json --owner owner")
    assert "measured in PCR16" in desk.owner("enclave load manifest.signed.json")
    assert "record receipt key" in desk.owner("enclave evidence --save evidence")
    document = authenticate_unsigned((desk.folder / "evidence" / "document.cose").read_bytes())
    pcrs = document.document.pcrs
    assert {str(index): pcrs[index].hex() for index in (0, 1, 2, 8)} == described["pcrs"]
    assert set(pcrs) == {*range(17), *pcrs.keys()}
    assert any(pcrs[16])
    found("evidence names the record's keys beside the signer's, since there is an account")
    found("QEMU's PCR0, 1 and 2 of the image itself are those of `strongroom eif describe`")


def test_keys_come_to_be_inside_or_are_brought_sealed(desk: Desk, found: Found) -> None:
    said = desk.owner("provision generate main")
    assert "0x" in said
    secret = desk.folder / "secret"
    secret.write_text(secrets.token_hex(32))
    secret.chmod(0o600)
    said = desk.owner(f"provision import brought --from {secret}")
    assert "0x" in said
    found("one key made inside, one brought in sealed to the attested signer")


def test_nothing_is_signed_without_a_permit(desk: Desk, found: Found) -> None:
    assert "WRONG_PHASE" in desk.owner("provision enroll main", status=DENIED)
    desk.owner("permit --budget main=200:400 --budget brought=200:400")
    found("nothing signed for a venue before the owner's permit for this very boot")


def test_nothing_is_sealed_without_a_sealing_key(desk: Desk) -> None:
    # The image has nowhere yet to take the platform's half of one from; it refuses, and goes on.
    assert "SEALED_STATE_REFUSED" in desk.owner("seal export state.sealed", status=DENIED)
    assert not (desk.folder / "state.sealed").exists()
    login = desk.folder / "reader.json"
    login.write_text(json.dumps({"key": "marked-key", "secret": "marked-secret"}))
    login.chmod(0o600)
    said = desk.owner(f"record connect spot --from {login}", status=DENIED)
    assert "SEALED_STATE_REFUSED" in said
    assert "marked" not in said
    # Refused by the record, and not because it is gone.
    assert "record receipt key" in desk.owner("enclave evidence")


def test_credentials_are_made_through_tls_that_ends_inside(desk: Desk, found: Found) -> None:
    for key in ("main", "brought"):
        assert "API key id" in desk.owner(f"provision enroll {key}")
    found("API credentials created through TLS that ends inside, over vsock port 5002")


def place(desk: Desk, venue: Venue, words: str, *, status: int = 0) -> str:
    where = f"--token {venue.token} --venue-address {venue.address}"
    return desk.ask(f"{ORDER} {where} {words}", status=status)


def test_orders_are_signed_over_vsock_and_filled(desk: Desk, venue: Venue, found: Found) -> None:
    for name in ("trust.json", "manifest.signed.json"):
        (desk.folder / "bot" / name).write_bytes((desk.folder / "owner" / name).read_bytes())
    for key in ("main", "brought"):
        assert "matched" in place(desk, venue, f"--key {key} --price 0.61 --size 20")
    found("orders of both keys signed over vsock and filled by the venue")


def test_an_order_against_the_policy_is_denied(desk: Desk, venue: Venue, found: Found) -> None:
    said = place(desk, venue, "--price 0.61 --size 100", status=DENIED)
    assert "ORDER_NOTIONAL" in said
    found("an order over the limit denied inside, with the rule and the limit")


def test_any_owner_stops_it(desk: Desk, venue: Venue, found: Found) -> None:
    assert "FAILED" not in desk.owner(f"panic --venue-address {venue.address}")
    assert "KILL_SWITCH" in place(desk, venue, "--price 0.61 --size 5", status=DENIED)
    found("the kill switch stops signing for good")


def test_the_console_says_nothing_of_what_is_inside(boot: Boot, desk: Desk, found: Found) -> None:
    console = (boot.run / "console.log").read_text("latin-1")
    kernel, _, later = console.partition("Run /init as init process")
    assert "Linux version 6.12" in kernel
    ours = [line for line in later.splitlines()[1:] if not re.match(r"\[ *\d+\.\d+\] ", line)]
    assert ours == [], "init and its workers print when a boot ends, and only then"
    secret = (desk.folder / "secret").read_text()
    share = (desk.folder / "owner" / "unlock-share").read_text().strip()
    assert not [word for word in (secret, share, "marked") if word in console]
    found("not a word on the console after the kernel's, with keys inside")


def test_it_stops_clean(boot: Boot, desk: Desk, found: Found) -> None:
    status, out, err = boot.served.stop()
    assert (status, err) == (0, "")
    passed = json.loads(out.splitlines()[-1])
    assert passed["stopped"] is True
    assert passed["egress"].get("opened", 0) >= 2
    assert processes(str(boot.run)) == {}
    desk.owner("enclave evidence", status=ENVIRONMENT)
    found("stopped clean: no process left")


def test_another_boot_is_another_enclave(
    image: Path, folder: Path, short: Path, venue: Venue, found: Found
) -> None:
    with Boot.of((str(image), "--platform", "qemu"), folder, short / "run", venue.address) as boot:
        desk = Desk(folder, boot.address)
        # Same image, same owner; the keys of the boot before are gone with it.
        desk.owner("enclave evidence", status=REFUSED)
        assert "Verified evidence" in desk.owner("enclave evidence --booted")
        boot.kill()
        status, _, said = boot.served.ended()
    assert status == ENVIRONMENT
    assert "Traceback" not in said
    assert "killed" in said.lower()
    assert processes(str(short)) == {}
    found("a boot that the host kills ends with the reason, and nothing of it is left")
