"""Owner orders, each action alone; who may give them, and what giving them twice does."""

import msgspec
import pytest
from eth_account import Account
from strongroom_enclave.identity import Identity
from strongroom_enclave.sealing import unseal
from strongroom_enclave.signer.errors import SignerError
from strongroom_enclave.signer.keyring import Enrolment, Keyring
from strongroom_host.contract.sealing import seal
from strongroom_wire.bundle import EMPTY_LOG, Bundle, Role, RoleKeys, hpke_info
from strongroom_wire.encoding import u32, u64
from strongroom_wire.errors import Code, Refused, WireError
from strongroom_wire.merkle import Frontier
from strongroom_wire.statements import Action, Budget, OwnerOrder, Permit

from tests.hostile.driver import Desk

NOW = 1_800_000_000_000
SEALING = b"\x33" * 32
SECRET = b"\x42" * 32
CREDENTIAL = ("api-key", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=", "pass")
ADDRESS = bytes.fromhex(Account.from_key(SECRET).address[2:])


class Ring:
    """A keyring of `desk`'s manifest, with owners at hand."""

    def __init__(self, desk: Desk | None = None, version: int = 3) -> None:
        self.desk = (desk or Desk()).but(version=version)
        self.identity = Identity(Role.SIGNER)
        public = self.identity.public
        self.bundle = self.identity.boot = Bundle(
            b"\x01" * 32, b"\x02" * 32, self.desk.manifest.owner_root, b"certificate",
            (RoleKeys(Role.SIGNER, public[:32], public[32:]),),
        )  # fmt: skip
        self.ring = Keyring(self.desk.manifest, self.identity, lambda: NOW)

    def obey(self, action: Action, key: str = "", body: bytes = b"") -> bytes | Enrolment:
        names = self.bundle.boot_id, self.bundle.manifest_digest
        return self.ring.obey(OwnerOrder(action, *names, key, body))

    def refused(self, action: Action, key: str = "", body: bytes = b"") -> Code:
        with pytest.raises(WireError) as error:
            self.obey(action, key, body)
        return error.value.code

    def importing(self, secret: bytes, key: str = "imported") -> bytes | Enrolment:
        info = hpke_info(self.bundle, Role.SIGNER, b"key-import")
        sealed = seal(secret, self.identity.public[:32], info)
        return self.obey(Action.IMPORT, key, sealed)

    def permitted(self, sealing: bytes = SEALING) -> "Ring":
        budgets, log = (Budget("main", 5, 5),), Frontier().serialise()
        names = bytes(32), bytes(32), bytes(32)
        permit = Permit(*names, 1, 0, NOW, log, EMPTY_LOG, b"", budgets)
        self.ring.permit(permit, sealing)
        return self


@pytest.fixture
def ring() -> Ring:
    return Ring()


def test_a_generated_key_is_the_same_when_asked_again(ring: Ring) -> None:
    address = ring.obey(Action.GENERATE, "main")
    assert isinstance(address, bytes)
    assert len(address) == 20
    assert ring.obey(Action.GENERATE, "main") == address
    assert ring.obey(Action.GENERATE, "brief") != address
    assert Ring().obey(Action.GENERATE, "main") != address


def test_an_imported_key_has_the_address_that_ethereum_gives_it(ring: Ring) -> None:
    assert ring.importing(SECRET) == ADDRESS
    assert ring.importing(SECRET) == ADDRESS
    with pytest.raises(Refused) as refused:
        ring.importing(b"\x43" * 32)
    assert refused.value.code is Code.KEY_CONFLICT
    assert ring.ring.keys["imported"].signing.address == ADDRESS


def test_a_key_comes_from_where_the_manifest_says(ring: Ring) -> None:
    assert ring.refused(Action.GENERATE, "imported") is Code.KEY_CONFLICT
    with pytest.raises(Refused) as refused:
        ring.importing(SECRET, "main")
    assert refused.value.code is Code.KEY_CONFLICT
    assert not ring.ring.keys["main"].secret


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, SECRET[:31], SECRET + b"\0"])
def test_a_secret_that_is_none_leaves_the_key_open(ring: Ring, secret: bytes) -> None:
    with pytest.raises(SignerError):
        ring.importing(secret)
    assert ring.importing(SECRET) == ADDRESS


@pytest.mark.parametrize(
    "action", [Action.GENERATE, Action.IMPORT, Action.ENROLL_CREATE, Action.ENROLL_DERIVE]
)
def test_what_is_done_to_one_key_must_name_it(ring: Ring, action: Action) -> None:
    assert ring.permitted().refused(action, "", bytes(8)) is Code.UNKNOWN_KEY


def test_a_login_is_for_a_key_that_exists_with_a_nonce_of_the_owners(ring: Ring) -> None:
    ring.permitted()
    assert ring.refused(Action.ENROLL_DERIVE, "main", u64(0)) is Code.UNKNOWN_KEY
    ring.obey(Action.GENERATE, "main")
    for body in (b"", b"\0" * 7, b"\0" * 9):
        assert ring.refused(Action.ENROLL_DERIVE, "main", body) is Code.MALFORMED
    for action, line in (
        (Action.ENROLL_CREATE, b"POST /auth/api-key HTTP/1.1\r\n"),
        (Action.ENROLL_DERIVE, b"GET /auth/derive-api-key HTTP/1.1\r\n"),
    ):
        enrolment = ring.obey(action, "main", u64(2**64 - 1))
        assert isinstance(enrolment, Enrolment)
        assert enrolment.key is ring.ring.keys["main"]
        assert enrolment.request.startswith(line)
        assert b"\r\nPOLY_NONCE: 18446744073709551615\r\n" in enrolment.request
        assert f"\r\nPOLY_TIMESTAMP: {NOW // 1000}\r\n".encode() in enrolment.request
        assert enrolment.request.endswith(b"\r\n\r\n")
        assert b"\r\nHost: venue.test:8443\r\n" in enrolment.request


def test_what_is_sealed_is_restored_except_what_is_per_boot(ring: Ring) -> None:
    ring.permitted()
    main = ring.obey(Action.GENERATE, "main")
    ring.obey(Action.GENERATE, "brief")
    ring.importing(SECRET)
    ring.ring.keys["main"].enrol(*CREDENTIAL)
    blob = ring.obey(Action.EXPORT)
    assert isinstance(blob, bytes)
    assert b"brief" not in unseal(SEALING, 3, blob), "what is per boot left it"
    later = Ring(ring.desk, version=4).permitted()
    assert later.obey(Action.RESTORE, body=blob) == u32(2)
    assert later.obey(Action.RESTORE, body=blob) == u32(2)
    assert later.obey(Action.GENERATE, "main") == main
    assert later.importing(SECRET) == ADDRESS
    assert later.ring.keys["main"].builder is not None
    assert later.ring.keys["main"].credential == CREDENTIAL
    assert later.ring.keys["imported"].builder is None
    assert not later.ring.keys["brief"].secret
    fewer = Ring(ring.desk.but(keys=ring.desk.manifest.keys[1:]), version=9).permitted()
    assert fewer.obey(Action.RESTORE, body=blob) == u32(1)


def test_a_restored_key_does_not_replace_one_that_is_there(ring: Ring) -> None:
    ring.permitted()
    ring.obey(Action.GENERATE, "main")
    blob = ring.obey(Action.EXPORT)
    assert isinstance(blob, bytes)
    later = Ring(ring.desk).permitted()
    address = later.obey(Action.GENERATE, "main")
    assert later.refused(Action.RESTORE, "", blob) is Code.KEY_CONFLICT
    assert later.obey(Action.GENERATE, "main") == address


def test_a_restore_that_cannot_be_whole_takes_nothing(ring: Ring) -> None:
    ring.permitted()
    ring.obey(Action.GENERATE, "main")
    ring.importing(SECRET)
    blob = ring.obey(Action.EXPORT)
    assert isinstance(blob, bytes)
    later = Ring(ring.desk).permitted()
    later.importing(bytes(31) + b"\x05")  # the second of the two that are in there
    assert later.refused(Action.RESTORE, "", blob) is Code.KEY_CONFLICT
    assert not later.ring.keys["main"].secret
    assert later.importing(bytes(31) + b"\x05") != ADDRESS


def test_a_key_that_became_per_boot_is_not_restored(ring: Ring) -> None:
    ring.permitted()
    ring.obey(Action.GENERATE, "main")
    blob = ring.obey(Action.EXPORT)
    assert isinstance(blob, bytes)
    keys = ring.desk.manifest.keys
    stricter = (msgspec.structs.replace(keys[0], per_boot=True), *keys[1:])
    later = Ring(ring.desk.but(keys=stricter), version=4).permitted()
    assert later.obey(Action.RESTORE, body=blob) == u32(0)
    assert not later.ring.keys["main"].secret


def test_sealing_needs_the_share_of_a_permit(ring: Ring) -> None:
    ring.permitted(b"")
    for action in (Action.EXPORT, Action.RESTORE):
        body = b"" if action is Action.EXPORT else b"x"
        assert ring.refused(action, "", body) in (Code.SEALED_STATE_REFUSED, Code.MALFORMED)
    ring.permitted()
    blob = ring.obey(Action.EXPORT)
    ring.permitted(b"")  # a later permit without a share takes nothing away
    assert isinstance(ring.obey(Action.EXPORT), bytes)
    assert isinstance(blob, bytes)
    assert ring.obey(Action.RESTORE, body=blob) == u32(0)


def test_a_bad_credential_leaves_the_one_before(ring: Ring) -> None:
    ring.obey(Action.GENERATE, "main")
    key = ring.ring.keys["main"]
    key.enrol(*CREDENTIAL)
    builder = key.builder
    for changed in (("bad key", *CREDENTIAL[1:]), ("k", "!", "p"), (*CREDENTIAL[:2], "p\r\n")):
        with pytest.raises(SignerError):
            key.enrol(*changed)
    assert key.builder is builder
    assert key.credential == CREDENTIAL


def test_no_error_quotes_a_secret(ring: Ring) -> None:
    secret = b"\xee" * 31
    for attempt in (ring.importing, ring.ring.keys["main"].adopt):
        with pytest.raises(SignerError) as error:
            attempt(secret)
        for form in (secret.hex(), repr(secret), str(int.from_bytes(secret))):
            assert form not in repr(error.value) + str(error.value)
