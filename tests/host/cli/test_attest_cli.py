"""`strongroom attest`: what it prints, its exit status, and that no mistake ends in a traceback."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from strongroom_attest import AnyOf, Exactly
from strongroom_attest.nitro import dump_policy
from strongroom_host.cli.attest import app
from typer.testing import CliRunner

from tests.attest import pki
from tests.attest.mutations import unsigned
from tests.attest.pki import NONCE, NOW, ROOTS, development_policy, mint
from tests.attest.recorded import Case, each_case, needs_vectors

ROOT = next(iter(ROOTS.fingerprints)).hex()
LIVE = ["--nonce", NONCE.hex(), "--at", NOW.isoformat(), "--root", ROOT]


class Files:
    """A folder with a document and a policy that accepts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document = self.put("document.cose", mint())
        self.policy = self.put("policy.json", json.dumps(dump_policy(development_policy())))

    def put(self, name: str, content: bytes | str) -> str:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def verify(self, *options: str, document: str = "", policy: str = "") -> Any:
        return run("verify", document or self.document, "--policy", policy or self.policy, *options)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def run(*arguments: str, stdin: bytes | None = None) -> Any:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    # Anything but SystemExit would be a traceback on the user's terminal.
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


# --- verify --------------------------------------------------------------------------------------


def test_a_live_document_is_accepted(files: Files) -> None:
    result = files.verify(*LIVE)
    assert result.exit_code == 0
    assert "ACCEPTED live" in result.stdout
    assert "not compared nonce: compared with the challenge" in result.stdout
    assert "pcrs[8]" in result.stdout


def test_json_says_the_same(files: Files) -> None:
    result = files.verify(*LIVE, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["accepted"] is True
    assert report["kind"] == "live"
    assert report["signed"] is True
    assert report["findings"]["mode"] == "development"
    assert "pcrs[16]" in report["findings"]["compared"]
    assert {"field": "pcrs[8]", "reason": "not named by the policy"} in report["findings"][
        "unchecked"
    ]
    assert report["document"]["nonce"] == NONCE.hex()
    assert report["document"]["pcrs"]["0"] == pki.PCRS[0].hex()
    assert report["chain"][0]["where"] == "cabundle[0]"
    assert report["chain"][0]["sha256"] == ROOT


def test_an_archived_document_is_accepted_as_archived(files: Files) -> None:
    result = files.verify("--at", "document", "--root", ROOT, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["kind"], report["at"]) == ("archived", NOW.isoformat())
    assert "says nothing about now" in files.verify("--at", "document", "--root", ROOT).stdout


def test_an_archived_documents_known_nonce_is_compared(files: Files) -> None:
    archived = ["--at", "document", "--root", ROOT, "--json"]
    report = json.loads(files.verify(*archived, "--nonce", NONCE.hex()).stdout)
    assert "nonce" in report["findings"]["compared"]
    assert not {"pcrs[0]", "user_data"} & {u["field"] for u in report["findings"]["unchecked"]}
    refused = files.verify(*archived, "--nonce", "00" * 32)
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["field"] == "nonce"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--nonce", "00" * 32, "--at", NOW.isoformat(), "--root", ROOT], "nonce-mismatch"),
        (["--nonce", NONCE.hex(), "--at", NOW.isoformat()], "root-not-pinned"),
        (
            [*LIVE[:3], (NOW + timedelta(minutes=10)).isoformat(), "--root", ROOT],
            "stale-too-old",
        ),
        ([*LIVE[:3], (NOW + timedelta(days=1)).isoformat(), "--root", ROOT], "clock-disagreement"),
        ([*LIVE, "--unsigned"], "signature-invalid"),
    ],
)
def test_refusals_exit_1_with_a_code(files: Files, options: list[str], code: str) -> None:
    result = files.verify(*options, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["accepted"] is False
    assert report["code"] == code
    assert report["message"]
    plain = files.verify(*options)
    assert plain.exit_code == 1
    assert "REFUSED" in plain.stderr
    assert code in plain.stderr
    assert "ACCEPTED" not in plain.stdout


def test_a_policy_mismatch_names_field_and_both_values(files: Files) -> None:
    document = files.put("other", mint(user_data=b"\xab\xcd"))
    report = json.loads(files.verify(*LIVE, "--json", document=document).stdout)
    assert report["code"] == "policy-mismatch"
    assert report["field"] == "user_data"
    assert report["expected"] == pki.USER_DATA.hex()
    assert report["actual"] == "abcd"


def test_alternatives_report_every_cause(files: Files) -> None:
    either = AnyOf((development_policy(user_data=Exactly(b"a")), development_policy()))
    policy = files.put("either.json", json.dumps(dump_policy(either)))
    assert files.verify(*LIVE, policy=policy).exit_code == 0
    document = files.put("other", mint(user_data=b"c"))
    report = json.loads(files.verify(*LIVE, "--json", document=document, policy=policy).stdout)
    assert report["code"] == "no-alternative"
    assert [cause["actual"] for cause in report["causes"]] == ["63", "63"]


def test_window_options_move_the_edges(files: Files) -> None:
    later = ["--nonce", NONCE.hex(), "--at", (NOW + timedelta(minutes=10)).isoformat()]
    assert files.verify(*later, "--root", ROOT, "--max-age", "600").exit_code == 0
    assert files.verify(*later, "--root", ROOT, "--max-age", "599").exit_code == 1


def test_unsigned_documents_need_option_and_policy(files: Files) -> None:
    document = files.put("qemu", unsigned())
    allowing = files.put(
        "qemu.json", json.dumps(dump_policy(development_policy(allow_unsigned=True)))
    )
    assert files.verify(*LIVE, document=document, policy=allowing).exit_code == 1
    assert files.verify(*LIVE, "--unsigned", document=document).exit_code == 1
    result = files.verify(*LIVE, "--unsigned", document=document, policy=allowing)
    assert result.exit_code == 0
    assert "UNSIGNED" in result.stdout
    report = json.loads(
        files.verify(*LIVE, "--unsigned", "--json", document=document, policy=allowing).stdout
    )
    assert report["signed"] is False


@pytest.mark.parametrize(
    "encode",
    [
        bytes,
        lambda data: b"\xd2" + data,
        lambda data: data.hex().encode(),
        lambda data: data.hex().upper().encode() + b"\n",
        base64.b64encode,
        base64.encodebytes,
        base64.urlsafe_b64encode,
    ],
)
def test_documents_may_be_raw_hex_or_base64(files: Files, encode: Callable[[bytes], bytes]) -> None:
    document = files.put("encoded", encode(mint()))
    assert files.verify(*LIVE, document=document).exit_code == 0


def test_a_document_may_come_from_standard_input(files: Files) -> None:
    result = run("verify", "-", "--policy", files.policy, *LIVE, stdin=mint())
    assert result.exit_code == 0


@pytest.mark.parametrize("form", ["der", "pem", "colons"])
def test_a_root_may_be_a_certificate_file_or_a_fingerprint(files: Files, form: str) -> None:
    der = pki.root_certificate()
    pem = (
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    )
    root = {
        "der": files.put("root.der", der),
        "pem": files.put("root.pem", pem),
        "colons": bytes.fromhex(ROOT).hex(":").upper(),
    }[form]
    assert files.verify(*LIVE[:4], "--root", root).exit_code == 0


# --- Mistakes at the command line ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", NOW.isoformat()], "--nonce is missing"),
        ([], "--nonce is missing"),
        (["--nonce", "zz" * 16], "--nonce is not hex"),
        (["--nonce", "00112"], "--nonce is not hex"),
        (["--nonce", "00" * 15], "16..1024 bytes"),
        (["--nonce", "00" * 16, "--at", "yesterday"], "is not a time"),
        (["--nonce", "00" * 16, "--at", "2026-06-01T12:00:00"], "time zone"),
        (["--nonce", "00" * 16, "--root", "00" * 31], "cannot be read"),
        (["--nonce", "00" * 16, "--root", "{document}"], "is not a certificate"),
        (["--at", "document", "--unsigned"], "exclude each other"),
        (["--at", "document", "--nonce", "0"], "--nonce is not hex"),
    ],
)
def test_bad_options_exit_2_with_one_message(files: Files, options: list[str], said: str) -> None:
    result = files.verify(*(option.format(document=files.document) for option in options))
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert "ACCEPTED" not in result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must be an object"),
        (b"{}", "missing"),
        (b'{"platform": "nitro", "platform": "nitro"}', "twice"),
        (b'{"all_of": []}', "compares nothing"),
    ],
)
def test_bad_policies_exit_2_with_one_message(files: Files, content: bytes, said: str) -> None:
    result = files.verify(*LIVE, policy=files.put("bad.json", content))
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("command", ["show", "verify"])
@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 2, "is empty"),
        (b" \n", 2, "is empty"),
        (b"not a document!", 2, "neither a raw document nor hex nor base64"),
        (b"abc", 2, "neither"),
        (b"x" * 70_000, 2, "more than"),
        (b"\x84", 1, "malformed"),
        (b"\x00\xff", 1, "trailing-bytes"),
        (b"8443a10120", 1, "malformed"),
        (b"aGVsbG8=", 1, "malformed"),
    ],
)
def test_bad_documents_end_in_one_message(
    files: Files, command: str, content: bytes, status: int, said: str
) -> None:
    document = files.put("bad", content)
    result = run("show", document) if command == "show" else files.verify(*LIVE, document=document)
    assert result.exit_code == status
    assert said in result.stderr


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_unreadable_files_end_in_one_message(files: Files, kind: str) -> None:
    path = str(files.folder / "none") if kind == "missing" else str(files.folder)
    for result in (
        run("show", path),
        files.verify(*LIVE, document=path),
        files.verify(*LIVE, policy=path),
    ):
        assert result.exit_code == 2
        assert "cannot be read" in result.stderr


def test_usage_errors_as_json_too(files: Files) -> None:
    result = files.verify("--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["code"] == "usage"


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "x"], ["show"], ["--nope"], ["nope"]])
def test_typers_own_usage_errors_exit_2_as_well(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


# --- show ----------------------------------------------------------------------------------------


def test_show_a_genuine_document(files: Files) -> None:
    result = run("show", files.document, "--root", ROOT)
    assert result.exit_code == 0
    assert "GENUINE" in result.stdout
    assert pki.PCRS[0].hex() in result.stdout
    assert pki.PUBLIC_KEY.hex() in result.stdout
    assert "CN=test root" in result.stdout
    assert "Not checked here" in result.stdout


def test_show_says_when_a_document_is_not_verified(files: Files) -> None:
    for document in (files.document, files.put("qemu", unsigned())):
        result = run("show", document)
        assert result.exit_code == 0
        assert "NOT VERIFIED" in result.stdout
        assert "GENUINE" not in result.stdout
        assert (
            json.loads(run("show", document, "--json").stdout)["genuine_at_its_own_time"] is False
        )


def test_show_marks_debug_documents(files: Files) -> None:
    zeros = dict.fromkeys((0, 1, 2, 8), bytes(48))
    document = files.put("debug", mint(pcrs=pki.PCRS | zeros))
    result = run("show", document, "--root", ROOT)
    assert "DEBUG" in result.stdout
    assert "zero: debug mode" in result.stdout


def test_show_keeps_null_and_empty_apart(files: Files) -> None:
    document = files.put("nulls", mint(public_key=None, user_data=b""))
    result = run("show", document, "--root", ROOT)
    assert "public_key none (null)" in result.stdout
    assert "user_data  empty (0 bytes)" in result.stdout
    report = json.loads(run("show", document, "--root", ROOT, "--json").stdout)
    assert report["document"]["public_key"] is None
    assert report["document"]["user_data"] == ""


def test_text_of_a_document_cannot_steer_the_terminal(files: Files) -> None:
    document = files.put("hostile", mint(module_id="\x1b[2J[bold]\u202e"))
    result = run("show", document)
    assert "\x1b[2J" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "[bold]" in result.stdout


@needs_vectors
@each_case
def test_recorded_documents_through_the_command(recorded: Case, files: Files) -> None:
    document = files.put("recorded.cose", recorded.document)
    report = json.loads(run("show", document, "--json").stdout)
    assert report["genuine_at_its_own_time"] is recorded.expects("chains_to_aws_root_g1")
    assert report["document"]["debug"] is recorded.expects("debug_mode")
    assert report["document"]["module_id"] == recorded.entry["module_id"]
    skipped = {"unchecked": "the index holds its hash only"}
    policy = {
        "platform": "nitro",
        "mode": "production",
        "pcrs": {index: recorded.entry["pcrs"].get(index, "00" * 48) for index in "012"},
        "public_key": skipped,
        "user_data": skipped,
        "nonce": skipped,
    }
    result = files.verify(
        "--at", "document", document=document, policy=files.put("p.json", json.dumps(policy))
    )
    accepted = recorded.expects("accept_in_production_at_document_time")
    assert result.exit_code == (0 if accepted else 1)
